//! The state of the DCCP tracker, which Linux 6.17 removed.

use crate::{
    error::DecodeError,
    macros::{open_enum, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ, CTA_PROTOINFO_DCCP_ROLE,
        CTA_PROTOINFO_DCCP_STATE, Encode, Encoder,
    },
};

open_enum! {
    /// The state of a DCCP connection (`enum ct_dccp_states`).
    ///
    /// # Example
    ///
    /// ```
    /// assert_eq!("OPEN".parse(), Ok(ctnetlink::DccpState::OPEN));
    /// ```
    pub struct DccpState(u8) as "a DCCP state" {
        /// Nothing seen yet.
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
crate::serde::serialize_present!(DccpInfo { ; state, role, handshake_sequence });

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
