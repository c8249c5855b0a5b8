//! The state and parameters that the tracker of a protocol keeps for a flow.

use core::fmt;

use super::{DccpInfo, SctpInfo, TcpInfo};
use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_TCP, Encode, Encoder,
    },
};

/// State and parameters of a flow whose protocol has them (`CTA_PROTOINFO`).
///
/// Absent from dumps of offloaded flows, and from events in which nothing of it changed.
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
    /// The TCP part, if this is TCP.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpInfo> {
        if let Self::Tcp(info) = self { Some(info) } else { None }
    }

    /// The SCTP part, if this is SCTP.
    #[must_use]
    pub const fn sctp(&self) -> Option<&SctpInfo> {
        if let Self::Sctp(info) = self { Some(info) } else { None }
    }

    /// The DCCP part, if this is DCCP.
    #[must_use]
    pub const fn dccp(&self) -> Option<&DccpInfo> {
        if let Self::Dccp(info) = self { Some(info) } else { None }
    }

    /// The state, for printing: each protocol has its own.
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
