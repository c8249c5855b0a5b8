//! A hash index from the hashes of keys to the places of records.

/// A hash index in shards: the upper bits of a hash choose the shard, the lower ones the bucket.
///
/// A shard that is full moves to a larger allocation while the others stay, so the longest insertion into a table of ten
/// million flows takes a fraction of a millisecond.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Empty until the first insertion.
    shards: Vec<Shard>,
}

/// In tests so few that the shards of small tables grow.
const SHARD_BITS: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 8 };

impl Index {
    /// Returns the place that was inserted under that hash, in few instructions if it is in the first bucket. If several
    /// were, returns any number.
    #[inline(always)]
    pub(super) fn only(&self, hash: u32) -> Option<u32> {
        let shard = self.shards.get(Self::shard(hash))?;
        let bucket = shard.bucket(shard.home(hash));
        match bucket.only(hash) {
            NOWHERE if !bucket.is_full() => None,
            NOWHERE => self.next_bucket(hash),
            place => Some(place),
        }
    }

    #[cold]
    #[inline(never)]
    fn next_bucket(&self, hash: u32) -> Option<u32> {
        self.places(hash).next()
    }

    /// Returns the places that were inserted under that hash.
    #[inline]
    pub(super) fn places(&self, hash: u32) -> Places<'_> {
        self.shards.get(Self::shard(hash)).unwrap_or(&EMPTY_SHARD).places(hash)
    }

    /// The place must not be `u32::MAX`.
    pub(super) fn insert(&mut self, slot: Slot) {
        if self.shards.is_empty() {
            self.shards.resize_with(1 << SHARD_BITS, Shard::default);
        }
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.insert(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.remove(slot);
        }
    }

    /// Notes that the record of a slot has moved.
    pub(super) fn relocate(&mut self, slot: Slot, to: u32) {
        if let Some(shard) = self.shards.get_mut(Self::shard(slot.hash)) {
            shard.relocate(slot, to);
        }
    }

    #[inline]
    const fn shard(hash: u32) -> usize {
        (hash >> (u32::BITS - SHARD_BITS)) as usize
    }

    /// The number of slots that are used.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.shards.iter().map(|shard| shard.used).sum()
    }
}

/// A hash and the place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) hash: u32,
    pub(super) place: u32,
}

/// An open hash index of buckets, without tombstones: churn does not degrade it.
///
/// **The invariant:** a slot is in the bucket that its hash chooses, or in one after it, and all buckets between are full.
///
/// A slot holds the hash as well as the place. So growing, removing and most of a search do not touch the records. The
/// slots are nearly in the order of their hashes: growing reads and writes memory from the first byte to the last.
#[derive(Clone, Debug, Default)]
struct Shard {
    /// At least one of them is not full, if there are any.
    buckets: Vec<Bucket>,
    used: usize,
}

static EMPTY_SHARD: Shard = Shard { buckets: Vec::new(), used: 0 };

impl Shard {
    #[inline]
    fn places(&self, hash: u32) -> Places<'_> {
        let at = self.home(hash);
        let bucket = self.bucket(at);
        Places { shard: self, hash, at, bucket, lanes: bucket.lanes(hash), lane: 0 }
    }

    fn insert(&mut self, slot: Slot) {
        // At most five eighths are used: few buckets are full, and most searches end in the first one. Growing by a half
        // instead of doubling keeps it above two fifths.
        if (self.used + 1) * 8 > self.slots() * 5 {
            self.resize(self.slots() + self.slots() / 2 + 1);
        }
        self.put(slot);
        self.used += 1;
    }

    fn remove(&mut self, slot: Slot) {
        let Some((mut hole, lane)) = self.find(slot) else { return };
        self.used -= 1;
        let mut was_full = self.bucket(hole).is_full();
        self.take(hole, lane);
        // Slots that had to pass the bucket may have to move into the hole.
        let mut at = hole;
        while was_full {
            at = self.after(at);
            was_full = self.bucket(at).is_full();
            if let Some(slot) = self.lane_of_passed(hole, at).and_then(|lane| self.take(at, lane)) {
                self.give(hole, slot);
                hole = at;
            }
        }
        if self.buckets.len() > 1 && self.used * 4 < self.slots() {
            self.resize(self.used * 2);
        }
    }

    /// The lane of a slot in the bucket `at` that may be in the bucket `hole` before it: its home is not between them.
    fn lane_of_passed(&self, hole: usize, at: usize) -> Option<usize> {
        let way = self.distance(hole, at);
        self.bucket(at).slots().position(|slot| self.distance(self.home(slot.hash), at) >= way)
    }

    fn relocate(&mut self, slot: Slot, to: u32) {
        if let Some((at, lane)) = self.find(slot) {
            _ = self.buckets.get_mut(at).is_some_and(|bucket| bucket.set(lane, Slot { place: to, ..slot }));
        }
    }

    /// The bucket and the lane of a slot.
    fn find(&self, wanted: Slot) -> Option<(usize, usize)> {
        let mut places = self.places(wanted.hash);
        let found = places.by_ref().any(|place| place == wanted.place);
        found.then_some((places.at, places.lane))
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while !self.give(at, slot) {
            at = self.after(at);
        }
    }

    fn resize(&mut self, slots: usize) {
        let buckets = slots.div_ceil(LANES).max(1);
        let old = core::mem::replace(&mut self.buckets, vec![Bucket::EMPTY; buckets]);
        old.iter().flat_map(Bucket::slots).for_each(|slot| self.put(slot));
    }

    fn slots(&self) -> usize {
        self.buckets.len() * LANES
    }

    /// The bucket in which a search begins. Greater hashes have greater homes, for any number of buckets.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let fraction = (hash << SHARD_BITS) as u64;
        ((fraction * self.buckets.len() as u64) >> u32::BITS) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.buckets.len() { at + 1 } else { 0 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.buckets.len() - from }
    }

    #[inline]
    fn bucket(&self, at: usize) -> &Bucket {
        self.buckets.get(at).unwrap_or(&Bucket::EMPTY)
    }

    /// Adds a slot to a bucket, unless that is full.
    #[inline]
    fn give(&mut self, at: usize, slot: Slot) -> bool {
        self.buckets.get_mut(at).is_some_and(|bucket| bucket.push(slot))
    }

    fn take(&mut self, at: usize, lane: usize) -> Option<Slot> {
        self.buckets.get_mut(at)?.remove(lane)
    }
}

/// The places under a hash: the next is in one of the lanes of a bucket, or in the buckets after it.
pub(super) struct Places<'a> {
    shard: &'a Shard,
    hash: u32,
    at: usize,
    bucket: &'a Bucket,
    lanes: Lanes,
    /// The lane of the last place.
    lane: usize,
}

impl Iterator for Places<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        loop {
            if self.lanes != 0 {
                self.lane = first_of(self.lanes);
                self.lanes &= Lanes::MAX << (8 * self.lane) << 8;
                return self.bucket.slot(self.lane).map(|slot| slot.place);
            }
            if !self.bucket.is_full() {
                return None;
            }
            self.at = self.shard.after(self.at);
            self.bucket = self.shard.bucket(self.at);
            self.lanes = self.bucket.lanes(self.hash);
        }
    }
}

/// Slots in one line of the cache. The slots that are used come first.
///
/// All hashes of a bucket are compared at once, without a branch. A loop over single slots ends at a random one: the
/// processor guesses wrong, and then waits for the memory of this search before it begins the next.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; LANES],
    /// With all bits inverted: see [`only`](Self::only).
    inverted: [u32; LANES],
}

const LANES: usize = 8;

/// Some slots of a bucket, as bytes of ones.
type Lanes = u64;

#[inline]
const fn first_of(lanes: Lanes) -> usize {
    lanes.trailing_zeros() as usize / 8
}

/// The place in an empty slot.
const NOWHERE: u32 = u32::MAX;

impl Bucket {
    const EMPTY: Self = Self { hashes: [0; LANES], inverted: [!NOWHERE; LANES] };

    /// The place under that hash, [`NOWHERE`] if there is none, and any number if there are several.
    ///
    /// The compiler makes 12 instructions of this form, for all slots at once.
    #[inline]
    fn only(&self, hash: u32) -> u32 {
        let slots = self.hashes.iter().zip(self.inverted);
        !slots.fold(!NOWHERE, |place, (known, inverted)| place | if *known == hash { inverted } else { 0 })
    }

    /// The slots with that hash, and perhaps some that are not used.
    ///
    /// The compiler makes 20 instructions of this form, for all hashes at once.
    #[inline]
    fn lanes(&self, hash: u32) -> Lanes {
        let equal = self.hashes.map(|known| if known == hash { u32::MAX } else { 0 });
        Lanes::from_le_bytes(equal.map(|equal| equal as u8))
    }

    #[inline]
    const fn is_full(&self) -> bool {
        let [.., last] = self.inverted;
        last != !NOWHERE
    }

    /// The number of slots that are used.
    #[inline]
    fn used(&self) -> usize {
        self.inverted.iter().map(|place| usize::from(*place != !NOWHERE)).sum()
    }

    fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..LANES).map_while(|lane| self.slot(lane))
    }

    #[inline]
    fn slot(&self, lane: usize) -> Option<Slot> {
        let (hash, place) = (*self.hashes.get(lane)?, !*self.inverted.get(lane)?);
        (place != NOWHERE).then_some(Slot { hash, place })
    }

    #[inline]
    fn set(&mut self, lane: usize, slot: Slot) -> bool {
        let (Some(hash), Some(inverted)) = (self.hashes.get_mut(lane), self.inverted.get_mut(lane)) else {
            return false;
        };
        (*hash, *inverted) = (slot.hash, !slot.place);
        true
    }

    #[inline]
    fn push(&mut self, slot: Slot) -> bool {
        self.set(self.used(), slot)
    }

    /// Removes a slot. The last one moves into its lane.
    fn remove(&mut self, lane: usize) -> Option<Slot> {
        let removed = self.slot(lane)?;
        let last = self.used() - 1;
        self.set(lane, self.slot(last)?);
        self.set(last, Slot { hash: 0, place: NOWHERE });
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

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
                prop_assert_eq!(index.used(), model.len());
            }
            let hashes = (0..8).chain((u32::MAX >> SHARD_BITS) - 4..=u32::MAX >> SHARD_BITS);
            for hash in hashes.chain(model.iter().map(|(hash, _)| *hash)) {
                let found: BTreeSet<u32> = index.places(hash).collect();
                let expected = model.iter().filter(|(known, _)| *known == hash);
                let expected: BTreeSet<u32> = expected.map(|(_, place)| *place).collect();
                prop_assert_eq!(&found, &expected);
                match index.only(hash) {
                    Some(place) => prop_assert!(found.len() > 1 || found.contains(&place)),
                    None => prop_assert!(found.is_empty()),
                }
            }
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
        let index = fill_and_empty(|index, _| most = index.shards.iter().map(|shard| shard.slots()).sum());
        assert!((16_000..24_100).contains(&most), "{most}");
        assert!(index.used() == 0 && index.shards.iter().all(|shard| shard.buckets.len() == 1));
    }

    #[test]
    fn one_shard_grows_at_a_time() {
        let mut before = vec![0; 1 << SHARD_BITS];
        fill_and_empty(|index, slot| {
            let now: Vec<usize> = index.shards.iter().map(|shard| shard.slots()).collect();
            let grown: Vec<usize> = (0..now.len()).filter(|shard| now[*shard] != before[*shard]).collect();
            assert!(grown.is_empty() || grown == [Index::shard(slot.hash)], "{grown:?}");
            before = now;
        });
    }
}
