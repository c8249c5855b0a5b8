//! A table that follows the kernel's.
//!
//! # The order of events and dump
//!
//! Events and the entries of a dump come through different queues, so that an event may be read before an entry that is
//! older, or after one that is newer. What is certain:
//!
//! 1. Events are in the order in which things happened, and none is missing unless an overrun is told.
//! 2. A listener is there before the dump begins. So every flow that begins or ends from then on, and every change of
//!    status, mark, state, helper or labels, has its event: in the queue if not read yet.
//! 3. An entry shows the flow at some moment between the begin of the dump and the moment at which it is read.
//!
//! From this follows, for the entry of a flow:
//!
//! - *No event of the flow was read since the dump began.* What is known of it is older than the entry (3): the entry
//!   replaces it. Events that are in the queue and older than the entry may take it back for a while; the last of them
//!   brings it to the newest state again (1, 2).
//! - *An event of the flow was read since.* It may be older or newer than the entry, but if it is older, the change
//!   between them has an event that is still to come (2). So the event stands, and the entry tells what no event has
//!   told since: an event leaves out what did not change with it.
//! - *The end of the flow was read since.* The entry is older, or of a later flow of the same tuple whose begin is still
//!   to come (2). So it is passed over: ends leave a tombstone until the dump's end.
//!
//! And for an update whose tuple is known as that of another flow: it is older, and passed over, if an entry of this dump
//! told of that one and no event has since. Otherwise it is newer: events are in order, and the end of what an earlier
//! dump told may have been lost before this one began.
//!
//! And at the end of the dump: a flow that neither an entry nor an event has told of since the dump began was gone when
//! the dump came to its place.
//!
//! # Repeated events
//!
//! If any listener of the namespace asked for reliable delivery and does not keep up, (1) holds only for the first
//! sending of an event. The kernel sends a DESTROY that this listener missed again, to every listener, about once a
//! second until it arrives; the tuple may belong to another flow by then. A NEW that it missed is merged into the next
//! event of its flow, which then is a NEW once more. Two facts keep repeats harmless:
//!
//! 4. The identifier of a flow is made from its address in memory, and the kernel frees that memory only after the last
//!    repeat of the DESTROY. So no other flow can have the identifier before, and in the queue every DESTROY of a flow,
//!    the repeated ones included, comes before the NEW of the next flow with its tuple *and* identifier.
//! 5. A NEW is repeated only for a flow that is not dying.
//!
//! The *invariant*: an event is about the known flow of its tuple exactly if the identifiers are equal.
//!
//! - *An end with the identifier of the known flow* is that flow's end, no matter how often it was sent (4).
//! - *An end with another identifier* says nothing about the known flow: it repeats the end of an earlier flow, or the
//!   dump was ahead of it. Therefore a tombstone holds the identifier, so that it does not hide the entry of a living
//!   flow. (If another event of the flow was read since the dump began, the flow lived then: what came before it may
//!   still be in the dump, and what comes after it has its begin to come. Only then does the end hide every entry of the
//!   tuple.)
//! - *A begin with the identifier of the known flow* is a repeat if any event has told of that flow, since its end would
//!   have been told before the next begin (4).
//!
//! # Flows without events
//!
//! A flow that began before anybody listened has no events at all: only dumps tell of it, which is why a mirror audits
//! its table from time to time. The next flow of its tuple often has its identifier too. Its begin is told from the
//! begin of a flow that the dump has seen first by time: some while after the dump nothing older than that is left in
//! the queue ([`settle`](FlowTable::settle)). (If the begin is in truth the repeated one of a flow whose other events all
//! came before the mirror was opened, the flow vanishes and appears again in the changes; the table is right.)
//!
//! # Loss
//!
//! Where events were lost, (1) and (2) do not hold for those before the loss was told; a dump that begins afterwards
//! repairs everything, and until then [`needs_dump`](FlowTable::needs_dump) says so.

mod change;
mod entry;
mod index;
mod key;
mod merge;
mod record;
mod store;

use std::collections::{BTreeMap, HashSet};

pub use change::{Change, ChangeKind};
pub use entry::TableEntry;
use key::Key;
use record::{Record, Told};
use store::Store;

use super::Event;
use crate::model::{Direction, EventKind, Flow, FlowKey, Status};

/// A copy of the kernel's table, kept true by events and dumps.
///
/// A state machine without a socket: it is fed events and the entries of dumps, in the order in which they are read, and
/// tells what changed. `Mirror` feeds it from the kernel.
///
/// A flow is held as the messages told it: status, mark, state, helper and labels are those of now, timeout, counters and
/// window those of the last message that told them. The use count is not kept. A flow takes less than 300 bytes.
///
/// # Example
///
/// ```
/// use ctnetlink::{ChangeKind, EventKind, Flow, FlowKey, FlowTable, Tuple};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let flow = Flow::new(original, original.inverted().ok_or("no answer")?);
/// let (mut table, mut changes) = (FlowTable::new(), Vec::new());
///
/// table.begin_dump();
/// table.apply_entry(flow.clone(), &mut changes);
/// table.end_dump();
/// while let Some(change) = table.next_vanished() {
///     changes.push(change);
/// }
/// assert!(table.get(FlowKey::reply(flow.reply)).is_some());
///
/// table.apply_flow(EventKind::Destroy, flow, &mut changes);
/// assert!(table.is_empty());
/// let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.kind).collect();
/// assert_eq!(kinds, [ChangeKind::Appeared, ChangeKind::Vanished]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FlowTable {
    store: Store,
    /// Counts dumps.
    generation: u32,
    phase: Phase,
    /// No event that is older than the last dump is still to come.
    is_settled: bool,
    /// Flows whose end was read since the dump began: tuple and identifier, or the tuple alone if another event of the
    /// flow was read since, so that the next flow of the tuple still has its begin to come.
    ended: HashSet<(Key, Option<u32>)>,
    /// Something may have happened that no event told, and no dump has begun since.
    lossy: bool,
    /// As `lossy` was when the dump began, and with what was lost since.
    lossy_after_dump: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Dumping,
    /// Looking for flows that have vanished, from the last record to the first: those from here on have been seen to.
    Sweeping(usize),
}

impl Default for FlowTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowTable {
    /// An empty table, which needs a dump.
    #[must_use]
    pub fn new() -> Self {
        Self {
            store: Store::default(),
            generation: 0,
            phase: Phase::Idle,
            is_settled: false,
            ended: HashSet::new(),
            lossy: true,
            lossy_after_dump: false,
        }
    }

    /// Takes an event, and tells what changed by it: at most two changes. Events of expectations, and of other network
    /// namespaces, are passed over.
    ///
    /// An overrun, or a message that cannot be read, makes the table [need a dump](Self::needs_dump).
    pub fn apply(&mut self, event: &Event<'_>, changes: &mut impl Extend<Change>) {
        match (event, event.flow()) {
            _ if event.namespace_id().is_some() => {}
            (_, Some((kind, event))) => self.apply_flow(kind, event.flow.to_flow(), changes),
            (Event::Overrun | Event::Malformed(_), None) => self.note_loss(),
            _ => {}
        }
    }

    /// Takes an event as [`apply`](Self::apply) does, read already.
    pub fn apply_flow(&mut self, kind: EventKind, flow: Flow, changes: &mut impl Extend<Change>) {
        let passed_over = match kind {
            // Found by its answers alone, in no dump, and with the original tuple of the flow that won.
            EventKind::Destroy => Status::NAT_CLASH,
            // Another processor may have told the end before.
            _ => Status::NAT_CLASH | Status::DYING,
        };
        if has_status(&flow, passed_over) {
            return;
        }
        match kind {
            EventKind::New => self.apply_new(flow, changes),
            EventKind::Update => self.apply_update(flow, changes),
            EventKind::Destroy => self.apply_destroy(flow, changes),
        }
    }

    /// Says that events may have been lost.
    pub fn note_loss(&mut self) {
        self.lossy = true;
        self.lossy_after_dump = true;
    }

    /// Whether the table may differ from the kernel's until it has been through a dump that begins from now on.
    #[must_use]
    pub const fn needs_dump(&self) -> bool {
        match self.phase {
            Phase::Idle => self.lossy,
            Phase::Dumping | Phase::Sweeping(_) => self.lossy_after_dump,
        }
    }

    /// Whether the table is the kernel's, as far as events have been read: it has been through a dump, and nothing was
    /// lost since that began.
    #[must_use]
    pub const fn is_synchronised(&self) -> bool {
        !self.lossy
    }

    /// A dump begins: its request is about to be sent. One that was under way is given up.
    pub fn begin_dump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.phase = Phase::Dumping;
        self.is_settled = false;
        self.lossy_after_dump = false;
        self.ended.clear();
    }

    /// Takes an entry of the dump.
    pub fn apply_entry(&mut self, flow: Flow, changes: &mut impl Extend<Change>) {
        let key = Key::new(&flow.original, flow.zone);
        // One that is being removed is as good as gone.
        if has_status(&flow, Status::DYING | Status::NAT_CLASH) || self.has_ended(key, flow.id) {
            return;
        }
        match self.known(&key) {
            None => self.appear(flow, Told::empty(), true, changes),
            Some((place, known)) if known.may_be(&flow) => {
                let (before, told) = (known.to_flow(), self.told(known));
                let mut now = flow;
                if !told.is_empty() {
                    let entry = core::mem::replace(&mut now, before.clone());
                    merge::take_entry(&mut now, told, entry);
                }
                let changed = merge::differs(&before, &now);
                self.keep(place, now.clone(), told);
                if changed {
                    changes.extend([Change { kind: ChangeKind::Changed, inferred: true, flow: now }]);
                }
            }
            Some((_, known)) if !self.told(known).is_empty() => {}
            Some((place, _)) => {
                self.vanish(place, changes);
                self.appear(flow, Told::empty(), true, changes);
            }
        }
    }

    /// The dump is complete: [`next_vanished`](Self::next_vanished) tells what it shows to be gone.
    pub fn end_dump(&mut self) {
        if self.phase == Phase::Dumping {
            self.phase = Phase::Sweeping(self.store.len());
        }
    }

    /// The dump failed. What it told so far stays; what it did not come to is not taken to be gone.
    pub fn abandon_dump(&mut self) {
        self.phase = Phase::Idle;
        self.ended = HashSet::new();
        self.lossy |= self.lossy_after_dump;
    }

    /// The next flow that is gone after a complete dump; `None` when all have been told, which ends the dump. Events may
    /// be taken in between.
    pub fn next_vanished(&mut self) -> Option<Change> {
        let Phase::Sweeping(from) = self.phase else { return None };
        let mut place = from.min(self.store.len());
        while let Some(before) = place.checked_sub(1) {
            place = before;
            self.phase = Phase::Sweeping(place);
            if self.store.get(place).is_some_and(|record| record.generation != self.generation) {
                return self.store.remove(place).map(|record| vanished(&record));
            }
        }
        self.phase = Phase::Idle;
        self.ended = HashSet::new();
        self.lossy = self.lossy_after_dump;
        None
    }

    /// Says that every event which is older than the end of the last dump has been read. A flow of that dump that begins
    /// from now on is another one, whose tuple and place in memory, and so its identifier, are those of one that ended
    /// without an event.
    pub fn settle(&mut self) {
        self.is_settled = self.phase == Phase::Idle;
    }

    /// Flows in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flow of that key, by either tuple. Where the key has an identifier, a flow that has another is not meant.
    #[must_use]
    pub fn get(&self, key: impl Into<FlowKey>) -> Option<TableEntry<'_>> {
        let key = key.into();
        let wanted = Key::new(&key.tuple, key.zone);
        let place = match key.direction {
            Direction::Original => self.store.find_original(&wanted),
            Direction::Reply => self.store.find_reply(&wanted),
        };
        let record = self.store.get(place?)?;
        (key.id.is_none() || key.id == record.id).then_some(TableEntry(record))
    }

    /// The flows of that identifier: one, as a rule, but the kernel makes identifiers by hashing.
    pub fn with_id(&self, id: u32) -> impl Iterator<Item = TableEntry<'_>> {
        self.store.with_id(id).map(TableEntry)
    }

    /// All flows, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TableEntry<'_>> {
        self.store.records().iter().map(TableEntry)
    }

    /// How many flows there are of each kind, as `kind` tells them apart, in one walk over the table:
    /// `count_by(|flow| flow.protocol())`, `count_by(|flow| flow.tcp_state())`, `count_by(|flow| flow.zone())` …
    #[must_use]
    pub fn count_by<K: Ord>(&self, kind: impl Fn(TableEntry<'_>) -> K) -> BTreeMap<K, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.iter() {
            *counts.entry(kind(entry)).or_insert(0) += 1;
        }
        counts
    }

    fn apply_new(&mut self, flow: Flow, changes: &mut impl Extend<Change>) {
        let told = Told::by(&flow);
        match self.known(&Key::new(&flow.original, flow.zone)) {
            None => self.appear(flow, told, false, changes),
            // A dump has told it already, or was wrong about its tuple's last flow: a change all the same.
            Some((place, known)) if known.may_be(&flow) && !self.has_begun_before(known) => {
                let before = known.to_flow();
                let now = self.merge(place, EventKind::New, flow);
                if let Some(flow) = now.filter(|now| merge::differs(&before, now)) {
                    changes.extend([Change { kind: ChangeKind::Changed, inferred: false, flow }]);
                }
            }
            Some((place, _)) => {
                self.vanish(place, changes);
                self.appear(flow, told, false, changes);
            }
        }
    }

    fn apply_update(&mut self, flow: Flow, changes: &mut impl Extend<Change>) {
        let told = Told::by(&flow);
        match self.known(&Key::new(&flow.original, flow.zone)) {
            None => self.appear(flow, told, true, changes),
            Some((place, known)) if known.may_be(&flow) => {
                let now = self.merge(place, EventKind::Update, flow);
                changes.extend(now.map(|flow| Change { kind: ChangeKind::Changed, inferred: false, flow }));
            }
            // A dump has told the tuple's next flow already.
            Some((_, known)) if self.is_told_by_dump(known) => {}
            Some((place, _)) => {
                self.vanish(place, changes);
                self.appear(flow, told, true, changes);
            }
        }
    }

    fn apply_destroy(&mut self, flow: Flow, changes: &mut impl Extend<Change>) {
        let key = Key::new(&flow.original, flow.zone);
        let ended = self.known(&key).filter(|(_, known)| known.may_be(&flow));
        let has_lived_since = ended.is_some_and(|(_, known)| !self.told(known).is_empty());
        let place = ended.map(|(place, _)| place);
        if self.phase == Phase::Dumping {
            self.ended.insert((key, if has_lived_since { None } else { flow.id }));
        }
        let Some(last) = place.and_then(|place| self.store.remove(place)) else { return };
        let mut last = last.to_flow();
        merge::take_event(&mut last, EventKind::Destroy, flow);
        changes.extend([Change { kind: ChangeKind::Vanished, inferred: false, flow: last }]);
    }

    /// Whether the end of the flow of such an entry was read since the dump began.
    fn has_ended(&self, key: Key, id: Option<u32>) -> bool {
        !self.ended.is_empty() && (self.ended.contains(&(key, id)) || self.ended.contains(&(key, None)))
    }

    fn known(&self, key: &Key) -> Option<(usize, &Record)> {
        let place = self.store.find_original(key)?;
        Some((place, self.store.get(place)?))
    }

    /// Whether a begin must be that of the next flow, although the known one has its identifier: the known one has no
    /// events, and every event that is older than the dump that told of it has been read.
    fn has_begun_before(&self, record: &Record) -> bool {
        self.is_settled && !record.has_events
    }

    /// What events have told of the flow since the dump began.
    fn told(&self, record: &Record) -> Told {
        if record.generation == self.generation { record.told } else { Told::empty() }
    }

    /// Whether the dump has told of the flow, and no event since it began.
    const fn is_told_by_dump(&self, record: &Record) -> bool {
        record.generation == self.generation && record.told.is_empty()
    }

    fn keep(&mut self, place: usize, flow: Flow, told: Told) {
        let mut record = Record::new(flow, self.generation, told);
        record.has_events |= self.store.get(place).is_some_and(|known| known.has_events);
        self.store.replace(place, record);
    }

    fn merge(&mut self, place: usize, kind: EventKind, event: Flow) -> Option<Flow> {
        let known = self.store.get(place)?;
        let (mut flow, told) = (known.to_flow(), self.told(known) | Told::by(&event));
        merge::take_event(&mut flow, kind, event);
        self.keep(place, flow.clone(), told);
        Some(flow)
    }

    fn appear(&mut self, flow: Flow, told: Told, inferred: bool, changes: &mut impl Extend<Change>) {
        // The kernel has each tuple once: another flow with these answers is gone, or this one is.
        if let Some(place) = self.store.find_reply(&Key::new(&flow.reply, flow.zone)) {
            if told.is_empty() && self.store.get(place).is_some_and(|record| !self.told(record).is_empty()) {
                return;
            }
            self.vanish(place, changes);
        }
        self.store.insert(Record::new(flow.clone(), self.generation, told));
        changes.extend([Change { kind: ChangeKind::Appeared, inferred, flow }]);
    }

    fn vanish(&mut self, place: usize, changes: &mut impl Extend<Change>) {
        changes.extend(self.store.remove(place).map(|record| vanished(&record)));
    }
}

fn vanished(record: &Record) -> Change {
    Change { kind: ChangeKind::Vanished, inferred: true, flow: record.to_flow() }
}

fn has_status(flow: &Flow, bits: Status) -> bool {
    flow.status.is_some_and(|status| status.intersects(bits))
}

#[cfg(test)]
mod tests;
