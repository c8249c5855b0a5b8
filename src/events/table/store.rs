//! Records, and the indexes that find them.

use core::net::IpAddr;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use super::{index::Index, record::Record};
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
    fn hash(&self, hasher: &RandomState) -> u32 {
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
