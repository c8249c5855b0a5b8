//! A table that follows the kernel's.
//!
//! # Events and dumps
//!
//! Events and the entries of a dump arrive through different queues, so an event may be read before an entry that is
//! older, or after one that is newer. Three facts are certain:
//!
//! 1. Events are in the order in which things happened, and none is missing unless an overrun is reported.
//! 2. A listener exists before the dump begins. So every flow that begins or ends from then on, and every change of
//!    status, mark, state, helper or labels, has its event: it has been read, or it is in the queue.
//! 3. An entry shows the flow as it was at some moment between the begin of the dump and the moment it is read.
//!
//! Therefore, for the entry of a flow:
//!
//! - *No event of the flow was read since the dump began.* The known state is older than the entry (3), and the entry
//!   replaces it. Events in the queue that are older than the entry may take it back for a while; the last of them brings
//!   it to the newest state again (1, 2).
//! - *An event of the flow was read since.* It may be older or newer than the entry. If it is older, the change between
//!   them has an event that is still to come (2). So the event stays, and the entry adds the attributes that no event has
//!   carried since, because an event leaves out unchanged attributes.
//! - *The end of the flow was read since.* The entry is older, or of a later flow of the same tuple whose begin is still
//!   to come (2). So it is skipped: ends leave a tombstone until the dump ends.
//!
//! An update whose tuple belongs to another known flow is older than that flow, and skipped, if an entry of this dump
//! showed that flow and no event has since. Otherwise it is newer: events are in order, and the end of a flow that an
//! earlier dump showed may have been lost before this dump began.
//!
//! When the dump ends, a flow that neither an entry nor an event has shown since the dump began had ended when the dump
//! reached its place.
//!
//! # Repeated events
//!
//! If any listener of the namespace asked for reliable delivery and does not keep up, (1) holds only for the first
//! sending of an event. The kernel sends a DESTROY that this listener missed again, to every listener, about once a
//! second until it arrives; by then the tuple may belong to another flow. A NEW that it missed is merged into the next
//! event of its flow, which then is a NEW once more. Two facts keep repeats harmless:
//!
//! 4. The identifier of a flow is made from its address in memory, and the kernel frees that memory only after the last
//!    repeat of the DESTROY. So no other flow can have the identifier before that, and in the queue every DESTROY of a
//!    flow, repeats included, precedes the NEW of the next flow with its tuple *and* identifier.
//! 5. A NEW is repeated only for a flow that is not dying.
//!
//! **The invariant: an event is about the known flow of its tuple exactly if the identifiers are equal.**
//!
//! - *An end with the identifier of the known flow* is that flow's end, no matter how often it was sent (4).
//! - *An end with another identifier* says nothing about the known flow: it repeats the end of an earlier flow, or the
//!   dump was ahead of it. Therefore a tombstone holds the identifier, and does not hide the entry of a living flow. (If
//!   another event of the flow was read since the dump began, the flow lived then: the flows before it may still be in the
//!   dump, and the flow after it has its begin to come. Only then does the end hide every entry of the tuple.)
//! - *A begin with the identifier of the known flow* is a repeat if any event was about that flow before, since its end
//!   would precede the next begin (4). That end may have been lost if events were, and the dump that repairs the loss has
//!   not shown the flow yet: then the begin is taken for that of another flow, to which the entry adds what the event lacks.
//!
//! # Flows without events
//!
//! A flow that began while nobody listened has no events at all. Only dumps show it, which is why a mirror audits its
//! table from time to time. The next flow of its tuple often has its identifier too. Its begin differs from the begin of a
//! flow that the dump was first to show only by time: some while after the dump, nothing older than it is left in the
//! queue ([`mark_events_drained`](FlowTable::mark_events_drained)). (If that begin is in truth a repeat, of a flow whose
//! other events all preceded the listener, the changes say that the flow vanished and appeared. The table is right.)
//!
//! # Loss
//!
//! If events were lost, (1) and (2) do not hold for events before the overrun. A dump that begins afterwards repairs
//! everything; until then [`needs_dump`](FlowTable::needs_dump) is true.

mod change;
mod hash;
mod index;
mod iter;
mod key;
mod packed;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub, reason = "only the fuzz target needs it outside of this crate"))]
pub mod property;
mod record;
mod slab;
mod store;
mod tuples;

use std::collections::{BTreeMap, HashSet};

pub use change::{Change, ChangeKind};
use change::{differs, merge_entry, merge_event};
pub use iter::TableIter;
use key::Key;
pub use record::TableEntry;
use record::{Generation, Record, SeenInEvents};
pub(in crate::events) use store::HashedKey;
use store::Store;

use super::Event;
use crate::model::{Direction, EventKind, Flow, FlowKey, Status};

/// A copy of the kernel's table.
///
/// A `Mirror` keeps one in sync with the kernel, and lends it. A table can also be fed events by hand, with
/// [`apply`](Self::apply), to test code that reads it.
///
/// Status, mark, state, helper and labels of a flow are current. Only a dump shows that a flow has lost all its labels,
/// because the kernel's event leaves labels out if there are none. Timeout, counters and window are as the last message
/// that carried them said. The use count is not kept.
///
/// An ordinary IPv4 flow takes about 150 bytes of memory, and an IPv6 flow about 80 more. Labels, helpers and other
/// attributes that few flows have cost extra for those flows only. A table grows in small steps: no event makes it
/// rearrange all flows at once.
///
/// # Example
///
/// ```
/// use ctnetlink::{ChangeKind, Event, Flow, FlowKey, FlowTable, Tuple, events::FlowEvent};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// let (mut table, mut changes) = (FlowTable::new(), Vec::new());
///
/// table.apply(&Event::New(FlowEvent::new(flow.clone())), &mut changes);
/// assert!(table.get(FlowKey::reply(flow.reply)).is_some());
/// for entry in &table {
///     println!("{} {}", entry.protocol(), entry.original().source);
/// }
///
/// table.apply(&Event::Destroy(FlowEvent::new(flow)), &mut changes);
/// assert!(table.is_empty());
/// let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.kind).collect();
/// assert_eq!(kinds, [ChangeKind::Appeared, ChangeKind::Vanished]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlowTable {
    store: Store,
    /// The number of dumps that began.
    generation: u32,
    phase: Phase,
    /// Whether events may have been lost since the last dump began that was completed.
    is_lossy: bool,
    /// The number of times that events may have been lost.
    losses: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Between dumps.
    Following {
        /// Whether every event that is older than the last dump has been read.
        is_drained: bool,
    },
    /// Entries of a dump are read, and events in between.
    Dumping {
        /// Whether events may have been lost since the dump began.
        lost_since: bool,
        /// Flows whose end was read since the dump began: tuple and identifier, or the tuple alone if another event of
        /// the flow was read since: then the begin of the next flow of the tuple is still to come.
        tombstones: HashSet<(Key, Option<u32>)>,
    },
    /// The dump is complete. From the last record to the first, flows are removed that it has not shown.
    Sweeping {
        lost_since: bool,
        /// Records from here on have been checked.
        from: usize,
    },
}

impl Default for FlowTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowTable {
    /// Creates an empty table, which is not synchronized.
    #[must_use]
    pub fn new() -> Self {
        Self {
            store: Store::default(),
            generation: 0,
            phase: Phase::Following { is_drained: false },
            is_lossy: true,
            losses: 0,
        }
    }

    /// Updates the table from an event and appends the changes, at most three. Events of expectations and of
    /// other network namespaces are ignored. An [overrun](Event::Overrun) ends the synchronization.
    pub fn apply(&mut self, event: &Event, changes: &mut impl Extend<Change>) {
        match event.flow() {
            _ if event.namespace_id().is_some() => {}
            Some((kind, event)) => self.apply_flow(kind, event.flow.clone(), changes),
            None if *event == Event::Overrun => self.note_loss(),
            None => {}
        }
    }

    /// Returns whether the table equals the kernel's, as far as events have been read: it has been through a dump, and
    /// nothing was lost since that began.
    #[must_use]
    pub const fn is_synchronized(&self) -> bool {
        !self.is_lossy
    }

    /// Returns how many times events may have been lost: at each overrun, and after an error. Each time, the table is
    /// compared with a dump afterwards.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.losses
    }

    /// The number of the last dump, which is over.
    pub(crate) const fn last_dump(&self) -> Option<u32> {
        if self.is_following() { Some(self.generation) } else { None }
    }

    /// Returns the number of flows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Returns true if there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the flow with that key, by either tuple. If the key has an identifier, a flow with another identifier does
    /// not match.
    #[must_use]
    #[inline]
    pub fn get(&self, key: impl Into<FlowKey>) -> Option<TableEntry<'_>> {
        let FlowKey { direction, tuple, zone, id } = key.into();
        // Inlined into the caller, which has the key in registers. A copy in memory would be read in other pieces than it was
        // written in, which a processor does only after everything before: look-ups would not overlap.
        let key = Key::new(&tuple, zone);
        let (_, record) = self.store.find_key(direction, &key, self.store.hash(&key))?;
        (id.is_none() || id == record.id()).then_some(TableEntry(record))
    }

    /// Returns all flows, in no particular order.
    ///
    /// There is no index of identifiers, because it would make every change slower. To find a flow by its identifier alone,
    /// filter this iterator.
    #[must_use]
    pub fn iter(&self) -> TableIter<'_> {
        TableIter::new(&self.store)
    }

    /// Counts the flows of each class, in one walk over the table: `count_by(|flow| flow.protocol())`,
    /// `count_by(|flow| flow.tcp_state())`, `count_by(|flow| flow.zone())` …
    #[must_use]
    pub fn count_by<K: Ord>(&self, class: impl Fn(TableEntry<'_>) -> K) -> BTreeMap<K, usize> {
        let mut counts = BTreeMap::new();
        for entry in self {
            *counts.entry(class(entry)).or_insert(0) += 1;
        }
        counts
    }
}

/// Dumps, and batches of events.
#[cfg_attr(
    not(any(test, fuzzing, all(target_os = "linux", feature = "client"))),
    allow(dead_code, reason = "only a mirror dumps and reads ahead")
)]
impl FlowTable {
    /// The most events that are read ahead at once.
    pub(in crate::events) const MOST_AHEAD: usize = store::MOST_AHEAD;

    /// Looks up the flows of events, so that they are in a cache when the table [follows](Self::follow) the events.
    ///
    /// Following an event takes so many instructions that a processor does not begin with the next one while it waits for
    /// memory. With nothing else in between, it waits for several flows at the same time.
    pub(in crate::events) fn read_ahead<'k>(&self, keys: impl Iterator<Item = &'k HashedKey>) {
        self.store.read_ahead(keys);
    }

    /// Notes that events may have been lost.
    pub(in crate::events) const fn note_loss(&mut self) {
        self.is_lossy = true;
        self.losses = self.losses.saturating_add(1);
        if let Phase::Dumping { lost_since, .. } | Phase::Sweeping { lost_since, .. } = &mut self.phase {
            *lost_since = true;
        }
    }

    /// Whether the table may differ from the kernel's until it has been through a dump that begins from now on.
    pub(in crate::events) const fn needs_dump(&self) -> bool {
        match self.phase {
            Phase::Following { .. } => self.is_lossy,
            Phase::Dumping { lost_since, .. } | Phase::Sweeping { lost_since, .. } => lost_since,
        }
    }

    pub(in crate::events) const fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following { .. })
    }

    /// A dump begins: its request is about to be sent. A dump that is under way is abandoned.
    pub(in crate::events) fn begin_dump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.phase = Phase::Dumping { lost_since: false, tombstones: HashSet::new() };
    }

    /// Updates the table from an entry of the dump.
    pub(in crate::events) fn apply_entry(&mut self, flow: Flow, changes: &mut impl Extend<Change>) {
        let key = self.key(&flow);
        // A flow that is being removed is as good as gone.
        if has_status(&flow, Status::DYING | Status::NAT_CLASH) || self.has_ended(key.key, flow.id) {
            return;
        }
        match self.known(&key) {
            None => self.appear_in_dump(&key, flow, changes),
            Some((place, known)) if known.may_be(&flow) => {
                let (before, seen) = (known.to_flow(), self.seen(known));
                let mut now = flow;
                if !seen.is_empty() {
                    let entry = core::mem::replace(&mut now, before.clone());
                    merge_entry(&mut now, seen, &entry);
                }
                self.keep(place, &now, seen);
                if differs(&before, &now) {
                    changes.extend([Change { kind: ChangeKind::Changed, inferred: true, flow: now }]);
                }
            }
            // Events showed another flow: it is the newer one.
            Some((_, known)) if !self.seen(known).is_empty() => {}
            Some((place, _)) => {
                self.vanish(place, changes);
                self.appear_in_dump(&key, flow, changes);
            }
        }
    }

    fn appear_in_dump(&mut self, key: &HashedKey, flow: Flow, changes: &mut impl Extend<Change>) {
        if self.appear(key, &flow, SeenInEvents::empty(), changes) {
            changes.extend([Change { kind: ChangeKind::Appeared, inferred: true, flow }]);
        }
    }

    /// Whether the end of the flow of such an entry was read since the dump began.
    fn has_ended(&self, key: Key, id: Option<u32>) -> bool {
        let Phase::Dumping { tombstones, .. } = &self.phase else { return false };
        !tombstones.is_empty() && (tombstones.contains(&(key, id)) || tombstones.contains(&(key, None)))
    }

    /// The number of flows that would vanish although they have events and nothing was lost. They contradict the dump,
    /// unless their ends are still in the queue.
    pub(in crate::events) fn contradictions(&self) -> usize {
        if self.is_lossy {
            return 0;
        }
        let contradicts = |record: &&Record| record.has_events() && record.seen_since(self.generation()).is_none();
        self.store.records().filter(contradicts).count()
    }

    /// The dump is complete: [`next_vanished`](Self::next_vanished) removes the flows that it has not shown.
    pub(in crate::events) fn end_dump(&mut self) {
        if let Phase::Dumping { lost_since, .. } = self.phase {
            self.phase = Phase::Sweeping { lost_since, from: self.store.end() };
        }
    }

    /// The dump failed. The flows that it has shown stay, and flows that it has not reached count as alive.
    pub(in crate::events) fn abandon_dump(&mut self) {
        self.phase = Phase::Following { is_drained: false };
    }

    /// Removes the next flow that a complete dump has not shown. `None` after the last of them, which ends the dump.
    /// Events may be applied in between.
    pub(in crate::events) fn next_vanished(&mut self) -> Option<Change> {
        let Phase::Sweeping { from, lost_since } = self.phase else { return None };
        let mut place = from.min(self.store.end());
        while let Some(before) = place.checked_sub(1) {
            place = before;
            if self.store.get(place).is_some_and(|record| record.seen_since(self.generation()).is_none()) {
                self.phase = Phase::Sweeping { from: place, lost_since };
                return self.store.remove(place).map(|record| vanished(&record));
            }
        }
        self.phase = Phase::Following { is_drained: false };
        self.is_lossy = lost_since;
        None
    }

    /// Notes that every event has been read that is older than the end of the last dump.
    ///
    /// A flow that only dumps have shown and that begins from now on is another one. It has the tuple, the place in memory and
    /// therefore the identifier of a flow that ended without an event.
    pub(in crate::events) const fn mark_events_drained(&mut self) {
        if let Phase::Following { is_drained } = &mut self.phase {
            *is_drained = true;
        }
    }
}

/// The kind of change that an event makes of its flow, and whether the change is inferred. `None` if nothing changes.
type Outcome = Option<(ChangeKind, bool)>;

/// Events.
impl FlowTable {
    /// Updates the table from an event of a flow.
    pub(in crate::events) fn apply_flow(&mut self, kind: EventKind, flow: Flow, changes: &mut impl Extend<Change>) {
        let key = self.key(&flow);
        let mut change = Change { kind: ChangeKind::Changed, inferred: false, flow };
        if self.follow(kind, &key, &mut change, changes) {
            changes.extend([change]);
        }
    }

    /// Updates the table from an event whose flow is in `change`, and adds to the flow what is known of it, in place.
    ///
    /// Returns whether it is a change. Other flows that are gone according to the event vanish before that.
    pub(in crate::events) fn follow(
        &mut self,
        kind: EventKind,
        key: &HashedKey,
        change: &mut Change,
        vanished: &mut impl Extend<Change>,
    ) -> bool {
        let Change { flow, kind: change_kind, inferred } = change;
        let ignored = match kind {
            // A flow that lost a clash is found by its replies alone. It is in no dump, and has the original tuple of
            // the flow that won.
            EventKind::Destroy => Status::NAT_CLASH,
            // Another processor may have sent the end first.
            _ => Status::NAT_CLASH | Status::DYING,
        };
        if has_status(flow, ignored) {
            return false;
        }
        let change = match kind {
            EventKind::New => self.apply_new(key, flow, vanished),
            EventKind::Update => self.apply_update(key, flow, vanished),
            EventKind::Destroy => self.apply_destroy(key, flow),
        };
        let Some(change) = change else { return false };
        (*change_kind, *inferred) = change;
        true
    }

    fn apply_new(&mut self, key: &HashedKey, flow: &mut Flow, vanished: &mut impl Extend<Change>) -> Outcome {
        match self.known(key) {
            None => {}
            // A dump was ahead of it, or it is a repeat. A difference is a change all the same.
            Some((place, known))
                if known.may_be(flow) && !self.has_begun_before(known) && !self.may_have_ended_unseen(known) =>
            {
                let before = known.to_flow();
                self.merge(place, EventKind::New, flow);
                return differs(&before, flow).then_some((ChangeKind::Changed, false));
            }
            Some((place, _)) => self.vanish(place, vanished),
        }
        let has_appeared = self.appear(key, flow, SeenInEvents::of(flow), vanished);
        has_appeared.then_some((ChangeKind::Appeared, false))
    }

    fn apply_update(&mut self, key: &HashedKey, flow: &mut Flow, vanished: &mut impl Extend<Change>) -> Outcome {
        match self.known(key) {
            None => {}
            Some((place, known)) if known.may_be(flow) => {
                self.merge(place, EventKind::Update, flow);
                return Some((ChangeKind::Changed, false));
            }
            // The dump has shown the next flow of the tuple already.
            Some((_, known)) if self.is_shown_by_dump_alone(known) => return None,
            Some((place, _)) => self.vanish(place, vanished),
        }
        let has_appeared = self.appear(key, flow, SeenInEvents::of(flow), vanished);
        has_appeared.then_some((ChangeKind::Appeared, true))
    }

    fn apply_destroy(&mut self, key: &HashedKey, flow: &mut Flow) -> Outcome {
        let ended = self.known(key).filter(|(_, known)| known.may_be(flow));
        let has_lived_since = ended.is_some_and(|(_, known)| !self.seen(known).is_empty());
        let place = ended.map(|(place, _)| place);
        if let Phase::Dumping { tombstones, .. } = &mut self.phase {
            tombstones.insert((key.key, if has_lived_since { None } else { flow.id }));
        }
        let last = self.store.remove(place?)?;
        merge_event(flow, EventKind::Destroy, TableEntry(&last));
        Some((ChangeKind::Vanished, false))
    }

    /// The key of the original tuple.
    #[inline]
    pub(in crate::events) fn key(&self, flow: &Flow) -> HashedKey {
        self.store.key(&flow.original, flow.zone)
    }

    fn known(&self, key: &HashedKey) -> Option<(usize, &Record)> {
        self.store.find(Direction::Original, key)
    }

    /// Whether a begin must be that of the next flow, although the known one has its identifier: the known one has no
    /// events, and every event that is older than the dump that showed it has been read.
    const fn has_begun_before(&self, record: &Record) -> bool {
        matches!(self.phase, Phase::Following { is_drained: true }) && !record.has_events()
    }

    /// The parts of the flow that events have carried since the dump began.
    fn seen(&self, record: &Record) -> SeenInEvents {
        record.seen_since(self.generation()).unwrap_or(SeenInEvents::empty())
    }

    /// Whether the end of the flow may have been lost: events were, and nothing has shown the flow since the dump began.
    fn may_have_ended_unseen(&self, record: &Record) -> bool {
        self.is_lossy && record.seen_since(self.generation()).is_none()
    }

    /// Whether the dump has shown the flow, and no event since it began.
    fn is_shown_by_dump_alone(&self, record: &Record) -> bool {
        record.seen_since(self.generation()).is_some_and(|seen| seen.is_empty())
    }

    /// The number of the dump in the records that it has shown.
    const fn generation(&self) -> Generation {
        self.generation as Generation
    }

    fn keep(&mut self, place: usize, flow: &Flow, seen: SeenInEvents) {
        let generation = self.generation();
        if let Some(known) = self.store.get_mut(place) {
            known.update(flow, generation, seen);
        }
    }

    /// Updates a known flow from an event, and adds to the event what is known of the flow.
    fn merge(&mut self, place: usize, kind: EventKind, event: &mut Flow) {
        let Some(known) = self.store.get(place) else { return };
        let seen = self.seen(known) | SeenInEvents::of(event);
        merge_event(event, kind, TableEntry(known));
        self.keep(place, event, seen);
    }

    /// Adds a flow whose original tuple, that of `key`, is not in the table. Returns whether it was added.
    fn appear(&mut self, key: &HashedKey, flow: &Flow, seen: SeenInEvents, vanished: &mut impl Extend<Change>) -> bool {
        let reply = self.store.other_key(key, &flow.reply, flow.zone);
        // The kernel has each tuple once: another flow with the same reply tuple is gone, or this one is.
        if let Some((place, known)) = self.store.find(Direction::Reply, &reply) {
            if seen.is_empty() && !self.seen(known).is_empty() {
                return false;
            }
            self.vanish(place, vanished);
        }
        let generation = self.generation();
        self.store.insert([key, &reply], |hashes| Record::new(hashes, flow, generation, seen));
        true
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
