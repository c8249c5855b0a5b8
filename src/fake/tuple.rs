//! Tuples and zones as the kernel keeps them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::release::Release;
use crate::{
    error::Errno,
    model::{Direction, Family, GreKeys, Layer4, Protocol, Tuple},
};

/// A tuple as the kernel compares it (`struct nf_conntrack_tuple`): addresses, protocol, and two numbers of 16 bits whose
/// meaning depends on the protocol. Masks and translation then work the same way for every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RawTuple {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: Protocol,
    /// Source port, GRE key, or identifier of an ICMP query.
    pub(super) source_part: u16,
    /// Destination port, GRE key, or type and code of an ICMP query.
    pub(super) destination_part: u16,
}

/// The meaning of the two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TupleParts {
    Ports,
    GreKeys,
    Query,
    None,
}

fn parts(protocol: Protocol, release: Release) -> TupleParts {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => TupleParts::Ports,
        Protocol::DCCP if release < Release::NO_DCCP => TupleParts::Ports,
        Protocol::UDPLITE if release < Release::NO_UDPLITE => TupleParts::Ports,
        Protocol::GRE => TupleParts::GreKeys,
        Protocol::ICMP | Protocol::ICMPV6 => TupleParts::Query,
        _ => TupleParts::None,
    }
}

impl RawTuple {
    /// Reads the tuple of a request. Drops parts that the protocol does not have; missing parts are an error.
    pub(super) fn of(tuple: &Tuple, release: Release) -> Result<Self, Errno> {
        let (source_part, destination_part) = match (parts(tuple.protocol, release), tuple.layer4) {
            (TupleParts::None, _) => (0, 0),
            (TupleParts::Ports, Layer4::Ports { source, destination }) => (source, destination),
            (TupleParts::GreKeys, Layer4::Gre(GreKeys { source, destination })) => (source, destination),
            (TupleParts::Query, Layer4::Icmp { icmp_type, code, id }) => (id, u16::from_be_bytes([icmp_type, code])),
            _ => return Err(Errno::EINVAL),
        };
        let raw = Self {
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            source_part,
            destination_part,
        };
        // The type of an ICMP message that is not a query has no inverse.
        if tuple.inverted().is_none() { Err(Errno::EINVAL) } else { Ok(raw) }
    }

    /// Reads a tuple that must be of the family in the header of the request.
    pub(super) fn of_family(tuple: &Tuple, family: Family, release: Release) -> Result<Self, Errno> {
        if tuple.family() == family { Self::of(tuple, release) } else { Err(Errno::EINVAL) }
    }

    /// Returns the tuple for a reply.
    pub(super) fn to_tuple(self, release: Release) -> Tuple {
        let (source, destination) = (self.source_part, self.destination_part);
        let layer4 = match parts(self.protocol, release) {
            TupleParts::Ports => Layer4::Ports { source, destination },
            TupleParts::GreKeys => Layer4::Gre(GreKeys { source, destination }),
            TupleParts::Query => {
                let [icmp_type, code] = destination.to_be_bytes();
                Layer4::Icmp { icmp_type, code, id: source }
            }
            TupleParts::None => Layer4::None,
        };
        let mut tuple = Tuple::new(self.protocol, self.source, self.destination);
        tuple.layer4 = layer4;
        tuple
    }

    /// The tuple of the opposite direction, without translation.
    pub(super) fn inverted(self) -> Self {
        let turned = Self { source: self.destination, destination: self.source, ..self };
        if matches!(self.protocol, Protocol::ICMP | Protocol::ICMPV6) {
            let [icmp_type, code] = self.destination_part.to_be_bytes();
            let answer = answering_type(self.protocol, icmp_type);
            return Self { destination_part: u16::from_be_bytes([answer, code]), ..turned };
        }
        Self { source_part: self.destination_part, destination_part: self.source_part, ..turned }
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Returns true if the tuples are equal, apart from bits of the source that the mask excludes.
    pub(super) fn matches(&self, other: &Self, mask: &Self) -> bool {
        self.protocol == other.protocol
            && self.destination == other.destination
            && self.destination_part == other.destination_part
            && masked(self.source, mask.source) == masked(other.source, mask.source)
            && self.source_part & mask.source_part == other.source_part & mask.source_part
    }
}

/// The ICMP type of the opposite direction.
fn answering_type(protocol: Protocol, icmp_type: u8) -> u8 {
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut query = Tuple::new(protocol, anywhere, anywhere);
    query.layer4 = Layer4::Icmp { icmp_type, code: 0, id: 0 };
    match query.inverted().map(|answer| answer.layer4) {
        Some(Layer4::Icmp { icmp_type, .. }) => icmp_type,
        _ => icmp_type,
    }
}

/// Applies a mask to an address of the same family.
pub(super) fn masked(address: IpAddr, mask: IpAddr) -> IpAddr {
    match (address, mask) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => Ipv4Addr::from_bits(address.to_bits() & mask.to_bits()).into(),
        (IpAddr::V6(address), IpAddr::V6(mask)) => Ipv6Addr::from_bits(address.to_bits() & mask.to_bits()).into(),
        (address, _) => address,
    }
}

/// The zone of a flow or of a request (`struct nf_conntrack_zone`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: u16,
    /// The direction that the zone applies to; `None` for both.
    pub(super) direction: Option<Direction>,
}

impl Zone {
    /// A zone of both directions. No zone is zone 0.
    pub(super) fn of_both(id: Option<u16>) -> Self {
        Self { id: id.unwrap_or(0), direction: None }
    }

    /// Adds the zone of a tuple. The kernel refuses a second zone in a request.
    pub(super) fn with_tuple(self, direction: Direction, id: Option<u16>) -> Result<Self, Errno> {
        match id {
            None => Ok(self),
            Some(_) if self.id != 0 => Err(Errno::EINVAL),
            Some(id) => Ok(Self { id, direction: Some(direction) }),
        }
    }

    /// The number of the zone in a direction.
    pub(super) fn id_in(self, direction: Direction) -> u16 {
        if self.direction.is_none_or(|only| only == direction) { self.id } else { 0 }
    }

    /// The value of `CTA_ZONE`, if the flow has that attribute.
    pub(super) fn of_flow(self) -> Option<u16> {
        (self.id != 0 && self.direction.is_none()).then_some(self.id)
    }

    /// The value of `CTA_TUPLE_ZONE` in this direction, if the tuple has that attribute.
    pub(super) fn of_tuple(self, direction: Direction) -> Option<u16> {
        (self.id != 0 && self.direction == Some(direction)).then_some(self.id)
    }
}
