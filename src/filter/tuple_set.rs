//! Sets of tuples.

use core::net::IpAddr;

use crate::model::{GreKeys, Layer4, Protocol, Tuple};

/// A set of tuples: addresses, protocol and the ports, keys or query of the protocol. Zones are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TupleSet(Vec<TupleKey>);

/// A tuple in the order in which a set sorts it. The part that differs most comes first: comparisons end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct TupleKey {
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

impl TupleSet {
    pub(crate) fn new(tuples: impl IntoIterator<Item = Tuple>) -> Self {
        Self::from_keys(tuples.into_iter().map(|tuple| TupleKey::new(&tuple)).collect())
    }

    /// Adds the tuples of other sets: few of them one by one, like [`Ranges::extend`](super::ranges::Ranges::extend).
    pub(crate) fn extend<'a>(&mut self, sets: impl Iterator<Item = &'a Self>) {
        const FEW: usize = 16;
        let more: Vec<TupleKey> = sets.flat_map(|set| set.0.iter().copied()).collect();
        if more.len() < self.0.len() / FEW {
            for key in more {
                if let Err(place) = self.0.binary_search(&key) {
                    self.0.insert(place, key);
                }
            }
        } else {
            *self = Self::from_keys(self.0.drain(..).chain(more).collect());
        }
    }

    fn from_keys(mut keys: Vec<TupleKey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }

    #[inline]
    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.0.binary_search(&TupleKey::new(tuple)).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Tuple> + Clone + '_ {
        self.0.iter().map(TupleKey::tuple)
    }
}

impl TupleKey {
    #[inline]
    const fn new(tuple: &Tuple) -> Self {
        let layer4 = match tuple.layer4 {
            Layer4::None => Layer4Key::None,
            Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) => {
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
