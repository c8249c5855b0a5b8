//! Tuples from the wire.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Layer4, Tuple, UsualTuple, fast_path};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    macros::read_attributes,
    model::Protocol,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC,
        CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE,
        CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO,
        CTA_TUPLE_ZONE,
    },
};

impl Tuple {
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        let mut tuple = Self::UNSPECIFIED;
        tuple.read_in_place(attribute)?;
        Ok(tuple)
    }

    /// Reads a tuple into its final place: it has many small fields, and a copy costs as much as reading it.
    #[inline(always)]
    pub(crate) fn read_in_place(&mut self, attribute: Attribute<'_>) -> Result<(), DecodeError> {
        if let Some(tuple) = UsualTuple::ipv4(attribute.payload()) {
            *self = tuple.to_tuple();
        } else if !self.read_other(attribute.payload()) {
            *self = attribute.walk(AttributeSet::Tuple, Self::walk)?;
        }
        Ok(())
    }

    /// A function apart: inlined, the compiler merges the code of both families, which is slower for each.
    #[inline(never)]
    fn read_other(&mut self, nest: &[u8]) -> bool {
        let tuple = UsualTuple::ipv6(nest).map(UsualTuple::to_tuple).or_else(|| fast_path::query(nest));
        tuple.map(|tuple| *self = tuple).is_some()
    }

    pub(super) fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TUPLE_IP => addresses = |ip: Attribute<'_>| ip.walk(AttributeSet::TupleIp, walk_addresses),
            CTA_TUPLE_PROTO => layer4 = |protocol: Attribute<'_>| protocol.walk(AttributeSet::TupleProtocol, walk_layer4),
            CTA_TUPLE_ZONE => zone = Attribute::u16,
        );
        match (addresses, layer4) {
            (Some((source, destination)), Some((protocol, layer4))) => {
                Ok(Self { source, destination, protocol, layer4, zone })
            }
            (None, _) => Err(attributes.missing(CTA_TUPLE_IP)),
            (_, None) => Err(attributes.missing(CTA_TUPLE_PROTO)),
        }
    }
}

#[inline]
fn walk_addresses(attributes: Attributes<'_>) -> Result<(IpAddr, IpAddr), DecodeError> {
    read_attributes!(attributes;
        CTA_IP_V4_SRC => source4 = Attribute::u32,
        CTA_IP_V4_DST => destination4 = Attribute::u32,
        CTA_IP_V6_SRC => source6 = Attribute::array::<16>,
        CTA_IP_V6_DST => destination6 = Attribute::array::<16>,
    );
    match (source4, destination4, source6, destination6) {
        (Some(source), Some(destination), None, None) => {
            Ok((Ipv4Addr::from_bits(source).into(), Ipv4Addr::from_bits(destination).into()))
        }
        (None, None, Some(source), Some(destination)) => {
            Ok((Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into()))
        }
        (Some(_), None, None, None) => Err(attributes.missing(CTA_IP_V4_DST)),
        (None, None, Some(_), None) => Err(attributes.missing(CTA_IP_V6_DST)),
        (None, Some(_), None, None) | (None, None, None, None) => Err(attributes.missing(CTA_IP_V4_SRC)),
        (None, None, None, Some(_)) => Err(attributes.missing(CTA_IP_V6_SRC)),
        _ => Err(DecodeError::new(DecodeErrorKind::Value("addresses of two families"), 0)),
    }
}

#[inline]
fn walk_layer4(attributes: Attributes<'_>) -> Result<(Protocol, Layer4), DecodeError> {
    read_attributes!(attributes;
        CTA_PROTO_NUM => protocol = Attribute::u8,
        CTA_PROTO_SRC_PORT => source = Attribute::u16,
        CTA_PROTO_DST_PORT => destination = Attribute::u16,
        CTA_PROTO_ICMP_ID => icmp_id = Attribute::u16,
        CTA_PROTO_ICMP_TYPE => icmp_type = Attribute::u8,
        CTA_PROTO_ICMP_CODE => icmp_code = Attribute::u8,
        CTA_PROTO_ICMPV6_ID => icmpv6_id = Attribute::u16,
        CTA_PROTO_ICMPV6_TYPE => icmpv6_type = Attribute::u8,
        CTA_PROTO_ICMPV6_CODE => icmpv6_code = Attribute::u8,
    );
    let protocol = Protocol(protocol.ok_or_else(|| attributes.missing(CTA_PROTO_NUM))?);
    let (icmp_type, code, id) = match protocol {
        Protocol::ICMP => (icmp_type, icmp_code, icmp_id),
        Protocol::ICMPV6 => (icmpv6_type, icmpv6_code, icmpv6_id),
        _ => (None, None, None),
    };
    let layer4 = match (protocol, source, destination, icmp_type, code, id) {
        (_, _, _, Some(icmp_type), Some(code), Some(id)) => Layer4::Icmp { icmp_type, code, id },
        (_, Some(source), Some(destination), ..) => Layer4::pair(protocol, source, destination),
        (_, None, None, None, None, None) => Layer4::None,
        (_, Some(_), None, ..) => return Err(attributes.missing(CTA_PROTO_DST_PORT)),
        (_, None, Some(_), ..) => return Err(attributes.missing(CTA_PROTO_SRC_PORT)),
        _ => return Err(DecodeError::new(DecodeErrorKind::Value("an ICMP query without type, code or id"), 0)),
    };
    Ok((protocol, layer4))
}
