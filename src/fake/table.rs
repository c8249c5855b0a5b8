//! The table: entries, found by either of their tuples.

use core::{
    hash::{BuildHasher as _, BuildHasherDefault},
    net::IpAddr,
};
use std::{
    collections::{BTreeMap, HashMap},
    hash::DefaultHasher,
};

use super::{
    flow::FlowEntry,
    tuple::{RawTuple, Zone},
};
use crate::model::{Direction, Protocol, Status};

/// The position of an entry in a dump. Like the kernel's, it depends on a hash of the tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    bucket: u64,
    serial: u64,
}

/// The table of flows.
#[derive(Debug, Default)]
pub(super) struct ConntrackTable {
    entries: BTreeMap<Place, FlowEntry>,
    /// The entries with a tuple, the newest last.
    index: HashMap<RawTuple, Vec<(Place, Direction)>>,
    /// The entries with a translation, by the source of their original tuple.
    sources: HashMap<SourceKey, Vec<Place>>,
    slots: Slots,
    serial: u64,
}

type SourceKey = (IpAddr, u16, Protocol);

const fn source(tuple: &RawTuple) -> SourceKey {
    (tuple.source, tuple.source_part, tuple.protocol)
}

/// The memory of entries. Like in the kernel's slabs, the slot that was freed last is used first. Therefore a flow that is
/// deleted and created again often has the same identifier.
#[derive(Debug, Default)]
struct Slots {
    /// For each slot, whether its entry is in the table, and the number of entries whose master it is.
    states: Vec<(bool, u32)>,
    free: Vec<u32>,
}

impl Slots {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.states.push((false, 0));
            (self.states.len() - 1) as u32
        })
    }

    fn change(&mut self, slot: u32, change: impl FnOnce(&mut (bool, u32))) {
        let Some(state) = self.states.get_mut(slot as usize) else { return };
        let was_free = *state == (false, 0);
        change(state);
        if *state == (false, 0) && !was_free {
            self.free.push(slot);
        }
    }

    fn children(&self, slot: u32) -> u32 {
        self.states.get(slot as usize).map_or(0, |(_, children)| *children)
    }
}

fn hash(value: impl core::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

impl ConntrackTable {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, place: Place) -> Option<&FlowEntry> {
        self.entries.get(&place)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut FlowEntry> {
        self.entries.get_mut(&place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &FlowEntry)> {
        self.entries.iter().map(|(place, entry)| (*place, entry))
    }

    /// The entries after a place, or all entries.
    pub(super) fn after(&self, place: Option<Place>) -> impl Iterator<Item = (Place, &FlowEntry)> {
        use core::ops::Bound;
        let start = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((start, Bound::Unbounded)).map(|(place, entry)| (*place, entry))
    }

    /// The entries with this tuple in either direction, the newest first, which is the kernel's order.
    pub(super) fn with_tuple(&self, tuple: &RawTuple) -> impl Iterator<Item = (Place, Direction, &FlowEntry)> {
        let found = self.index.get(tuple).into_iter().flatten().rev();
        found.filter_map(|(place, direction)| Some((*place, *direction, self.entries.get(place)?)))
    }

    /// The translated entries with the source of this tuple, the newest first.
    pub(super) fn with_source_of(&self, tuple: &RawTuple) -> impl Iterator<Item = &FlowEntry> {
        let found = self.sources.get(&source(tuple)).into_iter().flatten().rev();
        found.filter_map(|place| self.entries.get(place))
    }

    /// Returns true if a new entry with this tuple in this direction would clash.
    ///
    /// The kernel searches only the bucket of the tuple and of the zone in this direction. An entry is in that bucket only
    /// if its own zone in its own direction is the same.
    pub(super) fn clashes(&self, tuple: &RawTuple, zone: Zone, direction: Direction) -> bool {
        self.with_tuple(tuple).any(|(_, found, entry)| {
            let number = entry.zone.id_in(found);
            number == zone.id_in(found) && number == zone.id_in(direction)
        })
    }

    /// Adds an entry, and assigns its slot and identifier.
    pub(super) fn insert(&mut self, mut entry: FlowEntry) -> Place {
        entry.slot = self.slots.take();
        self.slots.change(entry.slot, |state| state.0 = true);
        entry.id = (hash((entry.original, entry.slot)) as u32).max(1);
        if let Some(master) = entry.master {
            self.slots.change(master.slot, |state| state.1 += 1);
        }
        self.serial += 1;
        let place =
            Place { bucket: hash((entry.original, entry.zone.id_in(Direction::Original))), serial: self.serial };
        self.index.entry(entry.original).or_default().push((place, Direction::Original));
        self.index.entry(entry.reply).or_default().push((place, Direction::Reply));
        if entry.status.contains(Status::SRC_NAT_DONE) {
            self.sources.entry(source(&entry.original)).or_default().push(place);
        }
        self.entries.insert(place, entry);
        place
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<FlowEntry> {
        let entry = self.entries.remove(&place)?;
        for tuple in [&entry.original, &entry.reply] {
            if let Some(found) = self.index.get_mut(tuple) {
                found.retain(|(other, _)| *other != place);
                if found.is_empty() {
                    self.index.remove(tuple);
                }
            }
        }
        if let Some(found) = self.sources.get_mut(&source(&entry.original)) {
            found.retain(|other| *other != place);
            if found.is_empty() {
                self.sources.remove(&source(&entry.original));
            }
        }
        self.slots.change(entry.slot, |state| state.0 = false);
        if let Some(master) = entry.master {
            self.slots.change(master.slot, |state| state.1 = state.1.saturating_sub(1));
        }
        Some(entry)
    }

    /// The reference count of an entry: 1 for the table, and 1 for each flow whose master it is.
    pub(super) fn references(&self, entry: &FlowEntry) -> u32 {
        1 + self.slots.children(entry.slot)
    }
}
