//! Records, and the indexes that find them.

use std::{iter::Flatten, slice};

use super::{
    hash::{IdHasher, WordHasher},
    index::{Index, Slot},
    record::Record,
    tuples::Key,
};
use crate::model::{Direction, Tuple};

/// Records in one chunk. In tests so few that small tables have several chunks.
const CHUNK: usize = if cfg!(any(test, fuzzing)) { 16 } else { 4096 };

/// Records without gaps, indexed by the keys of both directions and by identifier.
///
/// A key and that of the inverse tuple have the same hash. So one slot leads to a flow that is not translated, whichever
/// of its tuples is wanted; only a translated flow takes a second one. This saves a flow 12 bytes, and an insertion one
/// access to memory that is in no cache, which takes longer than everything else that it does.
///
/// The records are in chunks and the indexes in shards. So a table grows and shrinks in small steps: no operation touches
/// more than one chunk and one shard of each index, and no memory is set aside for flows that may never come.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    /// All but the last two are full, and at most the last one is empty.
    chunks: Vec<Vec<Record>>,
    len: usize,
    by_tuple: Index,
    by_id: Index,
    hasher: WordHasher,
    id_hasher: IdHasher,
}

/// The records of a store in the order of their places.
pub(super) type Records<'t> = Flatten<slice::Iter<'t, Vec<Record>>>;

/// A key and its hash, which is computed once for several searches.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashedKey {
    pub(super) key: Key,
    hash: u32,
}

impl Store {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn records(&self) -> Records<'_> {
        self.chunks.iter().flatten()
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Record> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// Returns the key of a tuple of a flow in that zone. Its hash is keyed, because peers choose the tuples.
    #[inline]
    pub(super) fn key(&self, tuple: &Tuple, zone: Option<u16>) -> HashedKey {
        self.hashed(Key::new(tuple, zone))
    }

    /// Returns the key of the other tuple of a flow, which often has the hash of the first.
    #[inline]
    pub(super) fn other_key(&self, first: &HashedKey, tuple: &Tuple, zone: Option<u16>) -> HashedKey {
        self.other(first, Key::new(tuple, zone))
    }

    #[inline]
    fn other(&self, first: &HashedKey, key: Key) -> HashedKey {
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
        let mut places = self.by_tuple.places(hash);
        places.find_map(|place| {
            let place = place as usize;
            let record = self.get(place)?;
            record.has_key(direction, wanted).then_some((place, record))
        })
    }

    /// Returns the records with an identifier. The kernel makes identifiers by hashing: rarely, two flows have the same.
    pub(super) fn with_id(&self, id: u32) -> impl Iterator<Item = &Record> {
        let found = self.by_id.places(self.id_hasher.hash(id)).filter_map(|place| self.get(place as usize));
        found.filter(move |record| record.id() == Some(id))
    }

    /// Adds the record of a flow with that identifier under the keys of its tuples.
    ///
    /// The record is made last: the processor then waits for the memory of both indexes at the same time.
    #[inline]
    pub(super) fn insert(&mut self, id: Option<u32>, keys: [&HashedKey; 2], record: impl FnOnce() -> Record) {
        let Ok(place) = u32::try_from(self.len) else { return };
        if let Some(id) = id {
            self.by_id.insert(Slot { hash: self.id_hasher.hash(id), place });
        }
        let [original, reply] = keys;
        self.by_tuple.insert(Slot { hash: original.hash, place });
        if reply.hash != original.hash {
            self.by_tuple.insert(Slot { hash: reply.hash, place });
        }
        self.push(record());
    }

    fn push(&mut self, record: Record) {
        let chunk = self.len / CHUNK;
        if chunk == self.chunks.len() {
            // Only the first chunk grows: a small table is small.
            self.chunks.push(if chunk == 0 { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.push(record);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<Record> {
        self.len = self.len.checked_sub(1)?;
        let record = self.chunks.get_mut(self.len / CHUNK)?.pop();
        // An empty chunk stays for the next record. Otherwise a table would allocate again and again at a boundary.
        self.chunks.truncate(self.len.div_ceil(CHUNK) + 1);
        record
    }

    /// Replaces a record by a newer one of the same flow, with the same tuples and zone.
    pub(super) fn replace(&mut self, place: usize, record: Record) {
        let Some(known) = self.get_mut(place) else { return };
        let (old, new) = (known.id(), record.id());
        *known = record;
        if old != new {
            let slot = |id| Slot { hash: self.id_hasher.hash(id), place: place as u32 };
            old.into_iter().for_each(|id| self.by_id.remove(slot(id)));
            new.into_iter().for_each(|id| self.by_id.insert(slot(id)));
        }
    }

    /// Removes a record. The last one moves into its place.
    pub(super) fn remove(&mut self, place: usize) -> Option<Record> {
        let last = self.len.checked_sub(1)?;
        for (index, slot) in self.slots(place)? {
            self.index_mut(index).remove(slot);
        }
        if place != last {
            for (index, slot) in self.slots(last)? {
                self.index_mut(index).relocate(slot, place as u32);
            }
        }
        let moved = self.pop()?;
        Some(match self.get_mut(place) {
            Some(record) => core::mem::replace(record, moved),
            None => moved,
        })
    }

    /// Returns the slots of a record, each with the index that it is in.
    fn slots(&self, place: usize) -> Option<impl Iterator<Item = (By, Slot)> + use<>> {
        let record = self.get(place)?;
        let original = self.hashed(record.key(Direction::Original));
        let reply = self.other(&original, record.key(Direction::Reply)).hash;
        let original = original.hash;
        let hashes = [
            Some((By::Tuple, original)),
            (reply != original).then_some((By::Tuple, reply)),
            record.id().map(|id| (By::Id, self.id_hasher.hash(id))),
        ];
        Some(hashes.into_iter().flatten().map(move |(by, hash)| (by, Slot { hash, place: place as u32 })))
    }

    const fn index_mut(&mut self, by: By) -> &mut Index {
        match by {
            By::Tuple => &mut self.by_tuple,
            By::Id => &mut self.by_id,
        }
    }
}

/// Names an index.
#[derive(Clone, Copy)]
enum By {
    Tuple,
    Id,
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
            let record = || Record::new(&Flow::new(tuple, reply), 0, SeenInEvents::empty());
            let keys = [tuple, reply].map(|tuple| store.key(&tuple, None));
            store.insert(None, [&keys[0], &keys[1]], record);
            assert_eq!(store.by_tuple.used(), slots);
            assert_eq!(store.find(Direction::Original, &keys[0]).map(|(place, _)| place), Some(0));
            assert_eq!(store.find(Direction::Reply, &keys[1]).map(|(place, _)| place), Some(0));
            assert!(store.find(Direction::Reply, &keys[0]).is_none(), "each tuple has its direction");
            assert!(store.remove(0).is_some());
            assert_eq!((store.by_tuple.used(), store.by_id.used()), (0, 0));
        }
    }
}
