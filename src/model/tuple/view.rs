//! Tuples from the wire: as views, as values, and on a fast path for the layouts that the kernel writes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Endpoint, Layer4, Tuple};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    macros::read_attributes,
    model::Protocol,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC,
        CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE,
        CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO,
        CTA_TUPLE_ZONE, FixedLayout, FixedNest, HeaderAt,
    },
};

/// A view of a tuple in the receive buffer.
///
/// Parsing checked its structure, so reading it cannot fail.
///
/// # Example
///
/// ```
/// use ctnetlink::{TupleRef, wire::{AttributeSet, Attributes}};
///
/// # #[rustfmt::skip]
/// # let bytes: Vec<u8> = [
/// #     [20_u16, 0x8001], [8, 1]].concat().iter().flat_map(|word| word.to_ne_bytes()).chain([10, 0, 0, 1])
/// #     .chain([8_u16, 2].iter().flat_map(|word| word.to_ne_bytes())).chain([10, 0, 0, 2])
/// #     .chain([12_u16, 0x8002, 5, 1].iter().flat_map(|word| word.to_ne_bytes())).chain([50, 0, 0, 0]).collect();
/// let tuple = TupleRef::parse(Attributes::new(&bytes, AttributeSet::Tuple))?;
/// assert_eq!(tuple.to_tuple().to_string(), "50 10.0.0.1 10.0.0.2");
/// # Ok::<(), ctnetlink::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TupleRef<'a> {
    bytes: &'a [u8],
}

impl<'a> TupleRef<'a> {
    /// Checks the payload of `CTA_TUPLE_ORIG`, or of any other attribute that holds a tuple.
    ///
    /// # Errors
    ///
    /// Fails if an attribute is malformed or missing. The path of the error names it.
    #[inline]
    pub fn parse(attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        let bytes = attributes.as_bytes();
        if !is_laid_out(bytes) {
            Tuple::walk(Attributes::new(bytes, AttributeSet::Tuple))?;
        }
        Ok(Self { bytes })
    }

    #[inline(always)]
    pub(crate) fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        if !is_laid_out(attribute.payload()) {
            attribute.walk(AttributeSet::Tuple, Tuple::walk)?;
        }
        Ok(Self { bytes: attribute.payload() })
    }

    /// Copies the tuple into a value.
    #[must_use]
    #[inline]
    pub fn to_tuple(&self) -> Tuple {
        match UsualTuple::ipv4(self.bytes) {
            Some(tuple) => tuple.to_tuple(),
            None => self.to_other_tuple(),
        }
    }

    #[inline(never)]
    fn to_other_tuple(self) -> Tuple {
        let tuple = UsualTuple::ipv6(self.bytes).map(UsualTuple::to_tuple).or_else(|| query(self.bytes));
        // `parse` has walked these bytes, so this cannot fail.
        tuple.or_else(|| Tuple::walk(self.attributes()).ok()).unwrap_or(Tuple::UNSPECIFIED)
    }

    /// Returns the source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.to_tuple().source
    }

    /// Returns the destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.to_tuple().destination
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.to_tuple().protocol
    }

    /// Returns the protocol's part.
    #[must_use]
    pub fn layer4(&self) -> Layer4 {
        self.to_tuple().layer4
    }

    /// Returns the source: its address, and its port or key if the protocol has them.
    #[must_use]
    pub fn source_endpoint(&self) -> Endpoint {
        self.to_tuple().source_endpoint()
    }

    /// Returns the destination: its address, and its port or key if the protocol has them.
    #[must_use]
    pub fn destination_endpoint(&self) -> Endpoint {
        self.to_tuple().destination_endpoint()
    }

    /// Returns the source port, if the protocol has ports.
    #[must_use]
    pub fn source_port(&self) -> Option<u16> {
        self.to_tuple().source_port()
    }

    /// Returns the destination port, if the protocol has ports.
    #[must_use]
    pub fn destination_port(&self) -> Option<u16> {
        self.to_tuple().destination_port()
    }

    /// Returns the zone of this direction, if the flow has a zone for this direction only.
    #[must_use]
    pub fn zone(&self) -> Option<u16> {
        self.to_tuple().zone
    }

    /// Returns the attributes, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, AttributeSet::Tuple)
    }
}

/// Returns true if the bytes have a known layout, which makes a walk unnecessary.
#[inline(always)]
fn is_laid_out(bytes: &[u8]) -> bool {
    UsualTuple::recognise(bytes).is_some() || query(bytes).is_some()
}

impl From<TupleRef<'_>> for Tuple {
    fn from(tuple: TupleRef<'_>) -> Self {
        tuple.to_tuple()
    }
}

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
        let tuple = UsualTuple::ipv6(nest).map(UsualTuple::to_tuple).or_else(|| query(nest));
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
///
/// The plain version is [`Tuple::walk`]: it accepts attributes in any order and of any length, and reports every error.
/// This fast path and [`query`] accept four layouts only, and nothing else about them may differ: the same attributes, in
/// the same order, of the same lengths. All headers of a layout are compared at once, then each value is read at its
/// fixed position. Whatever does not match is walked.
///
/// Invariant: if the fast path returns a tuple, the walk of the same bytes returns the same tuple. The tests below and
/// the properties in `tests/codec` compare the two.
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
