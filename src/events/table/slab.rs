//! Records in chunks of memory, each in a place of its own.

use std::{
    hint::black_box,
    iter::{FilterMap, Flatten},
    slice,
};

use super::record::Record;

/// Places in one chunk. In tests so few that small tables have several chunks.
const CHUNK: usize = if cfg!(any(test, fuzzing)) { 16 } else { 4096 };

/// Records for each vacant place that may exist. In tests so few that small tables have vacant places.
const VACANT_SHARE: usize = if cfg!(any(test, fuzzing)) { 3 } else { 16 };

/// Records in places, some of which are vacant.
///
/// A removal leaves a vacant place, which the next insertion fills: while as many flows begin as end, no other record is
/// touched. If there are many vacant places already, the last record moves into the place instead. So memory shrinks with
/// the number of records.
///
/// **The invariant:** the last place is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Slab {
    /// All but the last two have all their places, and at most the last one has none.
    chunks: Vec<Vec<Option<Record>>>,
    /// The number of places.
    end: usize,
    /// The number of records.
    len: usize,
    /// Places that a removal left vacant. Some may have been removed at the end since, and then perhaps added again with a
    /// record. Those are passed over.
    vacant: Vec<u32>,
}

/// The records of a slab in the order of their places.
pub(super) type Records<'s> =
    FilterMap<Flatten<slice::Iter<'s, Vec<Option<Record>>>>, fn(&Option<Record>) -> Option<&Record>>;

/// The result of a removal.
pub(super) struct Removed {
    pub(super) record: Record,
    /// If another record has moved into the place: its place before.
    pub(super) moved_from: Option<usize>,
}

impl Slab {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The number of places, vacant or not: all places are below it.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    pub(super) fn iter(&self) -> Records<'_> {
        self.chunks.iter().flatten().filter_map(Option::as_ref)
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Record> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.place_mut(place)?.as_mut()
    }

    #[inline]
    fn place_mut(&mut self, place: usize) -> Option<&mut Option<Record>> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// Returns the place for the next record: a vacant one, or a new one at the end.
    #[inline]
    pub(super) fn next_place(&mut self) -> usize {
        while let Some(place) = self.vacant.last() {
            let place = *place as usize;
            if place < self.end && self.get(place).is_none() {
                return place;
            }
            self.vacant.pop();
        }
        self.end
    }

    /// Reads the memory of the places for so many insertions.
    pub(super) fn read_next_places(&self, count: usize) {
        for place in self.vacant.iter().rev().take(count) {
            black_box(self.get(*place as usize).is_none());
        }
    }

    /// Puts a record into the [next place](Self::next_place).
    #[inline]
    pub(super) fn insert(&mut self, next_place: usize, record: Record) {
        if let Some(vacant) = self.place_mut(next_place) {
            *vacant = Some(record);
            self.vacant.pop();
        } else {
            self.push(record);
        }
        self.len += 1;
    }

    fn push(&mut self, record: Record) {
        let chunk = self.end / CHUNK;
        if chunk == self.chunks.len() {
            // Only the first chunk grows: a small table is small.
            self.chunks.push(if chunk == 0 { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.push(Some(record));
            self.end += 1;
        }
    }

    /// Removes the last place.
    fn pop(&mut self) -> Option<Record> {
        self.end = self.end.checked_sub(1)?;
        let record = self.chunks.get_mut(self.end / CHUNK)?.pop().flatten();
        // An empty chunk stays for the next record. Otherwise a table would allocate again and again at a boundary.
        self.chunks.truncate(self.end.div_ceil(CHUNK) + 1);
        record
    }

    /// Removes the record of a place, and fills the place if there are many vacant ones.
    #[inline]
    pub(super) fn remove(&mut self, place: usize) -> Option<Removed> {
        let record = self.place_mut(place)?.take()?;
        self.len -= 1;
        let may_stay_vacant = self.vacant.len() < self.len / VACANT_SHARE;
        let moved_from = if place + 1 == self.end {
            self.trim();
            None
        } else if may_stay_vacant {
            self.vacant.push(place as u32);
            None
        } else {
            self.fill(place)
        };
        Some(Removed { record, moved_from })
    }

    /// Moves the last record into a place, and returns its former place.
    fn fill(&mut self, place: usize) -> Option<usize> {
        let last = self.pop()?;
        let from = self.end;
        *self.place_mut(place)? = Some(last);
        self.trim();
        Some(from)
    }

    /// Removes the vacant places at the end.
    fn trim(&mut self) {
        while self.end > 0 && self.get(self.end - 1).is_none() {
            self.pop();
        }
        if self.end == 0 {
            self.vacant = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{super::record::SeenInEvents, *};
    use crate::{Flow, Tuple};

    fn record(number: u32) -> Record {
        let tuple = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
        let flow = Flow { id: Some(number), ..Flow::new(tuple, tuple.inverted().unwrap()) };
        Record::new([0; 2], &flow, 0, SeenInEvents::empty())
    }

    fn insert(slab: &mut Slab, number: u32) -> usize {
        let place = slab.next_place();
        slab.insert(place, record(number));
        place
    }

    proptest! {
        #[test]
        fn slab_equals_a_map_of_places(steps in proptest::collection::vec((0..3_u8, any::<usize>()), 0..400)) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (number, (step, at)) in steps.into_iter().enumerate() {
                // Tables grow in the first half and shrink in the second.
                if step == 0 || step == 1 && number < 200 {
                    let place = insert(&mut slab, number as u32);
                    prop_assert_eq!(model.insert(place, number as u32), None, "the place was vacant");
                } else if let Some(place) = model.keys().nth(at % model.len().max(1)).copied() {
                    let Removed { record, moved_from } = slab.remove(place).unwrap();
                    prop_assert_eq!(record.id(), model.remove(&place));
                    if let Some(moved) = moved_from {
                        let number = model.remove(&moved).unwrap();
                        model.insert(place, number);
                    }
                } else {
                    prop_assert!(slab.remove(at % 64).is_none());
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert_eq!(slab.end(), model.keys().last().map_or(0, |last| last + 1));
                let gaps = slab.end() - slab.len();
                prop_assert!(gaps <= slab.vacant.len());
                prop_assert!(slab.chunks.len() <= slab.end().div_ceil(CHUNK) + 1);
            }
            let records: Vec<_> = slab.iter().map(|record| record.id().unwrap()).collect();
            prop_assert_eq!(records, model.values().copied().collect::<Vec<_>>());
            for (place, number) in model {
                prop_assert_eq!(slab.get(place).and_then(Record::id), Some(number));
            }
        }
    }

    #[test]
    fn place_of_a_removed_record_is_for_the_next_one() {
        let mut slab = Slab::default();
        (0..30).for_each(|number| _ = insert(&mut slab, number));
        for round in 0..100 {
            let place = (7 * round) as usize % 29;
            assert_eq!(slab.remove(place).unwrap().moved_from, None);
            assert_eq!(insert(&mut slab, 100 + round), place);
        }
        assert_eq!((slab.end(), slab.vacant.len()), (30, 0));
    }

    #[test]
    fn memory_shrinks_with_the_records() {
        let mut slab = Slab::default();
        (0..600).for_each(|number| _ = insert(&mut slab, number));
        assert_eq!(slab.chunks.len(), 600_usize.div_ceil(CHUNK));
        while let Some(place) = (0..slab.end()).find(|place| slab.get(*place).is_some()) {
            assert!(slab.remove(place).is_some());
            assert!(slab.end() <= 2 * slab.len() + 200, "{} places, {} records", slab.end(), slab.len());
        }
        assert!(slab.chunks.len() <= 1 && slab.vacant.capacity() == 0);
    }
}
