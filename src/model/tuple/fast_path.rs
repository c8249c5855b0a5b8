//! Tuples in the layout that the kernel writes, read without a walk.
//!
//! The plain version is `Tuple::walk` in `decode.rs`: it accepts attributes in any order and of any length, and reports
//! every error. This file accepts four layouts only, and nothing else about them may differ: the same attributes, in
//! the same order, of the same lengths. All headers of a layout are compared at once, then each value is read at its
//! fixed position. Whatever does not match is walked.
//!
//! Invariant: if a function here returns a tuple, the walk of the same bytes returns the same tuple. The tests below and
//! the properties in `tests/codec` hold the two against each other.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Layer4, Tuple};
use crate::{
    model::Protocol,
    wire::{
        CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE,
        CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE,
        CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO, FixedLayout, FixedNest, HeaderAt,
    },
};

const IPV4: FixedLayout<48, 7> = FixedLayout::new([
    HeaderAt::nest(0, 20, CTA_TUPLE_IP),
    HeaderAt::value(4, 8, CTA_IP_V4_SRC),
    HeaderAt::value(12, 8, CTA_IP_V4_DST),
    HeaderAt::nest(20, 28, CTA_TUPLE_PROTO),
    HeaderAt::value(24, 5, CTA_PROTO_NUM),
    HeaderAt::value(32, 6, CTA_PROTO_SRC_PORT),
    HeaderAt::value(40, 6, CTA_PROTO_DST_PORT),
]);

const IPV6: FixedLayout<72, 7> = FixedLayout::new([
    HeaderAt::nest(0, 44, CTA_TUPLE_IP),
    HeaderAt::value(4, 20, CTA_IP_V6_SRC),
    HeaderAt::value(24, 20, CTA_IP_V6_DST),
    HeaderAt::nest(44, 28, CTA_TUPLE_PROTO),
    HeaderAt::value(48, 5, CTA_PROTO_NUM),
    HeaderAt::value(56, 6, CTA_PROTO_SRC_PORT),
    HeaderAt::value(64, 6, CTA_PROTO_DST_PORT),
]);

const ICMP: FixedLayout<56, 8> = FixedLayout::new([
    HeaderAt::nest(0, 20, CTA_TUPLE_IP),
    HeaderAt::value(4, 8, CTA_IP_V4_SRC),
    HeaderAt::value(12, 8, CTA_IP_V4_DST),
    HeaderAt::nest(20, 36, CTA_TUPLE_PROTO),
    HeaderAt::value(24, 5, CTA_PROTO_NUM),
    HeaderAt::value(32, 6, CTA_PROTO_ICMP_ID),
    HeaderAt::value(40, 5, CTA_PROTO_ICMP_TYPE),
    HeaderAt::value(48, 5, CTA_PROTO_ICMP_CODE),
]);

const ICMPV6: FixedLayout<80, 8> = FixedLayout::new([
    HeaderAt::nest(0, 44, CTA_TUPLE_IP),
    HeaderAt::value(4, 20, CTA_IP_V6_SRC),
    HeaderAt::value(24, 20, CTA_IP_V6_DST),
    HeaderAt::nest(44, 36, CTA_TUPLE_PROTO),
    HeaderAt::value(48, 5, CTA_PROTO_NUM),
    HeaderAt::value(56, 6, CTA_PROTO_ICMPV6_ID),
    HeaderAt::value(64, 5, CTA_PROTO_ICMPV6_TYPE),
    HeaderAt::value(72, 5, CTA_PROTO_ICMPV6_CODE),
]);

/// A tuple of TCP, UDP, UDP-Lite, SCTP or GRE in the kernel's layout. Each part is read in place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsualTuple<'a> {
    Ipv4(FixedNest<'a, 48>),
    Ipv6(FixedNest<'a, 72>),
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

/// Returns the tuple of a query, if it has the kernel's layout.
#[inline(always)]
pub(super) fn query(bytes: &[u8]) -> Option<Tuple> {
    icmp(bytes).or_else(|| icmpv6(bytes))
}

#[inline(always)]
fn icmp(bytes: &[u8]) -> Option<Tuple> {
    let nest = ICMP.recognise(bytes)?;
    let (source, destination) = (Ipv4Addr::from(nest.array::<4>(8)), Ipv4Addr::from(nest.array::<4>(16)));
    // Under any other protocol these attributes mean nothing: the walk decides.
    (nest.u8(28) == Protocol::ICMP.0).then(|| Tuple {
        source: source.into(),
        destination: destination.into(),
        protocol: Protocol::ICMP,
        layer4: query_part(&nest, 36),
        zone: None,
    })
}

#[inline(always)]
fn icmpv6(bytes: &[u8]) -> Option<Tuple> {
    let nest = ICMPV6.recognise(bytes)?;
    let (source, destination) = (Ipv6Addr::from(nest.array::<16>(8)), Ipv6Addr::from(nest.array::<16>(28)));
    (nest.u8(52) == Protocol::ICMPV6.0).then(|| Tuple {
        source: source.into(),
        destination: destination.into(),
        protocol: Protocol::ICMPV6,
        layer4: query_part(&nest, 60),
        zone: None,
    })
}

/// Identifier, type and code, each with a header before it.
#[inline(always)]
fn query_part<const N: usize>(nest: &FixedNest<'_, N>, at: usize) -> Layer4 {
    Layer4::Icmp { id: nest.u16(at), icmp_type: nest.u8(at + 8), code: nest.u8(at + 16) }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::wire::{AttributeSet, Attributes, Encode as _, Encoder};

    fn bytes(tuple: Tuple) -> Vec<u8> {
        let mut buffer = vec![0; 128];
        let mut encoder = Encoder::new(&mut buffer);
        tuple.encode(&mut encoder);
        let length = encoder.finish().unwrap();
        buffer.truncate(length);
        buffer
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One of each family, with the position of its protocol.
    fn queries() -> [(Tuple, usize); 2] {
        [
            (Tuple::icmp(address("10.0.0.1"), address("10.0.0.2"), 8, 3, 0x1234), 28),
            (Tuple::icmp(address("fd00::1"), address("fd00::2"), 128, 5, 0x4321), 52),
        ]
    }

    #[test]
    fn query_of_either_family_takes_the_fast_path() {
        for (tuple, _) in queries() {
            assert_eq!(query(&bytes(tuple)), Some(tuple));
        }
    }

    #[test]
    fn query_attributes_of_another_protocol_are_ignored() {
        for (tuple, place) in queries() {
            let mut bytes = bytes(tuple);
            for number in 0..=u8::MAX {
                bytes[place] = number;
                let walked = Tuple::walk(Attributes::new(&bytes, AttributeSet::Tuple)).unwrap();
                assert_eq!(query(&bytes).unwrap_or(walked), walked);
                assert_eq!(query(&bytes).is_some(), number == tuple.protocol.0);
            }
        }
    }
}
