//! Keys of records, and an index from their hashes to the places of records.

use core::net::IpAddr;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use crate::model::{GreKeys, Layer4, Tuple};

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

    /// The hash is keyed, because peers choose the tuples.
    #[inline]
    pub(super) fn hash(&self, hasher: &RandomState) -> u32 {
        let mut state = hasher.build_hasher();
        state.write(&self.to_bytes());
        state.finish() as u32
    }

    /// Returns different bytes for different keys. One block hashes in a third of the time of many small pieces.
    fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (addresses, rest) = bytes.split_at_mut(32);
        let (source, destination) = addresses.split_at_mut(16);
        source.copy_from_slice(&octets(self.tuple.source));
        destination.copy_from_slice(&octets(self.tuple.destination));
        let [high, low] = self.zone.to_be_bytes();
        let [[a, b], [c, d]] = match self.tuple.layer4 {
            Layer4::None => [[0; 2]; 2],
            Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) => {
                [source.to_be_bytes(), destination.to_be_bytes()]
            }
            Layer4::Icmp { icmp_type, code, id } => [[icmp_type, code], id.to_be_bytes()],
        };
        // The protocol decides what the four bytes are, and the family whether the addresses are mapped.
        rest.copy_from_slice(&[self.tuple.protocol.0, u8::from(self.tuple.source.is_ipv6()), high, low, a, b, c, d]);
        bytes
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// An open hash index with linear probing and without tombstones: churn does not degrade it.
///
/// A slot holds the hash as well as the place. So growing, removing and most of a search do not touch the records.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The number of slots is 0 or a power of two. At least one slot is empty.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    hash: u32,
    place: u32,
}

const EMPTY: Slot = Slot { hash: 0, place: u32::MAX };
const LEAST_SLOTS: usize = 64;

impl Index {
    /// Returns the places that were inserted under that hash.
    #[inline]
    pub(super) fn places(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.home(hash);
        core::iter::from_fn(move || {
            loop {
                let slot = self.slot(at);
                if slot == EMPTY {
                    return None;
                }
                at = self.after(at);
                if slot.hash == hash {
                    return Some(slot.place);
                }
            }
        })
    }

    /// `place` must not be `u32::MAX`.
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.resize((self.slots.len() * 2).max(LEAST_SLOTS));
        }
        self.put(Slot { hash, place });
        self.used += 1;
    }

    /// Removes a place that was inserted under that hash.
    pub(super) fn remove(&mut self, hash: u32, place: u32) {
        let Some(mut hole) = self.find(Slot { hash, place }) else { return };
        let mut at = self.after(hole);
        loop {
            let slot = self.slot(at);
            if slot == EMPTY {
                break;
            }
            // A slot may move into the hole if its home is not between the hole and itself.
            if self.distance(self.home(slot.hash), at) >= self.distance(hole, at) {
                self.set(hole, slot);
                hole = at;
            }
            at = self.after(at);
        }
        self.set(hole, EMPTY);
        self.used -= 1;
        if self.slots.len() > LEAST_SLOTS && self.used * 8 < self.slots.len() {
            self.resize(self.slots.len() / 4);
        }
    }

    /// Notes that a record has moved.
    pub(super) fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        if let Some(at) = self.find(Slot { hash, place: from }) {
            self.set(at, Slot { hash, place: to });
        }
    }

    fn find(&self, wanted: Slot) -> Option<usize> {
        let mut at = self.home(wanted.hash);
        loop {
            match self.slot(at) {
                EMPTY => return None,
                slot if slot == wanted => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while self.slot(at) != EMPTY {
            at = self.after(at);
        }
        self.set(at, slot);
    }

    fn resize(&mut self, slots: usize) {
        let old = core::mem::replace(&mut self.slots, vec![EMPTY; slots.max(LEAST_SLOTS)]);
        old.into_iter().filter(|slot| *slot != EMPTY).for_each(|slot| self.put(slot));
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask()
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask()
    }

    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    #[inline]
    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or(EMPTY)
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u32),
        Remove(usize),
        Relocate(usize, u32),
    }

    /// Few hashes, some adjacent and some at the end of the slots, to make runs meet and wrap.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![0..8_u32, 60..68_u32, any::<u32>()]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (hash(), 0..1000_u32).prop_map(|(hash, place)| Step::Insert(hash, place)),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => (any::<usize>(), 1000..2000_u32).prop_map(|(at, to)| Step::Relocate(at, to)),
        ]
    }

    proptest! {
        #[test]
        fn index_equals_a_set_of_pairs(steps in proptest::collection::vec(step(), 0..300)) {
            let mut index = Index::default();
            let mut model = BTreeSet::new();
            let pick = |model: &BTreeSet<(u32, u32)>, at: usize| model.iter().nth(at % model.len().max(1)).copied();
            for step in steps {
                match step {
                    Step::Insert(hash, place) => if model.insert((hash, place)) { index.insert(hash, place) },
                    Step::Remove(at) => if let Some((hash, place)) = pick(&model, at) {
                        model.remove(&(hash, place));
                        index.remove(hash, place);
                    },
                    Step::Relocate(at, to) => if let Some((hash, from)) = pick(&model, at) {
                        if model.insert((hash, to)) {
                            model.remove(&(hash, from));
                            index.relocate(hash, from, to);
                        }
                    },
                }
                prop_assert_eq!(index.used, model.len());
            }
            for hash in (0..8).chain(60..68).chain(model.iter().map(|(hash, _)| *hash)) {
                let found: BTreeSet<u32> = index.places(hash).collect();
                let expected = model.iter().filter(|(known, _)| *known == hash).map(|(_, place)| *place).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn index_shrinks_with_its_contents() {
        let mut index = Index::default();
        for place in 0..10_000_u32 {
            index.insert(place.wrapping_mul(0x9e37_79b1), place);
        }
        assert!(index.slots.len() >= 10_000);
        for place in 0..10_000_u32 {
            index.remove(place.wrapping_mul(0x9e37_79b1), place);
        }
        assert_eq!((index.used, index.slots.len()), (0, LEAST_SLOTS));
    }
}
