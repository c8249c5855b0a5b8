//! The two tuples of a record in little space, and the keys by which they are found.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::hash::WordHasher;
use crate::model::{Direction, GreKeys, Layer4, Protocol, Tuple};

/// Both tuples of a flow. An ordinary IPv4 flow needs no allocation, whether it is translated or not.
#[derive(Clone, Debug)]
pub(super) enum PackedTuples {
    V4 {
        /// Source and destination of the original tuple, then of the reply tuple, as in a [`Key`].
        addresses: [u64; 2],
        layer4: Layer4Pair,
    },
    V6 {
        addresses: Box<[[Ipv6Addr; 2]; 2]>,
        layer4: Layer4Pair,
    },
    /// Any other pair: with a zone of one direction, or different in family, protocol or kind of layer 4.
    Odd(Box<[Tuple; 2]>),
}

/// The part of two tuples after their addresses, if the tuples are alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer4Pair {
    ends: [u32; 2],
    protocol: Protocol,
    kind: Layer4Kind,
}

/// The part of a tuple after its addresses.
#[derive(Clone, Copy, Debug)]
struct PackedLayer4 {
    /// The ports, or keys: the source in the upper half, and the destination. Or type, identifier and code of a query.
    ends: u32,
    protocol: Protocol,
    kind: Layer4Kind,
}

/// The variants of [`Layer4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
                Self::V4 { addresses: [pack_v4(a, b), pack_v4(c, d)], layer4 }
            }
            ([IpAddr::V6(a), IpAddr::V6(b), IpAddr::V6(c), IpAddr::V6(d)], Some(layer4)) => {
                Self::V6 { addresses: Box::new([[a, b], [c, d]]), layer4 }
            }
            _ => Self::Odd(Box::new([*original, *reply])),
        }
    }

    #[inline]
    pub(super) fn get(&self, direction: Direction) -> Tuple {
        match self {
            Self::V4 { addresses, layer4 } => {
                layer4.of(direction).tuple(unpack_v4(of_direction(direction, *addresses)))
            }
            Self::V6 { addresses, layer4 } => layer4.of(direction).tuple(of_direction(direction, **addresses)),
            Self::Odd(tuples) => of_direction(direction, **tuples),
        }
    }

    /// The key of the tuple of a direction of a flow in that zone.
    #[inline]
    pub(super) fn key(&self, direction: Direction, zone: u16) -> Key {
        match self {
            Self::V4 { addresses, layer4 } => {
                Key::of_v4(of_direction(direction, *addresses), layer4.of(direction), zone)
            }
            Self::V6 { addresses, layer4 } => {
                let [source, destination] = of_direction(direction, **addresses);
                Key::of_others(source.into(), destination.into(), layer4.of(direction), zone)
            }
            Self::Odd(tuples) => Key::new(&of_direction(direction, **tuples), Some(zone)),
        }
    }
}

impl PackedTuples {
    /// Whether that is the key of the tuple of a direction of a flow in that zone.
    #[inline]
    pub(super) fn has_key(&self, direction: Direction, zone: u16, key: &Key) -> bool {
        let Self::V4 { addresses, layer4 } = self else { return self.has_longer_key(direction, zone, key) };
        let own = Key::of_v4(of_direction(direction, *addresses), layer4.of(direction), zone);
        // The other words of both are zeros if the last is equal.
        let ([address, ..], [wanted, ..]) = (own.addresses, key.addresses);
        address == wanted && own.rest == key.rest
    }

    /// Apart, so that the search for a flow of IPv4 needs few registers.
    #[inline(never)]
    fn has_longer_key(&self, direction: Direction, zone: u16, key: &Key) -> bool {
        self.key(direction, zone) == *key
    }
}

impl Layer4Pair {
    fn new(original: &Tuple, reply: &Tuple) -> Option<Self> {
        let [one, other] = [original, reply].map(PackedLayer4::new);
        let has_zone = original.zone.is_some() || reply.zone.is_some();
        let are_alike = one.protocol == other.protocol && one.kind == other.kind && !has_zone;
        are_alike.then_some(Self { ends: [one.ends, other.ends], protocol: one.protocol, kind: one.kind })
    }

    #[inline]
    fn of(self, direction: Direction) -> PackedLayer4 {
        let Self { ends, protocol, kind } = self;
        PackedLayer4 { ends: of_direction(direction, ends), protocol, kind }
    }
}

impl PackedLayer4 {
    #[inline]
    fn new(tuple: &Tuple) -> Self {
        let pair = |source: u16, destination: u16| u32::from(source) << 16 | u32::from(destination);
        let (kind, ends) = match tuple.layer4 {
            Layer4::None => (Layer4Kind::None, 0),
            Layer4::Ports { source, destination } => (Layer4Kind::Ports, pair(source, destination)),
            Layer4::Gre(GreKeys { source, destination }) => (Layer4Kind::Gre, pair(source, destination)),
            // The identifier in the middle. Otherwise, the compiler reads type and code in one piece, which overlaps a port
            // of the other variants, and passes a key through memory: see `FlowTable::get`.
            Layer4::Icmp { icmp_type, code, id } => {
                (Layer4Kind::Icmp, u32::from(icmp_type) << 24 | u32::from(id) << 8 | u32::from(code))
            }
        };
        Self { ends, protocol: tuple.protocol, kind }
    }

    #[inline]
    fn tuple(self, [source, destination]: [impl Into<IpAddr>; 2]) -> Tuple {
        let [first, second] = [(self.ends >> 16) as u16, self.ends as u16];
        let layer4 = match self.kind {
            Layer4Kind::None => Layer4::None,
            Layer4Kind::Ports => Layer4::Ports { source: first, destination: second },
            Layer4Kind::Gre => Layer4::Gre(GreKeys { source: first, destination: second }),
            Layer4Kind::Icmp => {
                let [icmp_type, high, low, code] = self.ends.to_be_bytes();
                Layer4::Icmp { icmp_type, code, id: u16::from_be_bytes([high, low]) }
            }
        };
        let (source, destination) = (source.into(), destination.into());
        Tuple { source, destination, protocol: self.protocol, layer4, zone: None }
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
const fn pack_v4(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    (source.to_bits() as u64) << 32 | destination.to_bits() as u64
}

#[inline]
fn unpack_v4(addresses: u64) -> [Ipv4Addr; 2] {
    [(addresses >> 32) as u32, addresses as u32].map(Ipv4Addr::from_bits)
}

/// A tuple of one direction and the zone in which it is looked up. The kernel has each key once.
///
/// It is packed, to be made, hashed and compared in few instructions: these are most of the work of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// IPv4: both addresses in the first word. Otherwise: both as addresses of IPv6.
    addresses: [u64; 4],
    /// From the upper bits: ends (32), zone (16), protocol (8), families (6), kind of layer 4 (2).
    rest: u64,
}

/// The bits of a key that are set if the address is not of IPv4.
const SOURCE_V6: u64 = 1 << 2;
const DESTINATION_V6: u64 = 1 << 3;

impl Key {
    /// Returns the key of a tuple. `zone` is that of the flow; a zone of the tuple's own direction comes first. No zone is
    /// the same as zone 0.
    #[inline]
    pub(super) fn new(tuple: &Tuple, zone: Option<u16>) -> Self {
        let (layer4, zone) = (PackedLayer4::new(tuple), tuple.zone.or(zone).unwrap_or(0));
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::of_v4(pack_v4(source, destination), layer4, zone),
            (source, destination) => Self::of_others(source, destination, layer4, zone),
        }
    }

    #[inline]
    fn of_v4(addresses: u64, layer4: PackedLayer4, zone: u16) -> Self {
        let PackedLayer4 { ends, protocol, kind } = layer4;
        let rest = u64::from(ends) << 32 | u64::from(zone) << 16 | u64::from(protocol.0) << 8 | kind as u64;
        Self { addresses: [addresses, 0, 0, 0], rest }
    }

    #[inline]
    fn of_others(source: IpAddr, destination: IpAddr, layer4: PackedLayer4, zone: u16) -> Self {
        let halves = |address: IpAddr| match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => [(address.to_bits() >> 64) as u64, address.to_bits() as u64],
        };
        let families = [(source, SOURCE_V6), (destination, DESTINATION_V6)];
        let families = families.into_iter().filter(|(address, _)| address.is_ipv6()).map(|(_, bit)| bit).sum::<u64>();
        let ([a, b], [c, d]) = (halves(source), halves(destination));
        Self { addresses: [a, b, c, d], rest: Self::of_v4(0, layer4, zone).rest | families }
    }

    /// Returns a hash that is the same for equal keys, and for the key of the inverse tuple.
    #[inline]
    pub(super) fn hash(&self, hasher: &WordHasher) -> u32 {
        if self.is_v4() { hasher.hash(self.few_words()) } else { self.longer_hash(hasher) }
    }

    #[inline(never)]
    fn longer_hash(&self, hasher: &WordHasher) -> u32 {
        hasher.hash(self.many_words())
    }

    /// Whether this is surely the key of the inverse tuple, and has the same hash.
    #[inline]
    pub(super) fn is_inverse(self, other: Self) -> bool {
        self.is_v4() && other.is_v4() && self.few_words() == other.few_words()
    }

    /// For two addresses of IPv4.
    #[inline]
    fn few_words(self) -> [u64; 2] {
        let [addresses, ..] = self.addresses;
        let [source, destination] = self.numbers();
        // An address and its number stay together.
        let [one, other] = [(addresses >> 32) << 16 | source, (addresses & 0xffff_ffff) << 16 | destination];
        [one.min(other) | self.zone() << 48, one.max(other) | self.protocol() << 48]
    }

    #[inline]
    fn many_words(self) -> [u64; 5] {
        let [a, b, c, d] = self.addresses;
        let [source, destination] = self.numbers();
        let (one, other) = ([a, b, source], [c, d, destination]);
        let ([a, b, number], [c, d, other_number]) = if one < other { (one, other) } else { (other, one) };
        [a, b, c, d, number << 48 | other_number << 32 | self.zone() << 16 | self.protocol()]
    }

    #[inline]
    const fn is_v4(self) -> bool {
        self.rest & (SOURCE_V6 | DESTINATION_V6) == 0
    }

    /// The numbers of the source and the destination.
    #[inline]
    const fn numbers(self) -> [u64; 2] {
        // A query and its answer differ in their type.
        let is_query = self.rest & 3 == Layer4Kind::Icmp as u64;
        let id = self.rest >> 40 & 0xffff;
        if is_query { [id; 2] } else { [self.rest >> 48, self.rest >> 32 & 0xffff] }
    }

    #[inline]
    const fn zone(self) -> u64 {
        self.rest >> 16 & 0xffff
    }

    #[inline]
    const fn protocol(self) -> u64 {
        self.rest >> 8 & 0xff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_tuple_has_the_same_hash() {
        let hasher = WordHasher::default();
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
        let hash = |tuple: &Tuple, zone| Key::new(tuple, zone).hash(&hasher);
        for tuple in tuples {
            let mut others = vec![Tuple { protocol: Protocol(200), ..tuple }];
            others.push(Tuple { source: Ipv4Addr::new(10, 0, 0, 3).into(), ..tuple });
            assert_eq!(hash(&tuple, Some(3)), hash(&tuple.inverted().unwrap(), Some(3)), "{tuple}");
            assert_ne!(hash(&tuple, Some(3)), hash(&tuple, None), "{tuple}");
            others.into_iter().for_each(|other| assert_ne!(hash(&tuple, None), hash(&other, None), "{tuple}"));
        }
        let moved = Tuple::tcp(([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 50_000).into());
        assert_ne!(hash(&tuples[0], None), hash(&moved, None), "ports belong to their addresses");
    }

    /// Of all families, also mixed, all kinds of layer 4, and zones of the flow and of the direction.
    fn tuples_in_zones() -> Vec<(Tuple, Option<u16>)> {
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        let hosts: [IpAddr; 4] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into(), mapped.into(), Ipv6Addr::from(1).into()];
        let kinds = [
            Layer4::None,
            Layer4::Ports { source: 0x0800, destination: 7 },
            Layer4::Ports { source: 7, destination: 0x0800 },
            Layer4::Gre(GreKeys { source: 0x0800, destination: 7 }),
            Layer4::Icmp { icmp_type: 8, code: 0, id: 7 },
            Layer4::Icmp { icmp_type: 0, code: 8, id: 7 },
        ];
        let mut all = Vec::new();
        for (source, destination) in hosts.into_iter().flat_map(|one| hosts.map(|other| (one, other))) {
            for (layer4, protocol) in kinds.into_iter().flat_map(|kind| [(kind, Protocol::TCP), (kind, Protocol(0))]) {
                let tuple = Tuple { source, destination, protocol, layer4, zone: None };
                let zones = [(None, None), (Some(0), Some(3)), (None, Some(3)), (Some(3), Some(7))];
                all.extend(zones.map(|(own, zone)| (Tuple { zone: own, ..tuple }, zone)));
            }
        }
        all
    }

    #[test]
    fn keys_are_equal_if_tuples_and_zones_are() {
        let hasher = WordHasher::default();
        let naive = |tuple: Tuple, zone: Option<u16>| (Tuple { zone: None, ..tuple }, tuple.zone.or(zone).unwrap_or(0));
        let all = tuples_in_zones().into_iter().map(|(tuple, zone)| (naive(tuple, zone), Key::new(&tuple, zone)));
        let all: Vec<((Tuple, u16), Key)> = all.collect();
        for (plain, key) in &all {
            for (other_plain, other) in &all {
                assert_eq!(plain == other_plain, key == other, "{plain:?} {other_plain:?}");
                let have_same_hash = key.hash(&hasher) == other.hash(&hasher);
                assert!(have_same_hash || (key != other && !key.is_inverse(*other)));
            }
        }
    }

    #[test]
    fn packed_tuples_have_only_their_own_keys() {
        let all = tuples_in_zones();
        for (original, zone) in all.iter().step_by(3) {
            let reply = original.inverted().unwrap_or(*original);
            let (packed, zone) = (PackedTuples::new(original, &reply), zone.unwrap_or(0));
            for (direction, own) in [(Direction::Original, original), (Direction::Reply, &reply)] {
                let key = Key::new(own, Some(zone));
                assert_eq!(packed.key(direction, zone), key, "{own}");
                for (other, other_zone) in &all {
                    let other = Key::new(other, *other_zone);
                    assert_eq!(packed.has_key(direction, zone, &other), key == other, "{own}");
                }
            }
        }
    }
}
