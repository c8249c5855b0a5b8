//! Tuples: the identification of one direction of a flow.

mod text;
mod view;

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Not,
};

use super::{Family, Protocol};
use crate::{
    error::{EncodeError, ParseError},
    wire::{
        CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE,
        CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE,
        CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_PROTO, CTA_TUPLE_ZONE, Encode, Encoder,
    },
};

pub(crate) use text::{layer4_name, parse_query};
pub use view::TupleRef;
pub(crate) use view::UsualTuple;

/// Addresses, protocol and ports of the packets of one direction. The kernel finds a flow by its tuples.
///
/// The constructors turn IPv4 addresses that are mapped into IPv6 (`::ffff:192.0.2.1`, as a dual-stack socket reports
/// them) into IPv4 addresses, because the kernel tracks such packets as IPv4. A tuple of one IPv4 and one IPv6 address
/// names no flow: sending it fails with an [`EncodeError`], and text with such a tuple does not parse.
///
/// Text has the syntax of `tuple` in the [filter language](crate::filter#the-language). Tuples are ordered by source,
/// destination, protocol, the protocol's part and zone.
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
///
/// assert_eq!(request.to_string(), "tcp 10.0.0.1:40000 10.0.0.2:22");
/// assert_eq!(request.to_string().parse(), Ok(request));
/// let mapped = Tuple::tcp("[::ffff:10.0.0.1]:40000".parse()?, "[::ffff:10.0.0.2]:22".parse()?);
/// assert_eq!(mapped, request);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[non_exhaustive]
pub struct Tuple {
    /// Source address (`CTA_IP_V4_SRC`, `CTA_IP_V6_SRC`).
    pub source: IpAddr,
    /// Destination address, of the same family (`CTA_IP_V4_DST`, `CTA_IP_V6_DST`).
    pub destination: IpAddr,
    /// Layer 4 protocol (`CTA_PROTO_NUM`).
    pub protocol: Protocol,
    /// Ports, keys or query, as the protocol has them.
    #[cfg_attr(feature = "serde", serde(default))]
    pub layer4: Layer4,
    /// The zone of this direction, if the flow has a zone for this direction only (`CTA_TUPLE_ZONE`).
    #[cfg_attr(feature = "serde", serde(default))]
    pub zone: Option<u16>,
}

/// The part of a tuple that depends on the layer 4 protocol.
///
/// # Example
///
/// ```
/// use ctnetlink::{Layer4, Tuple};
///
/// let tuple = Tuple::icmp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 8, 0, 77);
/// assert_eq!(tuple.layer4, Layer4::Icmp { icmp_type: 8, code: 0, id: 77 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Layer4 {
    /// Nothing: the protocol has no tracker.
    #[default]
    None,
    /// TCP, UDP, UDP-Lite, SCTP, DCCP: ports, in the order of the host.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// GRE: keys.
    Gre(GreKeys),
    /// ICMP and ICMPv6: a query.
    Icmp {
        /// Type: the type of the request in the original tuple, and of the reply in the reply tuple.
        #[cfg_attr(feature = "serde", serde(rename = "type"))]
        icmp_type: u8,
        /// Code.
        code: u8,
        /// Identifier, the same in both tuples.
        id: u16,
    },
}

/// The keys of a GRE tuple: the call identifiers of PPTP, or 0 for plain GRE.
///
/// # Example
///
/// ```
/// use ctnetlink::{GreKeys, Layer4, Tuple};
///
/// let tuple = Tuple::gre([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 5, 6);
/// assert_eq!(tuple.layer4, Layer4::Gre(GreKeys { source: 5, destination: 6 }));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "one key for each direction")]
pub struct GreKeys {
    /// Source key.
    pub source: u16,
    /// Destination key.
    pub destination: u16,
}

impl Layer4 {
    /// Returns true for a protocol without ports, keys or query.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Tuple {
    /// A placeholder that is overwritten.
    pub(crate) const UNSPECIFIED: Self =
        Self::new(Protocol(0), IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Creates a tuple of addresses only, for a protocol without ports.
    #[must_use]
    pub const fn new(protocol: Protocol, source: IpAddr, destination: IpAddr) -> Self {
        let (source, destination) = match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (IpAddr::V4(source), IpAddr::V4(destination)),
            _ => (source, destination),
        };
        Self { source, destination, protocol, layer4: Layer4::None, zone: None }
    }

    /// Creates a tuple of a protocol with ports.
    #[must_use]
    pub const fn with_ports(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        let layer4 = Layer4::Ports { source: source.port(), destination: destination.port() };
        Self { layer4, ..Self::new(protocol, source.ip(), destination.ip()) }
    }

    /// Creates a TCP tuple.
    #[must_use]
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::TCP, source, destination)
    }

    /// Creates a UDP tuple.
    #[must_use]
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::UDP, source, destination)
    }

    /// Creates an SCTP tuple.
    #[must_use]
    pub const fn sctp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::with_ports(Protocol::SCTP, source, destination)
    }

    /// Creates a GRE tuple.
    #[must_use]
    pub const fn gre(source: IpAddr, destination: IpAddr, source_key: u16, destination_key: u16) -> Self {
        let layer4 = Layer4::Gre(GreKeys { source: source_key, destination: destination_key });
        Self { layer4, ..Self::new(Protocol::GRE, source, destination) }
    }

    /// Creates an ICMP tuple, or an ICMPv6 tuple between IPv6 addresses.
    ///
    /// The kernel tracks these queries and their replies: echo (8), timestamp (13), information (15) and address mask (17)
    /// of ICMP; echo (128) and node information (139) of ICMPv6.
    #[must_use]
    pub const fn icmp(source: IpAddr, destination: IpAddr, icmp_type: u8, code: u8, id: u16) -> Self {
        let tuple = Self::new(Protocol::ICMP, source, destination);
        let protocol = if tuple.source.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
        Self { protocol, layer4: Layer4::Icmp { icmp_type, code, id }, ..tuple }
    }

    /// Sets a zone for this direction only.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// Returns the layer 3 family of the source address.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Returns the source: its address, and its port or key if the protocol has them.
    #[must_use]
    pub const fn source_endpoint(&self) -> Endpoint {
        Endpoint::source(self)
    }

    /// Returns the destination: its address, and its port or key if the protocol has them.
    #[must_use]
    pub const fn destination_endpoint(&self) -> Endpoint {
        Endpoint::destination(self)
    }

    /// Returns the source port, if the protocol has ports.
    #[must_use]
    pub const fn source_port(&self) -> Option<u16> {
        if let Layer4::Ports { source, .. } = self.layer4 { Some(source) } else { None }
    }

    /// Returns the destination port, if the protocol has ports.
    #[must_use]
    pub const fn destination_port(&self) -> Option<u16> {
        if let Layer4::Ports { destination, .. } = self.layer4 { Some(destination) } else { None }
    }

    /// Returns the tuple of the replies without NAT: endpoints swapped, and the type of the reply for ICMP.
    ///
    /// `None` for an ICMP type without a reply, which the kernel does not track. The zone of the direction is dropped.
    #[must_use]
    pub fn inverted(&self) -> Option<Self> {
        let layer4 = match self.layer4 {
            Layer4::None => Layer4::None,
            Layer4::Ports { source, destination } => Layer4::Ports { source: destination, destination: source },
            Layer4::Gre(GreKeys { source, destination }) => {
                Layer4::Gre(GreKeys { source: destination, destination: source })
            }
            Layer4::Icmp { icmp_type, code, id } => {
                Layer4::Icmp { icmp_type: answering_type(self.protocol, icmp_type)?, code, id }
            }
        };
        Some(Self { source: self.destination, destination: self.source, protocol: self.protocol, layer4, zone: None })
    }
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(Tuple { source, destination, protocol; layer4, zone });

impl Encode for Tuple {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.nest(CTA_TUPLE_IP, |ip| match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ip.u32(CTA_IP_V4_SRC, source.to_bits());
                ip.u32(CTA_IP_V4_DST, destination.to_bits());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ip.attribute(CTA_IP_V6_SRC, &source.octets());
                ip.attribute(CTA_IP_V6_DST, &destination.octets());
            }
            _ => ip.fail(EncodeError::Value("source and destination have different families")),
        });
        encoder.nest(CTA_TUPLE_PROTO, |nest| {
            nest.u8(CTA_PROTO_NUM, self.protocol.0);
            self.layer4.encode(self.protocol, nest);
        });
        encoder.optional_u16(CTA_TUPLE_ZONE, self.zone);
    }
}

impl Layer4 {
    /// Returns a pair of 16-bit numbers as the protocol's part.
    #[inline]
    pub(crate) const fn pair(protocol: Protocol, source: u16, destination: u16) -> Self {
        match protocol {
            Protocol::GRE => Self::Gre(GreKeys { source, destination }),
            _ => Self::Ports { source, destination },
        }
    }

    fn encode(self, protocol: Protocol, nest: &mut Encoder<'_>) {
        match self {
            Self::None => {}
            Self::Ports { source, destination } | Self::Gre(GreKeys { source, destination }) => {
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

/// A direction of a flow.
///
/// # Example
///
/// ```
/// use ctnetlink::Direction;
///
/// assert_eq!(!Direction::Original, Direction::Reply);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "there is no third direction")]
pub enum Direction {
    /// From the initiator to the responder.
    #[doc(alias = "IP_CT_DIR_ORIGINAL")]
    Original,
    /// From the responder to the initiator.
    #[doc(alias = "IP_CT_DIR_REPLY")]
    Reply,
}

impl Not for Direction {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Original => "original",
            Self::Reply => "reply",
        })
    }
}

/// One end of a flow: an address, and a port if the protocol has ports.
///
/// # Example
///
/// ```
/// use std::net::SocketAddr;
/// use ctnetlink::{Endpoint, Tuple};
///
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let server: SocketAddr = tuple.destination_endpoint().try_into()?;
/// assert_eq!(server.port(), 22);
/// assert_eq!(Endpoint::from(server), tuple.destination_endpoint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "address and port")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port (for GRE the key), if the protocol has one.
    pub port: Option<u16>,
}

impl Endpoint {
    pub(super) const fn source(tuple: &Tuple) -> Self {
        let port = match tuple.layer4 {
            Layer4::Ports { source, .. } | Layer4::Gre(GreKeys { source, .. }) => Some(source),
            Layer4::Icmp { .. } | Layer4::None => None,
        };
        Self { address: tuple.source, port }
    }

    pub(super) const fn destination(tuple: &Tuple) -> Self {
        let port = match tuple.layer4 {
            Layer4::Ports { destination, .. } | Layer4::Gre(GreKeys { destination, .. }) => Some(destination),
            Layer4::Icmp { .. } | Layer4::None => None,
        };
        Self { address: tuple.destination, port }
    }

    /// Returns the address and port as a socket address. `None` without a port.
    pub(crate) fn socket_addr(self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.address, port))
    }
}

impl From<SocketAddr> for Endpoint {
    /// An IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`) becomes the IPv4 address, as in a [`Tuple`].
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip().to_canonical(), port: Some(address.port()) }
    }
}

impl From<IpAddr> for Endpoint {
    /// Creates an endpoint without a port. A mapped IPv4 address becomes the IPv4 address.
    fn from(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), port: None }
    }
}

impl TryFrom<Endpoint> for SocketAddr {
    type Error = ParseError;

    /// Fails for an endpoint without a port.
    fn try_from(endpoint: Endpoint) -> Result<Self, ParseError> {
        endpoint.socket_addr().ok_or_else(|| ParseError::new("an endpoint with a port", &endpoint.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_become_ipv4() {
        let plain = Tuple::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mapped: SocketAddr = "[::ffff:10.0.0.2]:2".parse().unwrap();
        for source in ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert_eq!(Tuple::udp(source.parse().unwrap(), mapped), plain);
        }
        let [source, destination] = ["::ffff:10.0.0.1", "::ffff:10.0.0.2"].map(|text| text.parse().unwrap());
        assert_eq!(Tuple::icmp(source, destination, 8, 0, 1).protocol, Protocol::ICMP);
        assert_eq!(Tuple::gre(source, destination, 1, 2).family(), Family::IPV4);
        assert_eq!(Endpoint::from(mapped), plain.destination_endpoint());
    }

    #[test]
    fn tuple_of_two_families_is_refused_when_encoded() {
        let mixed = Tuple::udp("10.0.0.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
        let mut buffer = [0; 128];
        let mut encoder = Encoder::new(&mut buffer);
        mixed.encode(&mut encoder);
        assert!(matches!(encoder.finish(), Err(EncodeError::Value(_))));
        assert!(mixed.to_string().parse::<Tuple>().is_err());
    }

    #[test]
    fn endpoint_converts_to_a_socket_address_if_it_has_a_port() {
        let tuple = Tuple::icmp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 8, 0, 1);
        let error = SocketAddr::try_from(tuple.source_endpoint()).unwrap_err();
        assert_eq!(error.to_string(), "expected an endpoint with a port, found `10.0.0.1`");
    }
}
