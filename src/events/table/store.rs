//! Records, and the indexes that find them.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use super::{
    index::{Index, Key},
    record::Record,
};

/// Records in one vector without gaps, indexed by the key of each direction and by identifier.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    records: Vec<Record>,
    by_original: Index,
    by_reply: Index,
    by_id: Index,
    hasher: RandomState,
    id_hasher: IdHasher,
}

/// A keyed hash of identifiers, which keeps anybody from choosing identifiers that collide: multiply and shift by a random
/// odd factor. It costs a tenth of the hash of keys.
#[derive(Clone, Debug)]
struct IdHasher {
    factor: u64,
}

impl Default for IdHasher {
    fn default() -> Self {
        // The only safe source of random numbers in the standard library.
        Self { factor: RandomState::new().hash_one(0) | 1 }
    }
}

impl IdHasher {
    #[inline]
    fn hash(&self, id: u32) -> u32 {
        // The index uses the low bits, the multiplication mixes best into the high ones.
        (self.factor.wrapping_mul(id.into()) >> 32) as u32
    }
}

/// The hashes under which a record is indexed.
#[derive(Clone, Copy)]
struct Hashes {
    original: u32,
    reply: u32,
    id: Option<u32>,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn get(&self, place: usize) -> Option<&Record> {
        self.records.get(place)
    }

    pub(super) fn find_original(&self, key: &Key) -> Option<usize> {
        self.find(&self.by_original, key.hash(&self.hasher), |record| record.original_key() == *key)
    }

    pub(super) fn find_reply(&self, key: &Key) -> Option<usize> {
        self.find(&self.by_reply, key.hash(&self.hasher), |record| record.reply_key() == *key)
    }

    fn find(&self, index: &Index, hash: u32, is_wanted: impl Fn(&Record) -> bool) -> Option<usize> {
        index.places(hash).map(|place| place as usize).find(|place| self.get(*place).is_some_and(&is_wanted))
    }

    /// Returns the records with an identifier. The kernel makes identifiers by hashing: rarely, two flows have the same.
    pub(super) fn with_id(&self, id: u32) -> impl Iterator<Item = &Record> {
        let found = self.by_id.places(self.id_hasher.hash(id)).filter_map(|place| self.get(place as usize));
        found.filter(move |record| record.id == Some(id))
    }

    pub(super) fn insert(&mut self, record: Record) {
        let Ok(place) = u32::try_from(self.records.len()) else { return };
        let hashes = self.hashes(&record);
        self.by_original.insert(hashes.original, place);
        self.by_reply.insert(hashes.reply, place);
        if let Some(id) = hashes.id {
            self.by_id.insert(id, place);
        }
        if self.records.len() == self.records.capacity() {
            // Less than the doubling of `push`, which would leave half of a large table unused.
            self.records.reserve_exact((self.records.len() / 8).max(64));
        }
        self.records.push(record);
    }

    /// Replaces a record by a newer one of the same flow, with the same tuples and zone.
    pub(super) fn replace(&mut self, place: usize, record: Record) {
        let Some(known) = self.records.get_mut(place) else { return };
        let (old, new) = (known.id, record.id);
        *known = record;
        if old != new {
            let place = place as u32;
            old.into_iter().for_each(|id| self.by_id.remove(self.id_hasher.hash(id), place));
            new.into_iter().for_each(|id| self.by_id.insert(self.id_hasher.hash(id), place));
        }
    }

    /// Removes a record. The last one moves into its place.
    pub(super) fn remove(&mut self, place: usize) -> Option<Record> {
        let last = self.records.len().checked_sub(1)?;
        let hashes = self.hashes(self.records.get(place)?);
        self.by_original.remove(hashes.original, place as u32);
        self.by_reply.remove(hashes.reply, place as u32);
        hashes.id.into_iter().for_each(|id| self.by_id.remove(id, place as u32));
        if place != last {
            let (hashes, from, to) = (self.hashes(self.records.get(last)?), last as u32, place as u32);
            self.by_original.relocate(hashes.original, from, to);
            self.by_reply.relocate(hashes.reply, from, to);
            hashes.id.into_iter().for_each(|id| self.by_id.relocate(id, from, to));
        }
        let record = self.records.swap_remove(place);
        if self.records.capacity() / 4 > self.records.len().max(1024) {
            self.records.shrink_to(self.records.len() * 2);
        }
        Some(record)
    }

    fn hashes(&self, record: &Record) -> Hashes {
        Hashes {
            original: record.original_key().hash(&self.hasher),
            reply: record.reply_key().hash(&self.hasher),
            id: record.id.map(|id| self.id_hasher.hash(id)),
        }
    }
}
