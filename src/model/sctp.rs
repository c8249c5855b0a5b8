//! The state of the SCTP tracker.

use crate::{
    error::DecodeError,
    macros::{open_enum, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_PROTOINFO_SCTP_STATE, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL,
        CTA_PROTOINFO_SCTP_VTAG_REPLY, Encode, Encoder,
    },
};

open_enum! {
    /// The state of an SCTP association (`enum sctp_conntrack`).
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!(ctnetlink::SctpState::COOKIE_WAIT.to_string(), "COOKIE_WAIT");
    /// ```
    pub struct SctpState(u8) as "an SCTP state" {
        /// Nothing seen yet.
        #[doc(alias = "SCTP_CONNTRACK_NONE")]
        NONE = 0 => "NONE",
        /// Not, or no longer, established.
        #[doc(alias = "SCTP_CONNTRACK_CLOSED")]
        CLOSED = 1 => "CLOSED",
        /// An INIT was seen.
        #[doc(alias = "SCTP_CONNTRACK_COOKIE_WAIT")]
        COOKIE_WAIT = 2 => "COOKIE_WAIT",
        /// A COOKIE ECHO was seen.
        #[doc(alias = "SCTP_CONNTRACK_COOKIE_ECHOED")]
        COOKIE_ECHOED = 3 => "COOKIE_ECHOED",
        /// A COOKIE ACK was seen.
        #[doc(alias = "SCTP_CONNTRACK_ESTABLISHED")]
        ESTABLISHED = 4 => "ESTABLISHED",
        /// The initiator has sent a SHUTDOWN.
        #[doc(alias = "SCTP_CONNTRACK_SHUTDOWN_SENT")]
        SHUTDOWN_SENT = 5 => "SHUTDOWN_SENT",
        /// The responder has sent a SHUTDOWN.
        #[doc(alias = "SCTP_CONNTRACK_SHUTDOWN_RECD")]
        SHUTDOWN_RECD = 6 => "SHUTDOWN_RECD",
        /// A SHUTDOWN ACK was seen.
        #[doc(alias = "SCTP_CONNTRACK_SHUTDOWN_ACK_SENT")]
        SHUTDOWN_ACK_SENT = 7 => "SHUTDOWN_ACK_SENT",
        /// A HEARTBEAT opened the flow: a secondary path.
        #[doc(alias = "SCTP_CONNTRACK_HEARTBEAT_SENT")]
        HEARTBEAT_SENT = 8 => "HEARTBEAT_SENT",
        /// The HEARTBEAT was answered (before Linux 6.3).
        #[doc(alias = "SCTP_CONNTRACK_HEARTBEAT_ACKED")]
        HEARTBEAT_ACKED = 9 => "HEARTBEAT_ACKED",
        /// Data opened the flow (Linux 6.1 and 6.2 only).
        #[doc(alias = "SCTP_CONNTRACK_DATA_SENT")]
        DATA_SENT = 10 => "DATA_SENT",
    }
}

/// The SCTP tracker's state and parameters of a flow (`CTA_PROTOINFO_SCTP`).
///
/// Dumps and events carry all three fields; a DESTROY event carries the state only (since Linux 5.11). Create and update
/// need all three.
///
/// # Example
///
/// ```
/// use ctnetlink::{ProtocolInfo, SctpInfo, SctpState};
///
/// let mut info = SctpInfo::default();
/// info.state = Some(SctpState::ESTABLISHED);
/// assert_eq!(ProtocolInfo::from(info).state().unwrap().to_string(), "ESTABLISHED");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct SctpInfo {
    /// The state (`CTA_PROTOINFO_SCTP_STATE`).
    pub state: Option<SctpState>,
    /// The verification tag of packets from the initiator (`CTA_PROTOINFO_SCTP_VTAG_ORIGINAL`; RFC 9260, 8.5).
    pub verification_tag_original: Option<u32>,
    /// The verification tag of packets from the responder (`CTA_PROTOINFO_SCTP_VTAG_REPLY`).
    pub verification_tag_reply: Option<u32>,
}

#[cfg(feature = "serde")]
crate::serde::serialize_present!(SctpInfo { ; state, verification_tag_original, verification_tag_reply });

impl SctpInfo {
    /// All that a create or update takes.
    #[must_use]
    pub const fn new(state: SctpState, verification_tag_original: u32, verification_tag_reply: u32) -> Self {
        Self {
            state: Some(state),
            verification_tag_original: Some(verification_tag_original),
            verification_tag_reply: Some(verification_tag_reply),
        }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Sctp, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_PROTOINFO_SCTP_STATE => state = Attribute::u8,
            CTA_PROTOINFO_SCTP_VTAG_ORIGINAL => verification_tag_original = Attribute::u32,
            CTA_PROTOINFO_SCTP_VTAG_REPLY => verification_tag_reply = Attribute::u32,
        );
        Ok(Self { state: state.map(SctpState), verification_tag_original, verification_tag_reply })
    }
}

impl Encode for SctpInfo {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.optional_u8(CTA_PROTOINFO_SCTP_STATE, self.state.map(|state| state.0));
        encoder.optional_u32(CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, self.verification_tag_original);
        encoder.optional_u32(CTA_PROTOINFO_SCTP_VTAG_REPLY, self.verification_tag_reply);
    }
}
