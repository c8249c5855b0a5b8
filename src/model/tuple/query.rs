//! Tuples as the kernel writes them for ICMP and ICMPv6.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Layer4, Tuple};
use crate::{
    model::Protocol,
    wire::{
        CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID,
        CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM,
        CTA_TUPLE_IP, CTA_TUPLE_PROTO, Expected, Fixed, Layout,
    },
};

const ICMP: Layout<56, 8> = Layout::new([
    Expected::nest(0, 20, CTA_TUPLE_IP),
    Expected::value(4, 8, CTA_IP_V4_SRC),
    Expected::value(12, 8, CTA_IP_V4_DST),
    Expected::nest(20, 36, CTA_TUPLE_PROTO),
    Expected::value(24, 5, CTA_PROTO_NUM),
    Expected::value(32, 6, CTA_PROTO_ICMP_ID),
    Expected::value(40, 5, CTA_PROTO_ICMP_TYPE),
    Expected::value(48, 5, CTA_PROTO_ICMP_CODE),
]);

const ICMPV6: Layout<80, 8> = Layout::new([
    Expected::nest(0, 44, CTA_TUPLE_IP),
    Expected::value(4, 20, CTA_IP_V6_SRC),
    Expected::value(24, 20, CTA_IP_V6_DST),
    Expected::nest(44, 36, CTA_TUPLE_PROTO),
    Expected::value(48, 5, CTA_PROTO_NUM),
    Expected::value(56, 6, CTA_PROTO_ICMPV6_ID),
    Expected::value(64, 5, CTA_PROTO_ICMPV6_TYPE),
    Expected::value(72, 5, CTA_PROTO_ICMPV6_CODE),
]);

/// The tuple of a query, if it is laid out as the kernel does.
#[inline(always)]
pub(super) fn recognise(bytes: &[u8]) -> Option<Tuple> {
    icmp(bytes).or_else(|| icmpv6(bytes))
}

#[inline(always)]
fn icmp(bytes: &[u8]) -> Option<Tuple> {
    let nest = ICMP.recognise(bytes)?;
    let (source, destination) = (Ipv4Addr::from(nest.array::<4>(8)), Ipv4Addr::from(nest.array::<4>(16)));
    let tuple = Tuple::new(Protocol(nest.u8(28)), source.into(), destination.into());
    // The layer 4 part of any other protocol is not to be read by these attributes.
    (tuple.protocol == Protocol::ICMP).then(|| Tuple { layer4: query(&nest, 36), ..tuple })
}

#[inline(always)]
fn icmpv6(bytes: &[u8]) -> Option<Tuple> {
    let nest = ICMPV6.recognise(bytes)?;
    let (source, destination) = (Ipv6Addr::from(nest.array::<16>(8)), Ipv6Addr::from(nest.array::<16>(28)));
    let tuple = Tuple::new(Protocol(nest.u8(52)), source.into(), destination.into());
    (tuple.protocol == Protocol::ICMPV6).then(|| Tuple { layer4: query(&nest, 60), ..tuple })
}

/// Identifier, type and code: each with a header before it.
#[inline(always)]
fn query<const N: usize>(nest: &Fixed<'_, N>, at: usize) -> Layer4 {
    Layer4::Icmp { id: nest.u16(at), icmp_type: nest.u8(at + 8), code: nest.u8(at + 16) }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::wire::{Attributes, Encode as _, Encoder, Nest};

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

    /// One of each family, and where its protocol stands.
    fn queries() -> [(Tuple, usize); 2] {
        [
            (Tuple::icmp(address("10.0.0.1"), address("10.0.0.2"), 8, 3, 0x1234), 28),
            (Tuple::icmp(address("fd00::1"), address("fd00::2"), 128, 5, 0x4321), 52),
        ]
    }

    #[test]
    fn a_query_of_either_family_is_read_where_it_stands() {
        for (tuple, _) in queries() {
            assert_eq!(recognise(&bytes(tuple)), Some(tuple));
        }
    }

    #[test]
    fn attributes_of_a_query_under_another_protocol_are_none() {
        for (tuple, place) in queries() {
            let mut bytes = bytes(tuple);
            for number in 0..=u8::MAX {
                bytes[place] = number;
                let walked = Tuple::walk(Attributes::new(&bytes, Nest::Tuple)).unwrap();
                assert_eq!(recognise(&bytes).unwrap_or(walked), walked);
                assert_eq!(recognise(&bytes).is_some(), number == tuple.protocol.0);
            }
        }
    }
}
