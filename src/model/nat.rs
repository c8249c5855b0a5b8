//! Translated addresses.

use core::net::{IpAddr, SocketAddr};

use super::{Endpoint, Layer4, Tuple};
use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError},
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_NAT_PROTO, CTA_NAT_V4_MAXIP, CTA_NAT_V4_MINIP, CTA_NAT_V6_MAXIP,
        CTA_NAT_V6_MINIP, CTA_PROTONAT_PORT_MAX, CTA_PROTONAT_PORT_MIN, Encode, Encoder,
    },
};

/// Returns the translated source of a flow: the destination of its replies.
pub(crate) fn snat(original: &Tuple, reply: &Tuple) -> Option<Endpoint> {
    let seen = reply.destination_endpoint();
    (seen != original.source_endpoint() || query_id(original) != query_id(reply)).then_some(seen)
}

/// Returns the translated destination of a flow: the source of its replies.
pub(crate) fn dnat(original: &Tuple, reply: &Tuple) -> Option<Endpoint> {
    let seen = reply.source_endpoint();
    (seen != original.destination_endpoint()).then_some(seen)
}

/// The identifier of an ICMP query stands in both tuples; source NAT may change it. Type and code differ by nature.
const fn query_id(tuple: &Tuple) -> Option<u16> {
    if let Layer4::Icmp { id, .. } = tuple.layer4 { Some(id) } else { None }
}

/// A range of addresses and ports to translate to, for the creation of a flow (`CTA_NAT_SRC`, `CTA_NAT_DST`).
///
/// The kernel picks an address and a port from the range and rewrites the reply tuple. It never sends the range back. To
/// see its choice, compare the tuples ([`Flow::snat`](crate::Flow::snat)).
///
/// # Example
///
/// ```
/// use ctnetlink::NatRange;
///
/// let range = NatRange::address("192.0.2.1".parse()?).ports(2000, 3000);
/// assert_eq!((range.first_port, range.last_port), (Some(2000), Some(3000)));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct NatRange {
    /// The first address (`CTA_NAT_V4_MINIP`, `CTA_NAT_V6_MINIP`); `None` keeps the address.
    pub first_address: Option<IpAddr>,
    /// The last address, of the same family (`CTA_NAT_V4_MAXIP`, `CTA_NAT_V6_MAXIP`); `None` is the first.
    pub last_address: Option<IpAddr>,
    /// The first port (`CTA_PROTONAT_PORT_MIN`); `None` keeps the port if possible.
    pub first_port: Option<u16>,
    /// The last port (`CTA_PROTONAT_PORT_MAX`); `None` is the first.
    pub last_port: Option<u16>,
}

impl NatRange {
    /// Creates a range of exactly this address.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        Self { first_address: Some(address.to_canonical()), last_address: None, first_port: None, last_port: None }
    }

    /// Creates a range of addresses from the first to the last.
    #[must_use]
    pub const fn addresses(first: IpAddr, last: IpAddr) -> Self {
        Self { last_address: Some(last.to_canonical()), ..Self::address(first) }
    }

    /// Creates a range that keeps the address, for a range of ports only.
    #[must_use]
    pub const fn keep_address() -> Self {
        Self { first_address: None, last_address: None, first_port: None, last_port: None }
    }

    /// Sets exactly this port.
    #[must_use]
    pub const fn port(self, port: u16) -> Self {
        Self { first_port: Some(port), last_port: None, ..self }
    }

    /// Sets a range of ports from the first to the last.
    #[must_use]
    pub const fn ports(self, first: u16, last: u16) -> Self {
        Self { first_port: Some(first), last_port: Some(last), ..self }
    }

    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Nat, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_NAT_V4_MINIP => first4 = Attribute::array::<4>,
            CTA_NAT_V4_MAXIP => last4 = Attribute::array::<4>,
            CTA_NAT_V6_MINIP => first6 = Attribute::array::<16>,
            CTA_NAT_V6_MAXIP => last6 = Attribute::array::<16>,
            CTA_NAT_PROTO => ports = |nest: Attribute<'_>| nest.walk(AttributeSet::NatProtocol, walk_ports),
        );
        let (first_port, last_port) = ports.unwrap_or_default();
        let first = (first4.map(|bytes| IpAddr::from(*bytes)), first6.map(|bytes| IpAddr::from(*bytes)));
        let last = (last4.map(|bytes| IpAddr::from(*bytes)), last6.map(|bytes| IpAddr::from(*bytes)));
        let (first_address, last_address) = match (first, last) {
            ((first, None), (last, None)) => (first, last),
            ((None, first), (None, last)) => (first, last),
            _ => return Err(DecodeError::new(DecodeErrorKind::Value("addresses of two families"), 0)),
        };
        Ok(Self { first_address, last_address, first_port, last_port })
    }
}

impl NatRange {
    /// Returns true if the range ends before it begins. The kernel would pick an arbitrary address from such a range.
    fn is_inverted(&self) -> bool {
        fn is_before<T: PartialOrd>(last: Option<T>, first: Option<T>) -> bool {
            matches!((last, first), (Some(last), Some(first)) if last < first)
        }
        is_before(self.last_address, self.first_address) || is_before(self.last_port, self.first_port)
    }
}

impl From<IpAddr> for NatRange {
    /// Creates a range of exactly this address, which keeps the port if possible.
    fn from(address: IpAddr) -> Self {
        Self::address(address)
    }
}

impl From<SocketAddr> for NatRange {
    /// Creates a range of exactly this address and port.
    fn from(address: SocketAddr) -> Self {
        Self::address(address.ip()).port(address.port())
    }
}

impl From<Endpoint> for NatRange {
    /// Creates a range of exactly this endpoint. Without a port, it keeps the port if possible.
    fn from(endpoint: Endpoint) -> Self {
        Self { first_port: endpoint.port, ..Self::address(endpoint.address) }
    }
}

impl Encode for NatRange {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        if self.is_inverted() {
            encoder.fail(EncodeError::Value("a NAT range ends before it begins"));
        }
        match (self.first_address, self.last_address) {
            (Some(IpAddr::V4(first)), None) => encoder.u32(CTA_NAT_V4_MINIP, first.to_bits()),
            (Some(IpAddr::V6(first)), None) => encoder.attribute(CTA_NAT_V6_MINIP, &first.octets()),
            (Some(IpAddr::V4(first)), Some(IpAddr::V4(last))) => {
                encoder.u32(CTA_NAT_V4_MINIP, first.to_bits());
                encoder.u32(CTA_NAT_V4_MAXIP, last.to_bits());
            }
            (Some(IpAddr::V6(first)), Some(IpAddr::V6(last))) => {
                encoder.attribute(CTA_NAT_V6_MINIP, &first.octets());
                encoder.attribute(CTA_NAT_V6_MAXIP, &last.octets());
            }
            (None, None) => {}
            (None, Some(_)) => encoder.fail(EncodeError::Value("a NAT range has a last address without a first")),
            _ => encoder.fail(EncodeError::Value("a NAT range has addresses of two families")),
        }
        if let Some(first) = self.first_port {
            encoder.nest(CTA_NAT_PROTO, |ports| {
                ports.u16(CTA_PROTONAT_PORT_MIN, first);
                if let Some(last) = self.last_port {
                    ports.u16(CTA_PROTONAT_PORT_MAX, last);
                }
            });
        } else if self.last_port.is_some() {
            encoder.fail(EncodeError::Value("a NAT range has a last port without a first"));
        }
    }
}

fn walk_ports(attributes: Attributes<'_>) -> Result<(Option<u16>, Option<u16>), DecodeError> {
    read_attributes!(attributes;
        CTA_PROTONAT_PORT_MIN => first = Attribute::u16,
        CTA_PROTONAT_PORT_MAX => last = Attribute::u16,
    );
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn icmp_types_do_not_count_as_nat() {
        let original = Tuple::icmp(address(1), address(2), 8, 0, 77);
        let reply = original.inverted().unwrap();
        assert_eq!(snat(&original, &reply), None);
        assert_eq!(dnat(&original, &reply), None);
        let renumbered = Tuple { layer4: Layer4::Icmp { icmp_type: 0, code: 0, id: 78 }, ..reply };
        assert!(snat(&original, &renumbered).is_some());
    }

    fn encoded(range: NatRange) -> Result<usize, EncodeError> {
        let mut buffer = [0; 128];
        let mut encoder = Encoder::new(&mut buffer);
        range.encode(&mut encoder);
        encoder.finish()
    }

    /// Asked to translate to 192.0.2.9 to 192.0.2.1, Linux 6.18 picked 207.251.59.217.
    #[test]
    fn nat_range_that_ends_before_it_begins_is_refused() {
        let (low, high) = (address(1), address(9));
        assert!(encoded(NatRange::addresses(low, high).ports(2000, 3000)).is_ok());
        assert!(encoded(NatRange::addresses(low, low).ports(2000, 2000)).is_ok());
        let refused = EncodeError::Value("a NAT range ends before it begins");
        assert_eq!(encoded(NatRange::addresses(high, low)), Err(refused));
        assert_eq!(encoded(NatRange::address(low).ports(3000, 2000)), Err(refused));
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(encoded(NatRange::addresses(v6("2001:db8::9"), v6("2001:db8::1"))), Err(refused));
    }

    #[test]
    fn ranges_convert_from_addresses_of_either_kind() {
        let socket: SocketAddr = "192.0.2.1:80".parse().unwrap();
        assert_eq!(NatRange::from(socket), NatRange::address(socket.ip()).port(80));
        assert_eq!(NatRange::from(socket.ip()), NatRange::address(socket.ip()));
        assert_eq!(NatRange::from(Endpoint::from(socket)), NatRange::from(socket));
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(NatRange::from(mapped), NatRange::from(socket));
    }

    #[test]
    fn snat_and_dnat_are_distinguished() {
        let original = Tuple::tcp("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let reply = Tuple::tcp("10.0.0.3:8080".parse().unwrap(), "10.0.0.1:1000".parse().unwrap());
        assert_eq!(snat(&original, &reply), None);
        assert_eq!(dnat(&original, &reply).unwrap().to_string(), "10.0.0.3:8080");
        let reply = Tuple::new(Protocol(50), address(2), address(9));
        let original = Tuple::new(Protocol(50), address(1), address(2));
        assert_eq!(snat(&original, &reply).unwrap().to_string(), "10.0.0.9");
    }
}
