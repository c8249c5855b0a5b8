//! The two tuples of a record in little space, and the keys by which they are found.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{Direction, GreKeys, Layer4, Protocol, Tuple};

/// Both tuples of a flow. An ordinary IPv4 flow needs no allocation, whether it is translated or not.
#[derive(Clone, Debug)]
pub(super) enum PackedTuples {
    V4 {
        /// Source and destination of the original tuple, then of the reply tuple.
        addresses: [Ipv4Addr; 4],
        layer4: Layer4Pair,
    },
    V6 {
        addresses: Box<[Ipv6Addr; 4]>,
        layer4: Layer4Pair,
    },
    /// Any other pair: with a zone of one direction, or different in family, protocol or kind of layer 4.
    Odd(Box<[Tuple; 2]>),
}

/// The part of two tuples after their addresses, if the tuples are alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer4Pair {
    protocol: Protocol,
    kind: Layer4Kind,
    keys: [[u8; 4]; 2],
}

/// The variants of [`Layer4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer4Kind {
    None,
    Ports,
    Gre,
    Icmp,
}

impl PackedTuples {
    pub(super) fn new(original: &Tuple, reply: &Tuple) -> Self {
        let addresses = [original.source, original.destination, reply.source, reply.destination];
        match (addresses, Layer4Pair::new(original, reply)) {
            ([IpAddr::V4(a), IpAddr::V4(b), IpAddr::V4(c), IpAddr::V4(d)], Some(layer4)) => {
                Self::V4 { addresses: [a, b, c, d], layer4 }
            }
            ([IpAddr::V6(a), IpAddr::V6(b), IpAddr::V6(c), IpAddr::V6(d)], Some(layer4)) => {
                Self::V6 { addresses: Box::new([a, b, c, d]), layer4 }
            }
            _ => Self::Odd(Box::new([*original, *reply])),
        }
    }

    #[inline]
    pub(super) fn get(&self, direction: Direction) -> Tuple {
        match self {
            Self::V4 { addresses, layer4 } => layer4.tuple(direction, *addresses),
            Self::V6 { addresses, layer4 } => layer4.tuple(direction, **addresses),
            Self::Odd(tuples) => of_direction(direction, **tuples),
        }
    }
}

impl Layer4Pair {
    fn new(original: &Tuple, reply: &Tuple) -> Option<Self> {
        let [(kind, one), (other_kind, other)] = [original, reply].map(|tuple| to_bytes(tuple.layer4));
        let has_zone = original.zone.is_some() || reply.zone.is_some();
        let are_alike = original.protocol == reply.protocol && kind == other_kind && !has_zone;
        are_alike.then_some(Self { protocol: original.protocol, kind, keys: [one, other] })
    }

    #[inline]
    fn tuple(self, direction: Direction, [a, b, c, d]: [impl Into<IpAddr>; 4]) -> Tuple {
        let (source, destination) = of_direction(direction, [(a, b), (c, d)]);
        Tuple {
            source: source.into(),
            destination: destination.into(),
            protocol: self.protocol,
            layer4: from_bytes(self.kind, of_direction(direction, self.keys)),
            zone: None,
        }
    }
}

#[inline]
fn of_direction<T>(direction: Direction, [original, reply]: [T; 2]) -> T {
    match direction {
        Direction::Original => original,
        Direction::Reply => reply,
    }
}

#[inline]
fn to_bytes(layer4: Layer4) -> (Layer4Kind, [u8; 4]) {
    let pair = |source: u16, destination: u16| {
        let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
        [a, b, c, d]
    };
    match layer4 {
        Layer4::None => (Layer4Kind::None, [0; 4]),
        Layer4::Ports { source, destination } => (Layer4Kind::Ports, pair(source, destination)),
        Layer4::Gre(GreKeys { source, destination }) => (Layer4Kind::Gre, pair(source, destination)),
        Layer4::Icmp { icmp_type, code, id } => {
            let [high, low] = id.to_be_bytes();
            (Layer4Kind::Icmp, [icmp_type, code, high, low])
        }
    }
}

#[inline]
fn from_bytes(kind: Layer4Kind, [a, b, c, d]: [u8; 4]) -> Layer4 {
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match kind {
        Layer4Kind::None => Layer4::None,
        Layer4Kind::Ports => Layer4::Ports { source, destination },
        Layer4Kind::Gre => Layer4::Gre(GreKeys { source, destination }),
        Layer4Kind::Icmp => Layer4::Icmp { icmp_type: a, code: b, id: destination },
    }
}

/// A tuple of one direction and the zone in which it is looked up. The kernel has each key once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tuple: Tuple,
    zone: u16,
}

impl Key {
    /// Returns the key of a tuple. `zone` is that of the flow; a zone of the tuple's own direction comes first. No zone is
    /// the same as zone 0.
    #[inline]
    pub(super) fn new(tuple: &Tuple, zone: Option<u16>) -> Self {
        Self { tuple: Tuple { zone: None, ..*tuple }, zone: tuple.zone.or(zone).unwrap_or(0) }
    }

    /// Passes bytes to `hash` that are the same for equal keys, and for the key of the inverse tuple. They come in one
    /// piece, because many small pieces take three times as long.
    #[inline]
    pub(super) fn with_bytes<R>(&self, hash: impl FnOnce(&[u8]) -> R) -> R {
        let [source, destination] = match self.tuple.layer4 {
            // A query and its answer differ in their type.
            Layer4::Icmp { id, .. } => [id; 2],
            layer4 => ends(layer4),
        };
        let (zone, protocol) = (self.zone, self.tuple.protocol.0);
        if let (IpAddr::V4(from), IpAddr::V4(to)) = (self.tuple.source, self.tuple.destination) {
            let end = |address: Ipv4Addr, number| u64::from(address.to_bits()) << 16 | u64::from(number);
            let (one, other) = (end(from, source), end(to, destination));
            let lesser = one.min(other) | u64::from(zone) << 48;
            let greater = one.max(other) | u64::from(protocol) << 48;
            return hash(&(u128::from(lesser) << 64 | u128::from(greater)).to_ne_bytes());
        }
        let end = |address: IpAddr, number| (to_ipv6(address).to_bits(), number);
        let (one, other) = (end(self.tuple.source, source), end(self.tuple.destination, destination));
        let ((address, number), (other_address, other_number)) = (one.min(other), one.max(other));
        let numbers = [number, other_number, zone, protocol.into()].map(u64::from);
        let rest = numbers.into_iter().fold(0, |all, number| all << 16 | number);
        let mut bytes = [0; 40];
        let parts = [&address.to_ne_bytes()[..], &other_address.to_ne_bytes()[..], &rest.to_ne_bytes()[..]];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(byte, value)| *byte = *value);
        hash(&bytes)
    }
}

/// The numbers of the source and the destination.
#[inline]
fn ends(layer4: Layer4) -> [u16; 2] {
    let (_, [a, b, c, d]) = to_bytes(layer4);
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

const fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_tuple_has_the_same_bytes() {
        let mut gre = Tuple::tcp(([10, 0, 0, 1], 0).into(), ([10, 0, 0, 2], 0).into());
        (gre.protocol, gre.layer4) = (Protocol::GRE, Layer4::Gre(GreKeys { source: 5, destination: 6 }));
        let mut query = gre;
        (query.protocol, query.layer4) = (Protocol::ICMP, Layer4::Icmp { icmp_type: 8, code: 0, id: 0x1234 });
        let tuples = [
            Tuple::tcp(([10, 0, 0, 1], 50_000).into(), ([10, 0, 0, 2], 80).into()),
            Tuple::udp((Ipv6Addr::LOCALHOST, 53).into(), (Ipv6Addr::from(7), 53).into()),
            gre,
            query,
        ];
        let bytes = |tuple: &Tuple, zone| Key::new(tuple, zone).with_bytes(<[u8]>::to_vec);
        for tuple in tuples {
            let mut others = vec![Tuple { protocol: Protocol(200), ..tuple }];
            others.push(Tuple { source: Ipv4Addr::new(10, 0, 0, 3).into(), ..tuple });
            assert_eq!(bytes(&tuple, Some(3)), bytes(&tuple.inverted().unwrap(), Some(3)), "{tuple}");
            assert_ne!(bytes(&tuple, Some(3)), bytes(&tuple, None), "{tuple}");
            others.into_iter().for_each(|other| assert_ne!(bytes(&tuple, None), bytes(&other, None), "{tuple}"));
        }
        let moved = Tuple::tcp(([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 50_000).into());
        assert_ne!(bytes(&tuples[0], None), bytes(&moved, None), "ports belong to their addresses");
    }
}
