//! The keys by which flows are found.

use core::net::IpAddr;

use super::{
    hash::WordHasher,
    packed::{Layer4Kind, PackedLayer4, pack_v4},
};
use crate::model::Tuple;

/// A tuple of one direction and the zone in which it is looked up. The kernel has each key once.
///
/// It is packed, to be made, hashed and compared in few instructions: these are most of the work of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    V4(Ipv4Key),
    Other(OtherKey),
}

/// The key of a tuple with two addresses of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ipv4Key {
    addresses: u64,
    rest: Rest,
}

/// The key of a tuple with an address of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OtherKey {
    /// Two words for each address.
    addresses: [u64; 4],
    rest: Rest,
}

/// The part of a key after the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rest {
    ends: u32,
    /// From the upper bits: zone (16), protocol (8), families (6), kind of layer 4 (2).
    class: u32,
}

/// The bits of a class that are set if the address is not of IPv4.
const SOURCE_V6: u32 = 1 << 2;
const DESTINATION_V6: u32 = 1 << 3;

impl Key {
    /// Returns the key of a tuple. `zone` is that of the flow; a zone of the tuple's own direction comes first. No zone is
    /// the same as zone 0.
    #[inline]
    pub(super) fn new(tuple: &Tuple, zone: Option<u16>) -> Self {
        let (layer4, zone) = (PackedLayer4::new(tuple), tuple.zone.or(zone).unwrap_or(0));
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::V4(Ipv4Key::new(pack_v4(source, destination), layer4, zone))
            }
            (source, destination) => Self::Other(OtherKey::new(source, destination, layer4, zone)),
        }
    }

    /// Returns a hash that is the same for equal keys, and for the key of the inverse tuple.
    #[inline]
    pub(super) fn hash(&self, hasher: &WordHasher) -> u32 {
        match self {
            Self::V4(key) => hasher.hash(key.words()),
            Self::Other(key) => key.hash(hasher),
        }
    }

    /// Whether this is surely the key of the inverse tuple, and has the same hash.
    #[inline]
    pub(super) fn is_inverse(self, other: Self) -> bool {
        matches!((self, other), (Self::V4(key), Self::V4(other)) if key.words() == other.words())
    }
}

impl Ipv4Key {
    #[inline]
    pub(super) fn new(addresses: u64, layer4: PackedLayer4, zone: u16) -> Self {
        Self { addresses, rest: Rest::new(layer4, zone) }
    }

    /// The words to hash: of this key or of its inverse, whichever is less.
    #[inline]
    fn words(&self) -> [[u32; 2]; 2] {
        let Self { addresses, rest } = *self;
        let [ends, inverse_ends] = rest.ends();
        // Compared as one number, in fewer instructions than a pair.
        let number = |addresses: u64, ends: u32| u128::from(addresses) << 64 | u128::from(ends);
        let less = number(addresses, ends).min(number(addresses.rotate_left(32), inverse_ends));
        [[(less >> 96) as u32, (less >> 64) as u32], [less as u32, rest.class]]
    }
}

impl OtherKey {
    #[inline]
    pub(super) fn new(source: IpAddr, destination: IpAddr, layer4: PackedLayer4, zone: u16) -> Self {
        let halves = |address: IpAddr| match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => [(address.to_bits() >> 64) as u64, address.to_bits() as u64],
        };
        let families = [(source, SOURCE_V6), (destination, DESTINATION_V6)];
        let families = families.into_iter().filter(|(address, _)| address.is_ipv6()).map(|(_, bit)| bit).sum::<u32>();
        let ([a, b], [c, d]) = (halves(source), halves(destination));
        let Rest { ends, class } = Rest::new(layer4, zone);
        Self { addresses: [a, b, c, d], rest: Rest { ends, class: class | families } }
    }

    #[inline(never)]
    fn hash(self, hasher: &WordHasher) -> u32 {
        let ([a, b, c, d], [ends, inverse_ends]) = (self.addresses, self.rest.ends());
        let (one, inverse) = (([a, b, c, d], ends), ([c, d, a, b], inverse_ends));
        let ([a, b, c, d], ends) = one.min(inverse);
        let pair = |word: u64| [(word >> 32) as u32, word as u32];
        hasher.hash([pair(a), pair(b), pair(c), pair(d), [ends, self.rest.class & !(SOURCE_V6 | DESTINATION_V6)]])
    }
}

impl Rest {
    #[inline]
    fn new(layer4: PackedLayer4, zone: u16) -> Self {
        Self { ends: layer4.ends, class: u32::from(zone) << 16 | u32::from(layer4.class.0) }
    }

    /// The ends of the tuple and of its inverse. Of a query only the identifier: its answer has another type.
    #[inline]
    const fn ends(&self) -> [u32; 2] {
        let is_query = self.class & 3 == Layer4Kind::Icmp as u32;
        if is_query { [self.ends >> 8 & 0xffff; 2] } else { [self.ends, self.ends.rotate_left(16)] }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::model::{GreKeys, Layer4, Protocol};

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
    pub(in super::super) fn tuples_in_zones() -> Vec<(Tuple, Option<u16>)> {
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
}
