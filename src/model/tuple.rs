//! Tuples: what identifies one direction of a flow.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Family, Protocol};
use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError},
    macros::read_attributes,
    wire::{
        Attribute, Attributes, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_PROTO_DST_PORT,
        CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID,
        CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO, CTA_TUPLE_ZONE,
        Encoder, Expected, Fixed, Layout, Nest,
    },
};

/// Addresses, protocol and ports of the packets of one direction: what the kernel looks a flow up by.
///
/// Source: `struct nf_conntrack_tuple`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Protocol, Tuple};
///
/// let request = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// assert_eq!(request.protocol, Protocol::TCP);
/// assert_eq!(request.destination_port(), Some(22));
/// assert_eq!(request.inverted().map(|reply| reply.source), Some(request.destination));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Layer 4 protocol.
    pub protocol: Protocol,
    /// What the protocol adds.
    pub layer4: Layer4,
    /// The zone of this direction, where the flow has one for this direction only (`CTA_TUPLE_ZONE`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub zone: Option<u16>,
}

/// What a layer 4 protocol adds to a tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Layer4 {
    /// Nothing: a protocol without a tracker of its own.
    #[default]
    None,
    /// TCP, UDP, UDP-Lite, SCTP, DCCP: ports, in the order of the host.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// GRE: the keys of a PPTP call, 0 for plain GRE.
    Keys {
        /// Source key.
        source: u16,
        /// Destination key.
        destination: u16,
    },
    /// ICMP and ICMPv6: a query.
    Icmp {
        /// Type: of the request in the original tuple, of the answer in the reply tuple.
        #[cfg_attr(feature = "serde", serde(rename = "type"))]
        icmp_type: u8,
        /// Code.
        code: u8,
        /// Identifier, the same in both tuples.
        id: u16,
    },
}

impl Tuple {
    /// What no packet has: to be overwritten.
    pub(crate) const UNSPECIFIED: Self =
        Self::new(Protocol(0), IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// A tuple of addresses alone, for a protocol without ports.
    #[must_use]
    pub const fn new(protocol: Protocol, source: IpAddr, destination: IpAddr) -> Self {
        Self { source, destination, protocol, layer4: Layer4::None, zone: None }
    }

    /// A tuple of a protocol with ports.
    #[must_use]
    pub const fn with_ports(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        let layer4 = Layer4::Ports { source: source.port(), destination: destination.port() };
        Self { layer4, ..Self::new(protocol, source.ip(), destination.ip()) }
    }

    /// A TCP tuple.
    #[must_use]
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::TCP, source, destination)
    }

    /// A UDP tuple.
    #[must_use]
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::UDP, source, destination)
    }

    /// An SCTP tuple.
    #[must_use]
    pub const fn sctp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::SCTP, source, destination)
    }

    /// A GRE tuple.
    #[must_use]
    pub const fn gre(source: IpAddr, destination: IpAddr, source_key: u16, destination_key: u16) -> Self {
        let layer4 = Layer4::Keys { source: source_key, destination: destination_key };
        Self { layer4, ..Self::new(Protocol::GRE, source, destination) }
    }

    /// An ICMP or, between IPv6 addresses, ICMPv6 tuple.
    ///
    /// The kernel tracks queries: echo (8), timestamp (13), information (15), address mask (17) and their answers; of
    /// ICMPv6 echo (128) and node information (139).
    #[must_use]
    pub const fn icmp(source: IpAddr, destination: IpAddr, icmp_type: u8, code: u8, id: u16) -> Self {
        let protocol = if source.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
        Self { layer4: Layer4::Icmp { icmp_type, code, id }, ..Self::new(protocol, source, destination) }
    }

    /// The same tuple in a zone of this direction only.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// The layer 3 family, that of the source address.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// The source port, if the protocol has ports.
    #[must_use]
    pub const fn source_port(&self) -> Option<u16> {
        if let Layer4::Ports { source, .. } = self.layer4 { Some(source) } else { None }
    }

    /// The destination port, if the protocol has ports.
    #[must_use]
    pub const fn destination_port(&self) -> Option<u16> {
        if let Layer4::Ports { destination, .. } = self.layer4 { Some(destination) } else { None }
    }

    /// The tuple of the answers, as it is without NAT: ends swapped, and the answering type for ICMP.
    ///
    /// `None` for an ICMP type that has no answer: the kernel does not track those. The zone of a direction does not
    /// carry over.
    #[must_use]
    pub fn inverted(&self) -> Option<Self> {
        let layer4 = match self.layer4 {
            Layer4::None => Layer4::None,
            Layer4::Ports { source, destination } => Layer4::Ports { source: destination, destination: source },
            Layer4::Keys { source, destination } => Layer4::Keys { source: destination, destination: source },
            Layer4::Icmp { icmp_type, code, id } => {
                Layer4::Icmp { icmp_type: answering_type(self.protocol, icmp_type)?, code, id }
            }
        };
        Some(Self { source: self.destination, destination: self.source, protocol: self.protocol, layer4, zone: None })
    }

    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        let mut tuple = Self::UNSPECIFIED;
        tuple.read_in_place(attribute)?;
        Ok(tuple)
    }

    /// Reads a tuple to where it is to stay: it is many small fields, and copying it costs as much as reading it.
    #[inline(always)]
    pub(crate) fn read_in_place(&mut self, attribute: Attribute<'_>) -> Result<(), DecodeError> {
        if let Some(tuple) = UsualTuple::ipv4(attribute.payload()) {
            *self = tuple.to_tuple();
        } else if !self.read_ipv6(attribute.payload()) {
            *self = attribute.walk(Nest::Tuple, Self::walk)?;
        }
        Ok(())
    }

    /// Apart, because the compiler would make one code of both families that is slower for each.
    #[inline(never)]
    fn read_ipv6(&mut self, nest: &[u8]) -> bool {
        UsualTuple::ipv6(nest).map(|tuple| *self = tuple.to_tuple()).is_some()
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TUPLE_IP => addresses = |ip: Attribute<'_>| ip.walk(Nest::TupleIp, walk_addresses),
            CTA_TUPLE_PROTO => layer4 = |protocol: Attribute<'_>| protocol.walk(Nest::TupleProtocol, walk_layer4),
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

    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.nest(CTA_TUPLE_IP, |ip| match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ip.u32(CTA_IP_V4_SRC, source.to_bits());
                ip.u32(CTA_IP_V4_DST, destination.to_bits());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ip.attribute(CTA_IP_V6_SRC, &source.octets());
                ip.attribute(CTA_IP_V6_DST, &destination.octets());
            }
            _ => ip.fail(EncodeError::Value("source and destination are of different families")),
        });
        encoder.nest(CTA_TUPLE_PROTO, |nest| {
            nest.u8(CTA_PROTO_NUM, self.protocol.0);
            self.layer4.encode(self.protocol, nest);
        });
        if let Some(zone) = self.zone {
            encoder.u16(CTA_TUPLE_ZONE, zone);
        }
    }
}

impl Layer4 {
    /// What a pair of 16-bit numbers is in that protocol.
    #[inline]
    pub(crate) const fn pair(protocol: Protocol, source: u16, destination: u16) -> Self {
        match protocol {
            Protocol::GRE => Self::Keys { source, destination },
            _ => Self::Ports { source, destination },
        }
    }

    fn encode(self, protocol: Protocol, nest: &mut Encoder<'_>) {
        match self {
            Self::None => {}
            Self::Ports { source, destination } | Self::Keys { source, destination } => {
                nest.u16(CTA_PROTO_SRC_PORT, source);
                nest.u16(CTA_PROTO_DST_PORT, destination);
            }
            Self::Icmp { icmp_type, code, id } => match IcmpAttributes::of(protocol) {
                Some(attributes) => {
                    nest.u16(attributes.id, id);
                    nest.u8(attributes.icmp_type, icmp_type);
                    nest.u8(attributes.code, code);
                }
                None => nest.fail(EncodeError::Value("an ICMP query in a tuple of another protocol")),
            },
        }
    }
}

/// The attributes that carry a query: ICMP and ICMPv6 each have their own three.
struct IcmpAttributes {
    id: u16,
    icmp_type: u16,
    code: u16,
}

impl IcmpAttributes {
    const fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::ICMP => {
                Some(Self { id: CTA_PROTO_ICMP_ID, icmp_type: CTA_PROTO_ICMP_TYPE, code: CTA_PROTO_ICMP_CODE })
            }
            Protocol::ICMPV6 => {
                Some(Self { id: CTA_PROTO_ICMPV6_ID, icmp_type: CTA_PROTO_ICMPV6_TYPE, code: CTA_PROTO_ICMPV6_CODE })
            }
            _ => None,
        }
    }
}

/// The type that answers a query, or that it answers (`invmap` in `nf_conntrack_proto_icmp.c` and `…icmpv6.c`).
const fn answering_type(protocol: Protocol, icmp_type: u8) -> Option<u8> {
    Some(match (protocol, icmp_type) {
        (Protocol::ICMP, 0) => 8,
        (Protocol::ICMP, 8) => 0,
        (Protocol::ICMP, 13) => 14,
        (Protocol::ICMP, 14) => 13,
        (Protocol::ICMP, 15) => 16,
        (Protocol::ICMP, 16) => 15,
        (Protocol::ICMP, 17) => 18,
        (Protocol::ICMP, 18) => 17,
        (Protocol::ICMPV6, 128) => 129,
        (Protocol::ICMPV6, 129) => 128,
        (Protocol::ICMPV6, 139) => 140,
        (Protocol::ICMPV6, 140) => 139,
        _ => return None,
    })
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

impl From<TupleRef<'_>> for Tuple {
    fn from(tuple: TupleRef<'_>) -> Self {
        tuple.to_tuple()
    }
}

const USUAL_IPV4: Layout<48, 7> = Layout::new([
    Expected::nest(0, 20, CTA_TUPLE_IP),
    Expected::value(4, 8, CTA_IP_V4_SRC),
    Expected::value(12, 8, CTA_IP_V4_DST),
    Expected::nest(20, 28, CTA_TUPLE_PROTO),
    Expected::value(24, 5, CTA_PROTO_NUM),
    Expected::value(32, 6, CTA_PROTO_SRC_PORT),
    Expected::value(40, 6, CTA_PROTO_DST_PORT),
]);

const USUAL_IPV6: Layout<72, 7> = Layout::new([
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
    fn ipv4(bytes: &'a [u8]) -> Option<Self> {
        USUAL_IPV4.recognise(bytes).map(Self::Ipv4)
    }

    #[inline(always)]
    fn ipv6(bytes: &'a [u8]) -> Option<Self> {
        USUAL_IPV6.recognise(bytes).map(Self::Ipv6)
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
    fn to_tuple(self) -> Tuple {
        Tuple {
            source: self.source(),
            destination: self.destination(),
            protocol: self.protocol(),
            layer4: self.layer4(),
            zone: None,
        }
    }
}

/// A tuple in the datagram it was received in.
///
/// Its structure was checked when the message was parsed, so that reading it cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct TupleRef<'a> {
    bytes: &'a [u8],
}

impl<'a> TupleRef<'a> {
    /// Checks the payload of `CTA_TUPLE_ORIG`, or of any other attribute that holds a tuple.
    ///
    /// # Errors
    ///
    /// Where an attribute is malformed or missing, as the error's path says.
    #[inline]
    pub fn parse(attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        let bytes = attributes.as_bytes();
        if UsualTuple::recognise(bytes).is_none() {
            Tuple::walk(Attributes::new(bytes, Nest::Tuple))?;
        }
        Ok(Self { bytes })
    }

    #[inline(always)]
    pub(crate) fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        if UsualTuple::recognise(attribute.payload()).is_none() {
            attribute.walk(Nest::Tuple, Tuple::walk)?;
        }
        Ok(Self { bytes: attribute.payload() })
    }

    /// The tuple as a value.
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
        match UsualTuple::ipv6(self.bytes) {
            Some(tuple) => tuple.to_tuple(),
            // `parse` has walked these very bytes: that cannot fail now.
            None => Tuple::walk(self.attributes()).unwrap_or(Tuple::UNSPECIFIED),
        }
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.to_tuple().source
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.to_tuple().destination
    }

    /// Layer 4 protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.to_tuple().protocol
    }

    /// What the protocol adds.
    #[must_use]
    pub fn layer4(&self) -> Layer4 {
        self.to_tuple().layer4
    }

    /// The source port, if the protocol has ports.
    #[must_use]
    pub fn source_port(&self) -> Option<u16> {
        self.to_tuple().source_port()
    }

    /// The destination port, if the protocol has ports.
    #[must_use]
    pub fn destination_port(&self) -> Option<u16> {
        self.to_tuple().destination_port()
    }

    /// The zone of this direction, where the flow has one for this direction only.
    #[must_use]
    pub fn zone(&self) -> Option<u16> {
        self.to_tuple().zone
    }

    /// The attributes, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, Nest::Tuple)
    }
}
