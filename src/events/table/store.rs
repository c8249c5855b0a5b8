//! Records, and the index that finds them.

use std::hint::black_box;

use super::{
    hash::WordHasher,
    index::{Index, Slot},
    key::Key,
    record::Record,
    slab::{Records, Removed, Slab},
};
use crate::model::{Direction, Tuple};

/// The most keys that are [read ahead](Store::read_ahead) at once.
pub(super) const MOST_AHEAD: usize = 16;

/// Records, indexed by the keys of both directions.
///
/// A key and that of the inverse tuple have the same hash. So one slot leads to a flow that is not translated, whichever
/// of its tuples is wanted; only a translated flow takes a second one. This saves a flow 15 bytes, and an insertion one
/// access to memory that is in no cache, which takes longer than everything else that it does.
///
/// The records are in chunks and the index in shards. So a table grows and shrinks in small steps: an operation adds one
/// chunk or removes the vacant places at the end, it resizes one shard for each slot, and no memory is set aside for flows
/// that may never come.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    records: Slab,
    index: Index,
    hasher: WordHasher,
}

/// A key and its hash, which is computed once for several searches.
#[derive(Clone, Copy, Debug)]
pub(in crate::events) struct HashedKey {
    pub(super) key: Key,
    hash: u32,
}

impl Store {
    pub(super) const fn len(&self) -> usize {
        self.records.len()
    }

    /// A number above every place.
    pub(super) const fn end(&self) -> usize {
        self.records.end()
    }

    pub(super) fn records(&self) -> Records<'_> {
        self.records.iter()
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Record> {
        self.records.get(place)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.records.get_mut(place)
    }

    /// Returns the key of a tuple of a flow in that zone. Its hash is keyed, because peers choose the tuples.
    #[inline]
    pub(super) fn key(&self, tuple: &Tuple, zone: Option<u16>) -> HashedKey {
        self.hashed(Key::new(tuple, zone))
    }

    /// Returns the key of the other tuple of a flow, which often has the hash of the first.
    #[inline]
    pub(super) fn other_key(&self, first: &HashedKey, tuple: &Tuple, zone: Option<u16>) -> HashedKey {
        let key = Key::new(tuple, zone);
        if key.is_inverse(first.key) { HashedKey { key, hash: first.hash } } else { self.hashed(key) }
    }

    #[inline]
    pub(super) fn hash(&self, key: &Key) -> u32 {
        key.hash(&self.hasher)
    }

    #[inline]
    fn hashed(&self, key: Key) -> HashedKey {
        HashedKey { key, hash: self.hash(&key) }
    }

    /// Returns the record with that key, and its place.
    pub(super) fn find(&self, direction: Direction, wanted: &HashedKey) -> Option<(usize, &Record)> {
        self.find_key(direction, &wanted.key, wanted.hash)
    }

    /// The same of a key with that hash. Apart from its caller, a look-up would pass everything through memory.
    #[inline(always)]
    pub(super) fn find_key(&self, direction: Direction, wanted: &Key, hash: u32) -> Option<(usize, &Record)> {
        let place = self.index.only(hash)? as usize;
        match self.get(place).filter(|record| record.has_key(direction, wanted)) {
            Some(record) => Some((place, record)),
            None => self.find_of_several(direction, wanted, hash),
        }
    }

    /// The same if there are several places under the hash, or that of another flow, which is rare.
    #[cold]
    #[inline(never)]
    fn find_of_several(&self, direction: Direction, wanted: &Key, hash: u32) -> Option<(usize, &Record)> {
        self.index.places(hash).find_map(|place| {
            let place = place as usize;
            let record = self.get(place)?;
            record.has_key(direction, wanted).then_some((place, record))
        })
    }

    /// Reads the memory that events with these keys will need. Keys after the first [`MOST_AHEAD`] are ignored.
    ///
    /// Each loop is so short that a processor waits for the memory of all its rounds at the same time.
    pub(super) fn read_ahead<'k>(&self, keys: impl Iterator<Item = &'k HashedKey>) {
        let mut places = [None; MOST_AHEAD];
        let mut count = 0;
        for (place, key) in places.iter_mut().zip(keys) {
            *place = self.index.only(key.hash);
            count += 1;
        }
        for place in places.into_iter().flatten() {
            black_box(self.get(place as usize).map(Record::parts_of_each_line));
        }
        self.records.read_next_places(count);
    }

    /// Adds a record under the keys of its tuples. `record` makes it from their hashes.
    ///
    /// It is made last, while the processor waits for the memory of the index.
    #[inline]
    pub(super) fn insert(&mut self, keys: [&HashedKey; 2], record: impl FnOnce([u32; 2]) -> Record) {
        let place = self.records.next_place();
        let Ok(slot_place) = u32::try_from(place) else { return };
        let hashes = keys.map(|key| key.hash);
        for slot in slots(hashes, slot_place) {
            self.index.insert(slot);
        }
        self.records.insert(place, record(hashes));
    }

    /// Removes the record of a place. Another one may move there.
    pub(super) fn remove(&mut self, place: usize) -> Option<Record> {
        let Removed { record, moved_from } = self.records.remove(place)?;
        for slot in slots(record.hashes(), place as u32) {
            self.index.remove(slot);
        }
        if let (Some(from), Some(moved)) = (moved_from, self.records.get(place)) {
            for slot in slots(moved.hashes(), from as u32) {
                self.index.relocate(slot, place as u32);
            }
        }
        Some(record)
    }
}

/// Returns the slots of a record with those hashes, one if they are equal.
#[inline]
fn slots([original, reply]: [u32; 2], place: u32) -> impl Iterator<Item = Slot> {
    let reply = (reply != original).then_some(reply);
    [original].into_iter().chain(reply).map(move |hash| Slot { hash, place })
}

#[cfg(test)]
mod tests {
    use super::{super::record::SeenInEvents, *};
    use crate::Flow;

    #[test]
    fn only_a_translated_flow_takes_a_second_slot() {
        let tuple = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
        let other = Tuple::udp(([10, 0, 0, 2], 53).into(), ([192, 0, 2, 1], 5).into());
        for (reply, slots) in [(tuple.inverted().unwrap(), 1), (other, 2)] {
            let mut store = Store::default();
            let record = |hashes| Record::new(hashes, &Flow::new(tuple, reply), 0, SeenInEvents::empty());
            let keys = [tuple, reply].map(|tuple| store.key(&tuple, None));
            store.insert([&keys[0], &keys[1]], record);
            assert_eq!(store.index.used(), slots);
            assert_eq!(store.find(Direction::Original, &keys[0]).map(|(place, _)| place), Some(0));
            assert_eq!(store.find(Direction::Reply, &keys[1]).map(|(place, _)| place), Some(0));
            assert!(store.find(Direction::Reply, &keys[0]).is_none(), "each tuple has its direction");
            assert!(store.remove(0).is_some());
            assert_eq!(store.index.used(), 0);
        }
    }

    #[test]
    fn flows_with_the_same_hash_are_different_flows() {
        let tuple = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
        let tuples = [tuple, tuple.inverted().unwrap()];
        let mut store = Store::default();
        for tuple in tuples {
            let reply = Tuple::udp(([192, 0, 2, 1], tuple.source_port().unwrap()).into(), ([192, 0, 2, 2], 7).into());
            let keys = [tuple, reply].map(|tuple| store.key(&tuple, None));
            let flow = Flow::new(tuple, reply);
            store.insert([&keys[0], &keys[1]], |hashes| Record::new(hashes, &flow, 0, SeenInEvents::empty()));
        }
        let keys = tuples.map(|tuple| store.key(&tuple, None));
        assert_eq!(keys[0].hash, keys[1].hash);
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(store.find(Direction::Original, key).map(|(place, _)| place), Some(place));
            assert!(store.find(Direction::Reply, key).is_none());
        }
    }
}
