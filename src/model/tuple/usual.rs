//! Tuples as the kernel writes them for TCP, UDP, UDP-Lite, SCTP and GRE.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Layer4, Tuple};
use crate::{
    model::Protocol,
    wire::{
        CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_PROTO_DST_PORT, CTA_PROTO_NUM,
        CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO, Expected, Fixed, Layout,
    },
};

const IPV4: Layout<48, 7> = Layout::new([
    Expected::nest(0, 20, CTA_TUPLE_IP),
    Expected::value(4, 8, CTA_IP_V4_SRC),
    Expected::value(12, 8, CTA_IP_V4_DST),
    Expected::nest(20, 28, CTA_TUPLE_PROTO),
    Expected::value(24, 5, CTA_PROTO_NUM),
    Expected::value(32, 6, CTA_PROTO_SRC_PORT),
    Expected::value(40, 6, CTA_PROTO_DST_PORT),
]);

const IPV6: Layout<72, 7> = Layout::new([
    Expected::nest(0, 44, CTA_TUPLE_IP),
    Expected::value(4, 20, CTA_IP_V6_SRC),
    Expected::value(24, 20, CTA_IP_V6_DST),
    Expected::nest(44, 28, CTA_TUPLE_PROTO),
    Expected::value(48, 5, CTA_PROTO_NUM),
    Expected::value(56, 6, CTA_PROTO_SRC_PORT),
    Expected::value(64, 6, CTA_PROTO_DST_PORT),
]);

/// A tuple as the kernel writes it for TCP, UDP, UDP-Lite, SCTP and GRE: each part is read where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsualTuple<'a> {
    Ipv4(Fixed<'a, 48>),
    Ipv6(Fixed<'a, 72>),
}

impl<'a> UsualTuple<'a> {
    #[inline(always)]
    pub(crate) fn recognise(bytes: &'a [u8]) -> Option<Self> {
        match Self::ipv4(bytes) {
            Some(tuple) => Some(tuple),
            None => Self::ipv6(bytes),
        }
    }

    #[inline(always)]
    pub(super) fn ipv4(bytes: &'a [u8]) -> Option<Self> {
        IPV4.recognise(bytes).map(Self::Ipv4)
    }

    #[inline(always)]
    pub(super) fn ipv6(bytes: &'a [u8]) -> Option<Self> {
        IPV6.recognise(bytes).map(Self::Ipv6)
    }

    #[inline(always)]
    pub(crate) fn source(&self) -> IpAddr {
        match self {
            Self::Ipv4(nest) => Ipv4Addr::from(nest.array::<4>(8)).into(),
            Self::Ipv6(nest) => Ipv6Addr::from(nest.array::<16>(8)).into(),
        }
    }

    #[inline(always)]
    pub(crate) fn destination(&self) -> IpAddr {
        match self {
            Self::Ipv4(nest) => Ipv4Addr::from(nest.array::<4>(16)).into(),
            Self::Ipv6(nest) => Ipv6Addr::from(nest.array::<16>(28)).into(),
        }
    }

    #[inline(always)]
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Ipv4(nest) => Protocol(nest.u8(28)),
            Self::Ipv6(nest) => Protocol(nest.u8(52)),
        }
    }

    #[inline(always)]
    pub(crate) fn layer4(&self) -> Layer4 {
        let (source, destination) = match self {
            Self::Ipv4(nest) => (nest.u16(36), nest.u16(44)),
            Self::Ipv6(nest) => (nest.u16(60), nest.u16(68)),
        };
        Layer4::pair(self.protocol(), source, destination)
    }

    #[inline(always)]
    pub(super) fn to_tuple(self) -> Tuple {
        Tuple {
            source: self.source(),
            destination: self.destination(),
            protocol: self.protocol(),
            layer4: self.layer4(),
            zone: None,
        }
    }
}
