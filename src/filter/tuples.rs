//! Sets of tuples.

use core::net::IpAddr;

use crate::model::{Layer4, Protocol, Tuple};

/// A set of tuples: addresses, protocol and what the protocol adds. Zones are not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuples(Box<[Key]>);

/// A tuple in the order in which a set keeps it: what differs most, and is compared soonest, first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    layer4: Layer4Key,
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Layer4Key {
    None,
    Pair(u16, u16),
    Icmp(u8, u8, u16),
}

impl Tuples {
    pub(crate) fn new(tuples: impl IntoIterator<Item = Tuple>) -> Self {
        Self::from_keys(tuples.into_iter().map(|tuple| Key::new(&tuple)).collect())
    }

    pub(crate) fn union<'a>(sets: impl Iterator<Item = &'a Self>) -> Self {
        Self::from_keys(sets.flat_map(|set| set.0.iter().copied()).collect())
    }

    fn from_keys(mut keys: Vec<Key>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys.into())
    }

    #[inline]
    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.0.binary_search(&Key::new(tuple)).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Tuple> + Clone + '_ {
        self.0.iter().map(Key::tuple)
    }
}

impl Key {
    #[inline]
    const fn new(tuple: &Tuple) -> Self {
        let layer4 = match tuple.layer4 {
            Layer4::None => Layer4Key::None,
            Layer4::Ports { source, destination } | Layer4::Keys { source, destination } => {
                Layer4Key::Pair(source, destination)
            }
            Layer4::Icmp { icmp_type, code, id } => Layer4Key::Icmp(icmp_type, code, id),
        };
        Self { source: tuple.source, destination: tuple.destination, protocol: tuple.protocol, layer4 }
    }

    fn tuple(&self) -> Tuple {
        let layer4 = match self.layer4 {
            Layer4Key::None => Layer4::None,
            Layer4Key::Pair(source, destination) => Layer4::pair(self.protocol, source, destination),
            Layer4Key::Icmp(icmp_type, code, id) => Layer4::Icmp { icmp_type, code, id },
        };
        Tuple { layer4, ..Tuple::new(self.protocol, self.source, self.destination) }
    }
}
