//! TCP: the tracker's state, the shifts of sequence numbers, and the SYN proxy's numbers.

use crate::{
    error::DecodeError,
    macros::{flag_text, open_enum, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL,
        CTA_PROTOINFO_TCP_FLAGS_REPLY, CTA_PROTOINFO_TCP_STATE, CTA_PROTOINFO_TCP_WSCALE_ORIGINAL,
        CTA_PROTOINFO_TCP_WSCALE_REPLY, CTA_SEQADJ_CORRECTION_POS, CTA_SEQADJ_OFFSET_AFTER, CTA_SEQADJ_OFFSET_BEFORE,
        CTA_SYNPROXY_ISN, CTA_SYNPROXY_ITS, CTA_SYNPROXY_TSOFF, Encode, Encoder, FixedLayout, HeaderAt,
    },
};

open_enum! {
    /// The state of a TCP connection as the tracker sees it from the middle (`enum tcp_conntrack`).
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::TcpState;
    ///
    /// assert_eq!("ESTABLISHED".parse(), Ok(TcpState::ESTABLISHED));
    /// assert_eq!(TcpState::ESTABLISHED.to_string(), "ESTABLISHED");
    /// ```
    pub struct TcpState(u8) as "a TCP state" {
        /// No packet was seen yet. A flow that was created without a state has this state.
        #[doc(alias = "TCP_CONNTRACK_NONE")]
        NONE = 0 => "NONE",
        /// A SYN was seen.
        #[doc(alias = "TCP_CONNTRACK_SYN_SENT")]
        SYN_SENT = 1 => "SYN_SENT",
        /// A SYN and ACK was seen.
        #[doc(alias = "TCP_CONNTRACK_SYN_RECV")]
        SYN_RECV = 2 => "SYN_RECV",
        /// The handshake is done.
        #[doc(alias = "TCP_CONNTRACK_ESTABLISHED")]
        ESTABLISHED = 3 => "ESTABLISHED",
        /// One side has sent a FIN.
        #[doc(alias = "TCP_CONNTRACK_FIN_WAIT")]
        FIN_WAIT = 4 => "FIN_WAIT",
        /// The FIN was acknowledged.
        #[doc(alias = "TCP_CONNTRACK_CLOSE_WAIT")]
        CLOSE_WAIT = 5 => "CLOSE_WAIT",
        /// Both sides have sent a FIN.
        #[doc(alias = "TCP_CONNTRACK_LAST_ACK")]
        LAST_ACK = 6 => "LAST_ACK",
        /// Both FINs were acknowledged.
        #[doc(alias = "TCP_CONNTRACK_TIME_WAIT")]
        TIME_WAIT = 7 => "TIME_WAIT",
        /// Closed, by a reset for instance.
        #[doc(alias = "TCP_CONNTRACK_CLOSE")]
        CLOSE = 8 => "CLOSE",
        /// Both sides have sent a SYN: a simultaneous open (`LISTEN` in old headers).
        #[doc(alias = "TCP_CONNTRACK_SYN_SENT2")]
        #[doc(alias = "TCP_CONNTRACK_LISTEN")]
        SYN_SENT2 = 9 => "SYN_SENT2",
    }
}

bitflags::bitflags! {
    /// The tracker's flags for one side of a TCP connection (`IP_CT_TCP_FLAG_*`).
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::TcpFlags;
    ///
    /// let flags: TcpFlags = "WINDOW_SCALE,SACK_PERM".parse()?;
    /// assert_eq!(flags, TcpFlags::WINDOW_SCALE | TcpFlags::SACK_PERM);
    /// # Ok::<(), ctnetlink::ParseError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpFlags: u8 {
        /// The side offers window scaling.
        #[doc(alias = "IP_CT_TCP_FLAG_WINDOW_SCALE")]
        const WINDOW_SCALE = 0x01;
        /// The side permits selective acknowledgements.
        #[doc(alias = "IP_CT_TCP_FLAG_SACK_PERM")]
        const SACK_PERM = 0x02;
        /// The side sent the first FIN.
        #[doc(alias = "IP_CT_TCP_FLAG_CLOSE_INIT")]
        const CLOSE_INIT = 0x04;
        /// Packets outside the window are accepted.
        #[doc(alias = "IP_CT_TCP_FLAG_BE_LIBERAL")]
        const BE_LIBERAL = 0x08;
        /// Data is not acknowledged yet.
        #[doc(alias = "IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED")]
        const DATA_UNACKNOWLEDGED = 0x10;
        /// The highest acknowledgement is known.
        #[doc(alias = "IP_CT_TCP_FLAG_MAXACK_SET")]
        const MAXACK_SET = 0x20;
        /// A challenge acknowledgement is expected.
        #[doc(alias = "IP_CT_EXP_CHALLENGE_ACK")]
        const EXP_CHALLENGE_ACK = 0x40;
        /// Both sides sent a SYN.
        #[doc(alias = "IP_CT_TCP_SIMULTANEOUS_OPEN")]
        const SIMULTANEOUS_OPEN = 0x80;
        const _ = !0;
    }
}

flag_text!(TcpFlags as "a TCP flag");

/// TCP flags and a mask of the flags that an update changes: `new = (old & !mask) | (flags & mask)`.
///
/// The kernel sends an empty mask. Source: `struct nf_ct_tcp_flags`.
///
/// # Example
///
/// ```
/// use ctnetlink::{MaskedTcpFlags, TcpFlags};
///
/// let liberal = MaskedTcpFlags::set(TcpFlags::BE_LIBERAL);
/// assert_eq!(liberal.mask, TcpFlags::BE_LIBERAL);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "two bytes on the wire, and no more")]
pub struct MaskedTcpFlags {
    /// The flags.
    pub flags: TcpFlags,
    /// The flags that an update or create sets to their value in `flags`.
    pub mask: TcpFlags,
}

impl MaskedTcpFlags {
    /// Sets exactly these flags, and clears all others.
    #[must_use]
    pub const fn exactly(flags: TcpFlags) -> Self {
        Self { flags, mask: TcpFlags::all() }
    }

    /// Sets these flags, and leaves the others.
    #[must_use]
    pub const fn set(flags: TcpFlags) -> Self {
        Self { flags, mask: flags }
    }

    /// Clears these flags, and leaves the others.
    #[must_use]
    pub const fn clear(flags: TcpFlags) -> Self {
        Self { flags: TcpFlags::empty(), mask: flags }
    }

    fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.array().map(|bytes| Self::from_bytes(*bytes))
    }

    const fn from_bytes([flags, mask]: [u8; 2]) -> Self {
        Self { flags: TcpFlags::from_bits_retain(flags), mask: TcpFlags::from_bits_retain(mask) }
    }

    fn to_bytes(self) -> [u8; 2] {
        [self.flags.bits(), self.mask.bits()]
    }
}

/// The TCP tracker's state and parameters of a flow (`CTA_PROTOINFO_TCP`).
///
/// Dumps and events carry all fields; a DESTROY event carries the state only (since Linux 5.11).
///
/// # Example
///
/// ```
/// use ctnetlink::{TcpInfo, TcpState};
///
/// assert_eq!(TcpInfo::new(TcpState::ESTABLISHED).state, Some(TcpState::ESTABLISHED));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state (`CTA_PROTOINFO_TCP_STATE`).
    pub state: Option<TcpState>,
    /// The window scale of the initiator, 0 to 14 (`CTA_PROTOINFO_TCP_WSCALE_ORIGINAL`): windows are shifted left by
    /// that many bits.
    ///
    /// Create and update need both scales or none, and the kernel uses them only if both sides have
    /// [`TcpFlags::WINDOW_SCALE`].
    pub window_scale_original: Option<u8>,
    /// The window scale of the responder (`CTA_PROTOINFO_TCP_WSCALE_REPLY`).
    pub window_scale_reply: Option<u8>,
    /// The flags of the initiator (`CTA_PROTOINFO_TCP_FLAGS_ORIGINAL`).
    pub flags_original: Option<MaskedTcpFlags>,
    /// The flags of the responder (`CTA_PROTOINFO_TCP_FLAGS_REPLY`).
    pub flags_reply: Option<MaskedTcpFlags>,
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(TcpInfo { ; state, window_scale_original, window_scale_reply, flags_original, flags_reply });

/// The kernel's layout of `CTA_PROTOINFO` of TCP in a dump or an event.
const USUAL: FixedLayout<44, 6> = FixedLayout::new([
    HeaderAt::nest(0, 44, CTA_PROTOINFO_TCP),
    HeaderAt::value(4, 5, CTA_PROTOINFO_TCP_STATE),
    HeaderAt::value(12, 5, CTA_PROTOINFO_TCP_WSCALE_ORIGINAL),
    HeaderAt::value(20, 5, CTA_PROTOINFO_TCP_WSCALE_REPLY),
    HeaderAt::value(28, 6, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL),
    HeaderAt::value(36, 6, CTA_PROTOINFO_TCP_FLAGS_REPLY),
]);

impl TcpInfo {
    /// Creates an info with a state only.
    #[must_use]
    pub const fn new(state: TcpState) -> Self {
        Self {
            state: Some(state),
            window_scale_original: None,
            window_scale_reply: None,
            flags_original: None,
            flags_reply: None,
        }
    }

    /// Sets the same flags on both sides.
    #[must_use]
    pub const fn with_flags(self, flags: MaskedTcpFlags) -> Self {
        Self { flags_original: Some(flags), flags_reply: Some(flags), ..self }
    }

    /// Reads the payload of `CTA_PROTOINFO` if it has the kernel's layout of a dump or an event.
    #[inline]
    pub(crate) fn recognise(bytes: &[u8]) -> Option<Self> {
        let nest = USUAL.recognise(bytes)?;
        Some(Self {
            state: Some(TcpState(nest.u8(8))),
            window_scale_original: Some(nest.u8(16)),
            window_scale_reply: Some(nest.u8(24)),
            flags_original: Some(MaskedTcpFlags::from_bytes(nest.array(32))),
            flags_reply: Some(MaskedTcpFlags::from_bytes(nest.array(40))),
        })
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Tcp, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_PROTOINFO_TCP_STATE => state = Attribute::u8,
            CTA_PROTOINFO_TCP_WSCALE_ORIGINAL => window_scale_original = Attribute::u8,
            CTA_PROTOINFO_TCP_WSCALE_REPLY => window_scale_reply = Attribute::u8,
            CTA_PROTOINFO_TCP_FLAGS_ORIGINAL => flags_original = MaskedTcpFlags::read,
            CTA_PROTOINFO_TCP_FLAGS_REPLY => flags_reply = MaskedTcpFlags::read,
        );
        let state = state.map(TcpState);
        Ok(Self { state, window_scale_original, window_scale_reply, flags_original, flags_reply })
    }
}

impl Encode for TcpInfo {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.optional_u8(CTA_PROTOINFO_TCP_STATE, self.state.map(|state| state.0));
        encoder.optional_u8(CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, self.window_scale_original);
        encoder.optional_u8(CTA_PROTOINFO_TCP_WSCALE_REPLY, self.window_scale_reply);
        if let Some(flags) = self.flags_original {
            encoder.attribute(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, &flags.to_bytes());
        }
        if let Some(flags) = self.flags_reply {
            encoder.attribute(CTA_PROTOINFO_TCP_FLAGS_REPLY, &flags.to_bytes());
        }
    }
}

/// The shift of TCP sequence numbers of one direction, after a helper changed the length of a payload
/// (`CTA_SEQ_ADJ_ORIG`, `CTA_SEQ_ADJ_REPLY`; `struct nf_ct_seqadj`).
///
/// Dumps contain it for flows with [`Status::SEQ_ADJUST`](super::Status::SEQ_ADJUST).
///
/// # Example
///
/// ```
/// use ctnetlink::SequenceAdjustment;
///
/// let adjustment = SequenceAdjustment { correction_position: 1000, offset_before: 0, offset_after: 5 };
/// assert_eq!(adjustment.offset_after, 5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel asks for all three and has no other")]
pub struct SequenceAdjustment {
    /// The sequence number at which the last change was made (`CTA_SEQADJ_CORRECTION_POS`).
    pub correction_position: u32,
    /// Bytes that are added to sequence numbers before that position (`CTA_SEQADJ_OFFSET_BEFORE`).
    pub offset_before: i32,
    /// Bytes that are added to sequence numbers after it (`CTA_SEQADJ_OFFSET_AFTER`).
    pub offset_after: i32,
}

impl SequenceAdjustment {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::SequenceAdjustment, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_SEQADJ_CORRECTION_POS => position = Attribute::u32,
            CTA_SEQADJ_OFFSET_BEFORE => before = Attribute::u32,
            CTA_SEQADJ_OFFSET_AFTER => after = Attribute::u32,
        );
        // A missing part must not make the whole flow unreadable: no offset is an offset of 0.
        Ok(Self {
            correction_position: position.unwrap_or(0),
            offset_before: before.unwrap_or(0) as i32,
            offset_after: after.unwrap_or(0) as i32,
        })
    }
}

impl Encode for SequenceAdjustment {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u32(CTA_SEQADJ_CORRECTION_POS, self.correction_position);
        encoder.u32(CTA_SEQADJ_OFFSET_BEFORE, self.offset_before as u32);
        encoder.u32(CTA_SEQADJ_OFFSET_AFTER, self.offset_after as u32);
    }
}

/// The SYN proxy's data about a connection (`CTA_SYNPROXY`; `struct nf_conn_synproxy`).
///
/// Every flow that was created through netlink has it, with zeros.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Synproxy, Tuple};
///
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
/// flow.synproxy = Some(Synproxy { initial_sequence: 7, ..Synproxy::default() });
/// assert_eq!(flow.synproxy().unwrap().initial_sequence, 7);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel asks for all three and has no other")]
pub struct Synproxy {
    /// The initial sequence number that was sent to the client (`CTA_SYNPROXY_ISN`).
    #[doc(alias = "isn")]
    pub initial_sequence: u32,
    /// The initial timestamp (`CTA_SYNPROXY_ITS`; RFC 7323) that was sent to the client.
    #[doc(alias = "its")]
    pub initial_timestamp: u32,
    /// The offset between the timestamps of the proxy and of the server, in their ticks (`CTA_SYNPROXY_TSOFF`).
    #[doc(alias = "tsoff")]
    pub timestamp_offset: u32,
}

impl Synproxy {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Synproxy, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_SYNPROXY_ISN => sequence = Attribute::u32,
            CTA_SYNPROXY_ITS => timestamp = Attribute::u32,
            CTA_SYNPROXY_TSOFF => offset = Attribute::u32,
        );
        let require = |value: Option<u32>, number| value.ok_or_else(|| attributes.missing(number));
        Ok(Self {
            initial_sequence: require(sequence, CTA_SYNPROXY_ISN)?,
            initial_timestamp: require(timestamp, CTA_SYNPROXY_ITS)?,
            timestamp_offset: require(offset, CTA_SYNPROXY_TSOFF)?,
        })
    }
}

impl Encode for Synproxy {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u32(CTA_SYNPROXY_ISN, self.initial_sequence);
        encoder.u32(CTA_SYNPROXY_ITS, self.initial_timestamp);
        encoder.u32(CTA_SYNPROXY_TSOFF, self.timestamp_offset);
    }
}
