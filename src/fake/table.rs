//! The table: entries, found by either of their tuples, and free tuples for translated flows.
//!
//! The choice of a translation follows `nf_nat_setup_info` and `get_unique_tuple` in `net/netfilter/nf_nat_core.c`. The kernel starts at a random
//! port; this takes the first free port of the range.

use core::{
    hash::{BuildHasher as _, BuildHasherDefault},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use std::{
    collections::{BTreeMap, HashMap},
    hash::DefaultHasher,
};

use super::flow::{FlowEntry, RawTuple, Zone};
use crate::model::{Direction, NatRange, Protocol, Status};

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

/// The end of a tuple that a translation changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TranslatedEnd {
    Source,
    Destination,
}

/// The number of ports that the kernel tries (`NF_NAT_MAX_ATTEMPTS`).
const ATTEMPTS: u32 = 128;

/// The range of a translation.
#[derive(Clone, Copy)]
struct TranslationRange {
    addresses: Option<(IpAddr, IpAddr)>,
    parts: Option<(u16, u16)>,
}

impl From<&NatRange> for TranslationRange {
    fn from(range: &NatRange) -> Self {
        Self {
            addresses: range.first_address.map(|first| (first, range.last_address.unwrap_or(first))),
            parts: range.first_port.map(|first| (first, range.last_port.unwrap_or(first))),
        }
    }
}

/// Sets up both translations of a new flow. If only one is requested, the other keeps the address, and the port unless
/// it is taken.
pub(super) fn set_up_translation(
    flow: &mut FlowEntry,
    destination: Option<&NatRange>,
    source: Option<&NatRange>,
    table: &ConntrackTable,
) {
    if destination.is_none() && source.is_none() {
        return;
    }
    let keep = |address| TranslationRange { addresses: Some((address, address)), parts: None };
    let range = destination.map_or(keep(flow.reply.source), TranslationRange::from);
    translate(flow, TranslatedEnd::Destination, range, table);
    let range = source.map_or(keep(flow.reply.destination), TranslationRange::from);
    translate(flow, TranslatedEnd::Source, range, table);
}

fn translate(flow: &mut FlowEntry, side: TranslatedEnd, range: TranslationRange, table: &ConntrackTable) {
    let current = flow.reply.inverted();
    let chosen = TupleChooser { flow, side, range, table }.choose(current);
    let (translated, done) = match side {
        TranslatedEnd::Source => (Status::SRC_NAT, Status::SRC_NAT_DONE),
        TranslatedEnd::Destination => (Status::DST_NAT, Status::DST_NAT_DONE),
    };
    if chosen != current {
        flow.reply = chosen.inverted();
        flow.status |= translated;
    }
    flow.status |= done;
}

struct TupleChooser<'a> {
    flow: &'a FlowEntry,
    side: TranslatedEnd,
    range: TranslationRange,
    table: &'a ConntrackTable,
}

impl TupleChooser<'_> {
    fn choose(&self, current: RawTuple) -> RawTuple {
        if self.side == TranslatedEnd::Source {
            if self.is_in_range(&current) {
                if !self.is_used(&current) {
                    return current;
                }
            } else if let Some(known) = self.known_mapping(&current).filter(|known| !self.is_used(known)) {
                return known;
            }
        }
        let mut tuple = current;
        if let Some((first, last)) = self.range.addresses {
            let address = match self.side {
                TranslatedEnd::Source => &mut tuple.source,
                TranslatedEnd::Destination => &mut tuple.destination,
            };
            *address = spread(first, last, current);
        }
        let fits = match self.range.parts {
            Some((first, last)) => self.has_part_in(&tuple, first, last) && (first == last || !self.is_used(&tuple)),
            None => !self.is_used(&tuple),
        };
        if fits { tuple } else { self.choose_part(tuple) }
    }

    /// Returns true if the source is already within the range.
    fn is_in_range(&self, tuple: &RawTuple) -> bool {
        self.range.addresses.is_none_or(|(first, last)| first <= tuple.source && tuple.source <= last)
            && self.range.parts.is_none_or(|(first, last)| self.has_part_in(tuple, first, last))
    }

    /// The translation of another flow with the same source, which the kernel reuses.
    fn known_mapping(&self, current: &RawTuple) -> Option<RawTuple> {
        let zone = self.flow.zone.id_in(Direction::Original);
        let others = self.table.with_source_of(current).filter(|flow| flow.zone.id_in(Direction::Original) == zone);
        let mut mapped = others.map(|flow| RawTuple {
            destination: current.destination,
            destination_part: current.destination_part,
            ..flow.reply.inverted()
        });
        mapped.find(|tuple| self.is_in_range(tuple))
    }

    fn has_part_in(&self, tuple: &RawTuple, first: u16, last: u16) -> bool {
        match (tuple.protocol, self.side) {
            (Protocol::ICMP | Protocol::ICMPV6, _) | (_, TranslatedEnd::Source) => {
                first <= tuple.source_part && tuple.source_part <= last
            }
            (_, TranslatedEnd::Destination) => first <= tuple.destination_part && tuple.destination_part <= last,
        }
    }

    /// Returns true if another flow has the same reply tuple.
    fn is_used(&self, tuple: &RawTuple) -> bool {
        let zone = self.flow.zone;
        let number = zone.id_in(Direction::Reply);
        self.table.with_tuple(&tuple.inverted()).any(|(_, found, other)| {
            let clashes = other.zone.id_in(found) == zone.id_in(found) && other.zone.id_in(found) == number;
            let is_same_flow = other.original == self.flow.original
                && other.zone.id_in(Direction::Original) == zone.id_in(Direction::Original);
            clashes && !is_same_flow
        })
    }

    /// Looks for a free port or identifier. If there is none, the creation fails later.
    fn choose_part(&self, tuple: RawTuple) -> RawTuple {
        let is_query = matches!(tuple.protocol, Protocol::ICMP | Protocol::ICMPV6);
        // The kernel translates GRE keys only for PPTP, whose flows have a master.
        let has_part = tuple.protocol != Protocol::GRE
            && (is_query || self.flow.original.source_part != 0 || self.flow.original.destination_part != 0);
        let part = match self.side {
            TranslatedEnd::Source => tuple.source_part,
            TranslatedEnd::Destination if is_query => tuple.source_part,
            TranslatedEnd::Destination => tuple.destination_part,
        };
        let (first, last) = match (self.range.parts, self.side) {
            (Some((first, last)), _) => (first.min(last), first.max(last)),
            (None, _) if is_query => (0, u16::MAX),
            (None, TranslatedEnd::Destination) => return tuple,
            (None, TranslatedEnd::Source) if part < 512 => (1, 511),
            (None, TranslatedEnd::Source) if part < 1024 => (600, 1023),
            (None, TranslatedEnd::Source) => (1024, u16::MAX),
        };
        if !has_part {
            return tuple;
        }
        let mut tried = tuple;
        for part in (first..=last).take(ATTEMPTS as usize) {
            match self.side {
                TranslatedEnd::Destination if !is_query => tried.destination_part = part,
                _ => tried.source_part = part,
            }
            if !self.is_used(&tried) {
                break;
            }
        }
        tried
    }
}

/// Chooses an address of a range by the addresses of the tuple.
fn spread(first: IpAddr, last: IpAddr, tuple: RawTuple) -> IpAddr {
    let seed = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let seed = seed(tuple.source).wrapping_add(seed(tuple.destination));
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let count = u128::from(last.to_bits().saturating_sub(first.to_bits())) + 1;
            Ipv4Addr::from_bits(first.to_bits() + (seed % count) as u32).into()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let count = last.to_bits().saturating_sub(first.to_bits()).saturating_add(1);
            Ipv6Addr::from_bits(first.to_bits() + seed % count).into()
        }
        (first, _) => first,
    }
}
