//! Layer 4 protocols, and the state that the tracker of each keeps for a flow.

use core::fmt;

use super::TcpInfo;
use crate::{
    error::DecodeError,
    macros::{open_enum, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ,
        CTA_PROTOINFO_DCCP_ROLE, CTA_PROTOINFO_DCCP_STATE, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_STATE,
        CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, CTA_PROTOINFO_SCTP_VTAG_REPLY, CTA_PROTOINFO_TCP, Encode, Encoder,
    },
};

open_enum! {
    /// A layer 4 protocol, by its IP protocol number.
    ///
    /// The constants are the protocols for which some kernel since 4.19 has a tracker. The kernel tracks any other
    /// protocol by its addresses only. DCCP lost its tracker in Linux 6.17: since then its tuples have no ports.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Protocol;
    ///
    /// assert_eq!("udp".parse(), Ok(Protocol::UDP));
    /// assert_eq!((Protocol::UDP.to_string(), Protocol(200).to_string()), ("udp".into(), "200".into()));
    /// assert!(Protocol::UDP.has_ports());
    /// ```
    pub struct Protocol(u8) as "a protocol" {
        /// ICMP.
        #[doc(alias = "IPPROTO_ICMP")]
        ICMP = 1 => "icmp",
        /// TCP.
        #[doc(alias = "IPPROTO_TCP")]
        TCP = 6 => "tcp",
        /// UDP.
        #[doc(alias = "IPPROTO_UDP")]
        UDP = 17 => "udp",
        /// DCCP.
        #[doc(alias = "IPPROTO_DCCP")]
        DCCP = 33 => "dccp",
        /// GRE.
        #[doc(alias = "IPPROTO_GRE")]
        GRE = 47 => "gre",
        /// ICMPv6.
        #[doc(alias = "IPPROTO_ICMPV6")]
        ICMPV6 = 58 => "icmpv6",
        /// SCTP.
        #[doc(alias = "IPPROTO_SCTP")]
        SCTP = 132 => "sctp",
        /// UDP-Lite.
        #[doc(alias = "IPPROTO_UDPLITE")]
        UDPLITE = 136 => "udplite",
    }
}

impl Protocol {
    /// Returns true for protocols with ports: TCP, UDP, UDP-Lite, SCTP and DCCP.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::UDPLITE | Self::SCTP | Self::DCCP)
    }

    /// Returns true for ICMP and ICMPv6.
    #[must_use]
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6)
    }
}

/// State and parameters of a flow whose protocol has them (`CTA_PROTOINFO`).
///
/// Dumps of offloaded flows do not contain it, nor do events that did not change it.
///
/// # Example
///
/// ```
/// use ctnetlink::{ProtocolInfo, TcpInfo, TcpState};
///
/// let info = ProtocolInfo::from(TcpInfo::new(TcpState::ESTABLISHED));
/// assert!(matches!(info, ProtocolInfo::Tcp(tcp) if tcp.state == Some(TcpState::ESTABLISHED)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ProtocolInfo {
    /// A TCP connection.
    Tcp(TcpInfo),
    /// An SCTP association.
    Sctp(SctpInfo),
    /// A DCCP connection.
    Dccp(DccpInfo),
    /// A protocol that this crate does not know.
    Unknown,
}

impl ProtocolInfo {
    /// Returns the state and parameters of TCP. `None` for another protocol.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpInfo> {
        if let Self::Tcp(info) = self { Some(info) } else { None }
    }

    /// Returns the state and parameters of SCTP. `None` for another protocol.
    #[must_use]
    pub const fn sctp(&self) -> Option<&SctpInfo> {
        if let Self::Sctp(info) = self { Some(info) } else { None }
    }

    /// Returns the state and parameters of DCCP. `None` for another protocol.
    #[must_use]
    pub const fn dccp(&self) -> Option<&DccpInfo> {
        if let Self::Dccp(info) = self { Some(info) } else { None }
    }

    /// Returns the state of the protocol, for printing.
    #[must_use]
    pub fn state(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::Tcp(info) => info.state.as_ref().map(|state| state as _),
            Self::Sctp(info) => info.state.as_ref().map(|state| state as _),
            Self::Dccp(info) => info.state.as_ref().map(|state| state as _),
            Self::Unknown => None,
        }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        match TcpInfo::recognise(attribute.payload()) {
            Some(info) => Ok(Self::Tcp(info)),
            None => attribute.walk(AttributeSet::ProtocolInfo, Self::walk),
        }
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_PROTOINFO_TCP => tcp = TcpInfo::read,
            CTA_PROTOINFO_SCTP => sctp = SctpInfo::read,
            CTA_PROTOINFO_DCCP => dccp = DccpInfo::read,
        );
        let known = tcp.map(Self::Tcp).or(sctp.map(Self::Sctp)).or(dccp.map(Self::Dccp));
        Ok(known.unwrap_or(Self::Unknown))
    }
}

impl Encode for ProtocolInfo {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Self::Tcp(info) => encoder.nested(CTA_PROTOINFO_TCP, info),
            Self::Sctp(info) => encoder.nested(CTA_PROTOINFO_SCTP, info),
            Self::Dccp(info) => encoder.nested(CTA_PROTOINFO_DCCP, info),
            Self::Unknown => {}
        }
    }
}

impl From<TcpInfo> for ProtocolInfo {
    fn from(info: TcpInfo) -> Self {
        Self::Tcp(info)
    }
}

impl From<SctpInfo> for ProtocolInfo {
    fn from(info: SctpInfo) -> Self {
        Self::Sctp(info)
    }
}

impl From<DccpInfo> for ProtocolInfo {
    fn from(info: DccpInfo) -> Self {
        Self::Dccp(info)
    }
}

open_enum! {
    /// The state of an SCTP association (`enum sctp_conntrack`).
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!(ctnetlink::SctpState::COOKIE_WAIT.to_string(), "COOKIE_WAIT");
    /// ```
    pub struct SctpState(u8) as "an SCTP state" {
        /// No packet was seen yet.
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
crate::macros::serialize_present!(SctpInfo { ; state, verification_tag_original, verification_tag_reply });

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

open_enum! {
    /// The state of a DCCP connection (`enum ct_dccp_states`).
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!("OPEN".parse(), Ok(ctnetlink::DccpState::OPEN));
    /// ```
    pub struct DccpState(u8) as "a DCCP state" {
        /// No packet was seen yet.
        #[doc(alias = "CT_DCCP_NONE")]
        NONE = 0 => "NONE",
        /// A request was seen.
        #[doc(alias = "CT_DCCP_REQUEST")]
        REQUEST = 1 => "REQUEST",
        /// A response was seen.
        #[doc(alias = "CT_DCCP_RESPOND")]
        RESPOND = 2 => "RESPOND",
        /// The client has acknowledged the response.
        #[doc(alias = "CT_DCCP_PARTOPEN")]
        PARTOPEN = 3 => "PARTOPEN",
        /// Established.
        #[doc(alias = "CT_DCCP_OPEN")]
        OPEN = 4 => "OPEN",
        /// The server asks to close.
        #[doc(alias = "CT_DCCP_CLOSEREQ")]
        CLOSEREQ = 5 => "CLOSEREQ",
        /// A close was seen.
        #[doc(alias = "CT_DCCP_CLOSING")]
        CLOSING = 6 => "CLOSING",
        /// Closed, waiting for late packets.
        #[doc(alias = "CT_DCCP_TIMEWAIT")]
        TIMEWAIT = 7 => "TIMEWAIT",
        /// A packet that changes nothing.
        #[doc(alias = "CT_DCCP_IGNORE")]
        IGNORE = 8 => "IGNORE",
        /// An invalid packet.
        #[doc(alias = "CT_DCCP_INVALID")]
        INVALID = 9 => "INVALID",
    }
}

open_enum! {
    /// The role of the initiator of a DCCP connection (`enum ct_dccp_roles`).
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!("client".parse(), Ok(ctnetlink::DccpRole::CLIENT));
    /// ```
    pub struct DccpRole(u8) as "a DCCP role" {
        /// The original direction is the client's.
        #[doc(alias = "CT_DCCP_ROLE_CLIENT")]
        CLIENT = 0 => "client",
        /// The original direction is the server's.
        #[doc(alias = "CT_DCCP_ROLE_SERVER")]
        SERVER = 1 => "server",
    }
}

/// The DCCP tracker's state and parameters of a flow (`CTA_PROTOINFO_DCCP`).
///
/// # Example
///
/// ```
/// use ctnetlink::{DccpInfo, DccpState, ProtocolInfo};
///
/// let mut info = DccpInfo::default();
/// info.state = Some(DccpState::OPEN);
/// assert_eq!(ProtocolInfo::from(info).dccp().and_then(|info| info.state), Some(DccpState::OPEN));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DccpInfo {
    /// The state (`CTA_PROTOINFO_DCCP_STATE`).
    pub state: Option<DccpState>,
    /// The role of the original direction (`CTA_PROTOINFO_DCCP_ROLE`).
    pub role: Option<DccpRole>,
    /// The sequence number of the handshake (`CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ`; 48 bits).
    pub handshake_sequence: Option<u64>,
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(DccpInfo { ; state, role, handshake_sequence });

impl DccpInfo {
    /// All that a create or update takes.
    #[must_use]
    pub const fn new(state: DccpState, role: DccpRole, handshake_sequence: u64) -> Self {
        Self { state: Some(state), role: Some(role), handshake_sequence: Some(handshake_sequence) }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Dccp, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_PROTOINFO_DCCP_STATE => state = Attribute::u8,
            CTA_PROTOINFO_DCCP_ROLE => role = Attribute::u8,
            CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ => handshake_sequence = Attribute::u64,
        );
        Ok(Self { state: state.map(DccpState), role: role.map(DccpRole), handshake_sequence })
    }
}

impl Encode for DccpInfo {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.optional_u8(CTA_PROTOINFO_DCCP_STATE, self.state.map(|state| state.0));
        encoder.optional_u8(CTA_PROTOINFO_DCCP_ROLE, self.role.map(|role| role.0));
        encoder.optional_u64(CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ, self.handshake_sequence);
    }
}
