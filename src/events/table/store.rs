//! Records, and the ways to find them.

use std::collections::hash_map::RandomState;

use super::{index::Index, key::Key, record::Record};

/// Records without gaps, found by the key of either direction and by identifier.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: Vec<Record>,
    by_original: Index,
    by_reply: Index,
    by_id: Index,
    hasher: RandomState,
}

/// What a record is found by.
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

    /// Identifiers are hashes made by the kernel: rarely, two flows have the same.
    pub(super) fn with_id(&self, id: u32) -> impl Iterator<Item = &Record> {
        self.by_id.places(id).filter_map(|place| self.get(place as usize))
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
            // Less than the doubling of `push`: of a large table half would lie idle.
            self.records.reserve_exact((self.records.len() / 8).max(64));
        }
        self.records.push(record);
    }

    /// Puts what is known now in the place of what was known of the same flow: same tuples, same zone.
    pub(super) fn replace(&mut self, place: usize, record: Record) {
        let Some(known) = self.records.get_mut(place) else { return };
        let (old, new) = (known.id, record.id);
        *known = record;
        if old != new {
            let place = place as u32;
            old.into_iter().for_each(|id| self.by_id.remove(id, place));
            new.into_iter().for_each(|id| self.by_id.insert(id, place));
        }
    }

    /// Takes a record out. The last one moves into its place.
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
            id: record.id,
        }
    }
}
