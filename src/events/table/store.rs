//! Records, and the indexes that find them.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    iter::Flatten,
    slice,
};

use super::{record::Record, tuples::Key};
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
    hasher: RandomState,
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
        // The multiplication mixes best into the high bits.
        (self.factor.wrapping_mul(id.into()) >> 32) as u32
    }
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
    fn get_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// Returns the key of a tuple of a flow in that zone. Its hash is keyed, because peers choose the tuples.
    #[inline]
    pub(super) fn key(&self, tuple: &Tuple, zone: Option<u16>) -> HashedKey {
        self.hashed(Key::new(tuple, zone))
    }

    #[inline]
    fn hashed(&self, key: Key) -> HashedKey {
        let mut state = self.hasher.build_hasher();
        key.with_bytes(|bytes| state.write(bytes));
        HashedKey { key, hash: state.finish() as u32 }
    }

    #[inline]
    pub(super) fn find(&self, direction: Direction, wanted: &HashedKey) -> Option<usize> {
        let is_wanted = |record: &Record| record.key(direction) == wanted.key;
        let mut places = self.by_tuple.places(wanted.hash).map(|place| place as usize);
        places.find(|place| self.get(*place).is_some_and(is_wanted))
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
        let [original, reply] =
            [Direction::Original, Direction::Reply].map(|direction| self.hashed(record.key(direction)).hash);
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

/// A hash index in shards: the upper bits of a hash choose the shard, the lower ones the slot.
///
/// A shard that is full moves to a larger allocation while the others stay, so the longest insertion into a table of ten
/// million flows takes a fraction of a millisecond.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Empty until the first insertion.
    shards: Vec<Shard>,
}

/// In tests so few that the shards of small tables grow.
const SHARD_BITS: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 8 };

impl Index {
    /// Returns the places that were inserted under that hash.
    #[inline]
    fn places(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
        self.shards.get(Self::shard(hash)).into_iter().flat_map(move |shard| shard.places(hash))
    }

    /// The place must not be `u32::MAX`.
    fn insert(&mut self, slot: Slot) {
        if self.shards.is_empty() {
            self.shards.resize_with(1 << SHARD_BITS, Shard::default);
        }
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.insert(slot);
        }
    }

    fn remove(&mut self, slot: Slot) {
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.remove(slot);
        }
    }

    /// Notes that the record of a slot has moved.
    fn relocate(&mut self, slot: Slot, to: u32) {
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.relocate(slot, to);
        }
    }

    #[inline]
    const fn shard(hash: u32) -> usize {
        (hash >> (u32::BITS - SHARD_BITS)) as usize
    }
}

/// An open hash index with linear probing and without tombstones: churn does not degrade it.
///
/// A slot holds the hash as well as the place. So growing, removing and most of a search do not touch the records. The
/// slots are nearly in the order of their hashes: growing reads and writes memory from the first byte to the last.
#[derive(Clone, Debug, Default)]
struct Shard {
    /// At least one slot is empty, if there are any.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    hash: u32,
    place: u32,
}

const EMPTY: Slot = Slot { hash: 0, place: u32::MAX };
const LEAST_SLOTS: usize = 8;

impl Shard {
    #[inline]
    fn places(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
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

    fn insert(&mut self, slot: Slot) {
        // At most three quarters are used. Growing by a half instead of doubling keeps it above one half.
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.resize(self.slots.len() + self.slots.len() / 2 + LEAST_SLOTS);
        }
        self.put(slot);
        self.used += 1;
    }

    fn remove(&mut self, slot: Slot) {
        let Some(mut hole) = self.find(slot) else { return };
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
        if self.slots.len() > LEAST_SLOTS && self.used * 4 < self.slots.len() {
            self.resize(self.used * 2);
        }
    }

    fn relocate(&mut self, slot: Slot, to: u32) {
        if let Some(at) = self.find(slot) {
            self.set(at, Slot { place: to, ..slot });
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

    /// The slot in which a search begins. Greater hashes have greater homes, for any number of slots.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let fraction = (hash << SHARD_BITS) as u64;
        ((fraction * self.slots.len() as u64) >> u32::BITS) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.slots.len() - from }
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

    use super::{super::record::SeenInEvents, *};
    use crate::Flow;

    #[derive(Clone, Debug)]
    enum IndexStep {
        Insert(u32, u32),
        Remove(usize),
        Relocate(usize, u32),
    }

    /// Few hashes, some equal or adjacent and some at the end of the slots, to make runs meet and wrap.
    fn hash() -> impl Strategy<Value = u32> {
        let last_of_a_shard = u32::MAX >> SHARD_BITS;
        prop_oneof![0..8_u32, last_of_a_shard - 4..=last_of_a_shard, any::<u32>()]
    }

    fn step() -> impl Strategy<Value = IndexStep> {
        prop_oneof![
            4 => (hash(), 0..1000_u32).prop_map(|(hash, place)| IndexStep::Insert(hash, place)),
            3 => any::<usize>().prop_map(IndexStep::Remove),
            1 => (any::<usize>(), 1000..2000_u32).prop_map(|(at, to)| IndexStep::Relocate(at, to)),
        ]
    }

    fn used(index: &Index) -> usize {
        index.shards.iter().map(|shard| shard.used).sum()
    }

    proptest! {
        #[test]
        fn index_equals_a_set_of_pairs(steps in proptest::collection::vec(step(), 0..300)) {
            let mut index = Index::default();
            let mut model = BTreeSet::new();
            let pick = |model: &BTreeSet<(u32, u32)>, at: usize| model.iter().nth(at % model.len().max(1)).copied();
            for step in steps {
                match step {
                    IndexStep::Insert(hash, place) => {
                        if model.insert((hash, place)) {
                            index.insert(Slot { hash, place });
                        }
                    }
                    IndexStep::Remove(at) => if let Some((hash, place)) = pick(&model, at) {
                        model.remove(&(hash, place));
                        index.remove(Slot { hash, place });
                    },
                    IndexStep::Relocate(at, to) => if let Some((hash, from)) = pick(&model, at) {
                        if model.insert((hash, to)) {
                            model.remove(&(hash, from));
                            index.relocate(Slot { hash, place: from }, to);
                        }
                    },
                }
                prop_assert_eq!(used(&index), model.len());
            }
            let hashes = (0..8).chain((u32::MAX >> SHARD_BITS) - 4..=u32::MAX >> SHARD_BITS);
            for hash in hashes.chain(model.iter().map(|(hash, _)| *hash)) {
                let found: BTreeSet<u32> = index.places(hash).collect();
                let expected = model.iter().filter(|(known, _)| *known == hash).map(|(_, place)| *place).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn only_a_translated_flow_takes_a_second_slot() {
        let tuple = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
        let other = Tuple::udp(([10, 0, 0, 2], 53).into(), ([192, 0, 2, 1], 5).into());
        for (reply, slots) in [(tuple.inverted().unwrap(), 1), (other, 2)] {
            let mut store = Store::default();
            let record = || Record::new(&Flow::new(tuple, reply), 0, SeenInEvents::empty());
            let keys = [tuple, reply].map(|tuple| store.key(&tuple, None));
            store.insert(None, [&keys[0], &keys[1]], record);
            assert_eq!(used(&store.by_tuple), slots);
            assert_eq!(store.find(Direction::Original, &keys[0]), Some(0));
            assert_eq!(store.find(Direction::Reply, &keys[1]), Some(0));
            assert_eq!(store.find(Direction::Reply, &keys[0]), None, "each tuple has its direction");
            assert!(store.remove(0).is_some());
            assert_eq!((used(&store.by_tuple), used(&store.by_id)), (0, 0));
        }
    }

    /// Inserts 10,000 places under hashes that are spread evenly, and removes them.
    fn fill_and_empty(mut look: impl FnMut(&Index, &Slot)) -> Index {
        let mut index = Index::default();
        let slots: Vec<Slot> =
            (0..10_000_u32).map(|place| Slot { hash: place.wrapping_mul(0x9e37_79b1), place }).collect();
        for slot in &slots {
            index.insert(*slot);
            look(&index, slot);
        }
        for slot in &slots {
            index.remove(*slot);
        }
        index
    }

    #[test]
    fn index_shrinks_with_its_contents() {
        let mut most = 0;
        let index = fill_and_empty(|index, _| most = index.shards.iter().map(|shard| shard.slots.len()).sum());
        assert!((13_300..20_100).contains(&most), "{most}");
        assert!(used(&index) == 0 && index.shards.iter().all(|shard| shard.slots.len() == LEAST_SLOTS));
    }

    #[test]
    fn one_shard_grows_at_a_time() {
        let mut before = vec![0; 1 << SHARD_BITS];
        fill_and_empty(|index, slot| {
            let now: Vec<usize> = index.shards.iter().map(|shard| shard.slots.len()).collect();
            let grown: Vec<usize> = (0..now.len()).filter(|shard| now[*shard] != before[*shard]).collect();
            assert!(grown.is_empty() || grown == [Index::shard(slot.hash)], "{grown:?}");
            before = now;
        });
    }
}
