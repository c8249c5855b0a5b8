//! The two tuples of a record in little space.

use core::net::{IpAddr, Ipv6Addr};

use super::{
    key::{Ipv4Key, Key, OtherKey},
    packed::{Layer4Class, PackedLayer4, pack_v4, unpack_v4},
};
use crate::model::{Direction, Tuple};

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
    class: Layer4Class,
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
                Key::V4(Ipv4Key::new(of_direction(direction, *addresses), layer4.of(direction), zone))
            }
            Self::V6 { addresses, layer4 } => {
                let [source, destination] = of_direction(direction, **addresses);
                Key::Other(OtherKey::new(source.into(), destination.into(), layer4.of(direction), zone))
            }
            Self::Odd(tuples) => Key::new(&of_direction(direction, **tuples), Some(zone)),
        }
    }

    /// Whether that is the key of the tuple of a direction of a flow in that zone.
    #[inline]
    pub(super) fn has_key(&self, direction: Direction, zone: u16, key: &Key) -> bool {
        match (self, key) {
            (Self::V4 { addresses, layer4 }, Key::V4(key)) => {
                *key == Ipv4Key::new(of_direction(direction, *addresses), layer4.of(direction), zone)
            }
            _ => self.has_other_key(direction, zone, *key),
        }
    }

    /// Apart, so that the search for a flow of IPv4 needs few registers.
    #[inline(never)]
    fn has_other_key(&self, direction: Direction, zone: u16, key: Key) -> bool {
        self.key(direction, zone) == key
    }
}

impl Layer4Pair {
    fn new(original: &Tuple, reply: &Tuple) -> Option<Self> {
        let [one, other] = [original, reply].map(PackedLayer4::new);
        let has_zone = original.zone.is_some() || reply.zone.is_some();
        let are_alike = one.class == other.class && !has_zone;
        are_alike.then_some(Self { ends: [one.ends, other.ends], class: one.class })
    }

    #[inline]
    fn of(&self, direction: Direction) -> PackedLayer4 {
        PackedLayer4 { ends: of_direction(direction, self.ends), class: self.class }
    }
}

#[inline]
fn of_direction<T>(direction: Direction, [original, reply]: [T; 2]) -> T {
    match direction {
        Direction::Original => original,
        Direction::Reply => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::tests::tuples_in_zones, *};

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
