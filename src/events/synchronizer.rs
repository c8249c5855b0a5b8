//! A table, fed from a stream of events and the dumps that it needs.
//!
//! # The life of a table
//!
//! The phase of the [`FlowTable`] is the state of the synchronizer:
//!
//! ```text
//!             a dump is due                 its last entry is read
//! Following ───────────────▶ Dumping ─────────────────────────────▶ Sweeping
//!     ▲                         │                                       │
//!     └─────────────────────────┴───────────────────────────────────────┘
//!         it failed, or cannot be trusted         all vanished flows are removed
//! ```
//!
//! Events are read in every phase. Between two datagrams of a dump, the events that have arrived are read first. The kernel
//! writes a datagram when it hands out the one before. So, except in bursts, no event is read after an entry that is newer.
//! The table is right in any order; this keeps the number of corrections small.
//!
//! # Which dumps can be trusted
//!
//! A dump walks over the buckets of the kernel's hash table. If the table is resized during the dump, it may lack flows,
//! and the kernel does not report it. Therefore the number of buckets is read before and after every receive, inside of
//! which the kernel fills a datagram. If it ever differs from the number at the begin, the dump is abandoned and repeated.
//! Two resizes that undo each other between these two moments cannot hide: the kernel waits for a grace period after each.
//!
//! If threads dump the table in parts, each looks before and after each of its receives. They run ahead of the events by
//! the deliveries that wait to be read, which only means more corrections.
//!
//! A resize between two datagrams that was undone before the second may still turn the order within one bucket. So a dump
//! is repeated once, too, if it contradicts the events: if more than a small share of the flows are missing from it,
//! although they have events and nothing was lost.
//!
//! # Entries and events that do not decode
//!
//! An entry that does not decode will not decode in the next dump either. So the dump goes on without it and counts as
//! complete. It is reported once, until a dump is free of such entries. An event that does not decode calls for a dump;
//! if the last dump had such entries, the flow is probably one of them, and the next dump waits for a minute.

mod entries;
mod queue;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use entries::Entries;
use queue::ChangeQueue;

use super::{
    Change, EventRef, FlowTable,
    event::flow_event_kind,
    stream::{EventStep, EventStream, Source},
};
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
use crate::client::{Partition, PartitionedDumps, ReadBuckets};
use crate::{
    error::{Error, ErrorKind},
    exchange::{Connection, Deadline, Transport, complete},
    model::Flow,
    request::DumpFlows,
    wire::MessageType,
};

/// Events that are read before the next part of a dump, and flows that are checked between events: so few that neither
/// waits long for the other.
const BURST: usize = 256;
/// Events that are decoded before the table is updated from them: all of them are read ahead at once.
const BATCH: usize = FlowTable::MOST_AHEAD;
/// How long after a failed dump the next one begins.
const RETRY: Duration = Duration::from_secs(1);
/// How long after an event that does not decode the next dump begins, if entries of the last one did not decode either.
const LONG_RETRY: Duration = Duration::from_secs(60);
/// How long after a flow has entered the table its NEW may arrive. It is sent at once, but by a thread that may have to
/// wait for its turn.
const LATE: Duration = Duration::from_secs(1);
/// How often the kernel's setting for events is read.
const CHECK_PERIOD: Duration = Duration::from_secs(10);
/// A dump that lacks more than one in so many flows, and more than the least number, contradicts the events.
const SMALL_SHARE: usize = 64;
const LEAST_CONTRADICTIONS: usize = 16;

/// The settings of the kernel that a synchronizer reads.
pub(crate) trait Settings {
    /// The number of buckets of the hash table, if it is known.
    fn buckets(&self) -> Option<u32>;

    /// The same for the threads of a dump, if it can change.
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    fn read_buckets(&self) -> Option<ReadBuckets> {
        None
    }

    /// Whether the kernel sends events.
    fn events_enabled(&self) -> bool;
}

/// A table, the stream and the connection that feed it, and a schedule.
#[derive(Debug)]
pub(crate) struct Synchronizer<S, T> {
    stream: EventStream<S>,
    connection: Connection<T>,
    /// Dumps on threads, if the caller allows them, instead of those of the connection.
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    partitioned: Option<PartitionedDumps>,
    table: FlowTable,
    /// Changes of the table that were not yielded yet.
    changes: ChangeQueue,
    /// The dump that is under way, exactly while the table is in its phase `Dumping`.
    dump: Option<DumpProgress>,
    /// The first entry of the dump that did not decode, until it is reported.
    undecodable: Option<Error>,
    schedule: Schedule,
    /// How much had been received when the search for a change began that is under way.
    search_begin: Option<u64>,
    /// Dumps that were completed.
    dumps: u64,
}

#[derive(Debug)]
struct DumpProgress {
    entries: Entries,
    begin: Instant,
    buckets: Option<u32>,
    /// Whether an entry did not decode.
    lacks_entries: bool,
}

/// The times at which work is due without an event.
#[derive(Debug, Default)]
struct Schedule {
    /// No dump begins earlier. This limits dumps to half of the time.
    earliest: Option<Instant>,
    /// No dump begins earlier that an event called for that does not decode.
    patience: Option<Instant>,
    audit_period: Option<Duration>,
    audit: Option<Instant>,
    /// When the last dump ended, until no event can arrive any more that is older.
    dumped: Option<Instant>,
    /// When the kernel's setting for events is read next.
    check: Option<Instant>,
    /// Whether the setting was found to be off.
    is_disabled: bool,
    /// Whether the dump is repeated because the one before contradicted the events.
    is_second_look: bool,
    /// Whether an entry of the last dump, or of the one under way, did not decode.
    lacks_entries: bool,
}

/// The result of a piece of work.
pub(crate) enum Turn {
    /// There are changes to take: see [`Synchronizer::take_change`].
    Changed,
    /// The table equals the kernel's.
    Synchronized,
    /// The deadline has passed, or the stream is stopped.
    Over,
    /// There may be more to do at once.
    Worked,
    /// There is nothing to do before an event arrives or this deadline passes.
    Wait(Deadline),
}

impl Schedule {
    fn postpone_dumps(&mut self, pause: Duration) {
        self.earliest = Instant::now().checked_add(pause);
    }

    /// Plans the next regular audit. An audit that was requested explicitly stays.
    fn plan_audit(&mut self) {
        let planned = self.audit_period.and_then(|period| Instant::now().checked_add(period));
        self.audit = earlier(self.audit, planned);
    }

    fn plan_check(&mut self) {
        self.check = Instant::now().checked_add(CHECK_PERIOD);
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

fn is_due(instant: Option<Instant>) -> bool {
    instant.is_some_and(|instant| instant <= Instant::now())
}

impl<S: Source + Settings, T: Transport> Synchronizer<S, T> {
    pub(crate) fn new(stream: EventStream<S>, connection: Connection<T>) -> Self {
        Self {
            stream,
            connection,
            #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
            partitioned: None,
            table: FlowTable::new(),
            changes: ChangeQueue::default(),
            dump: None,
            undecodable: None,
            schedule: Schedule::default(),
            search_begin: None,
            dumps: 0,
        }
    }

    /// Reads the kernel's setting for events from time to time, and reports when it is switched off.
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) fn check_setting(&mut self) {
        self.schedule.is_disabled = !self.stream.source().events_enabled();
        self.schedule.plan_check();
    }

    /// Replaces the transport of the dumps, which also takes the place of threads. A dump of threads is repeated.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) fn map_transport<U: Transport>(mut self, map: impl FnOnce(T) -> U) -> Synchronizer<S, U> {
        if self.dump.as_ref().is_some_and(|dump| dump.entries.are_from_threads()) {
            self.repeat_dump();
        }
        Synchronizer {
            stream: self.stream,
            connection: self.connection.map_transport(map),
            partitioned: None,
            table: self.table,
            changes: self.changes,
            dump: self.dump,
            undecodable: self.undecodable,
            schedule: self.schedule,
            search_begin: self.search_begin,
            dumps: self.dumps,
        }
    }

    /// Lets threads dump the table from now on.
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) fn dump_in_parts(&mut self, partition: &Partition) -> Result<(), Error> {
        self.partitioned = PartitionedDumps::new(partition, &mut self.connection)?;
        Ok(())
    }

    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn stream(&self) -> &EventStream<S> {
        &self.stream
    }

    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn table(&self) -> &FlowTable {
        &self.table
    }

    /// The number of completed dumps.
    pub(crate) const fn dumps(&self) -> u64 {
        self.dumps
    }

    pub(crate) fn set_audit_period(&mut self, period: Option<Duration>) {
        self.schedule.audit_period = period;
        self.schedule.plan_audit();
    }

    /// Makes a dump due now.
    pub(crate) fn audit(&mut self) {
        self.schedule.audit = Some(Instant::now());
    }

    /// Whether a dump is under way, or flows are removed that it has not shown.
    const fn is_dumping(&self) -> bool {
        !self.table.is_following()
    }

    /// The next change; `None` if there is none before the deadline, or if the stream is stopped.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Result<Option<Change>, Error> {
        loop {
            // Most often, a single turn has found several changes.
            if !self.changes.is_empty() {
                return Ok(self.take_change());
            }
            match complete(self.turn(deadline))? {
                Turn::Over => return Ok(None),
                Turn::Changed | Turn::Worked | Turn::Synchronized => {}
                Turn::Wait(deadline) => self.wait(deadline)?,
            }
        }
    }

    /// Works until the table equals the kernel's and returns true, or false if that takes longer than the deadline or the
    /// stream is stopped. Changes until then are dropped.
    pub(crate) fn synchronize(&mut self, deadline: Deadline) -> Result<bool, Error> {
        loop {
            match complete(self.turn_to_synchronize(deadline))? {
                Turn::Synchronized | Turn::Changed => return Ok(true),
                Turn::Over => return Ok(false),
                Turn::Worked => {}
                Turn::Wait(deadline) => self.wait(deadline)?,
            }
        }
    }

    /// Takes the next change that was found.
    #[inline]
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.changes.pop()
    }

    /// Does a bounded piece of work towards the next change. Nothing is lost if the future is dropped.
    pub(crate) async fn turn(&mut self, deadline: Deadline) -> Result<Turn, Error> {
        let begin = *self.search_begin.get_or_insert(self.stream.received());
        let turn = self.search(deadline, begin).await;
        if !matches!(turn, Ok(Turn::Worked)) {
            self.search_begin = None;
        }
        turn
    }

    async fn search(&mut self, deadline: Deadline, begin: u64) -> Result<Turn, Error> {
        if !self.changes.is_empty() {
            return Ok(Turn::Changed);
        }
        if self.stream.source().is_stopped() {
            return Ok(Turn::Over);
        }
        let worked = self.work().await?;
        if !self.changes.is_empty() {
            return Ok(Turn::Changed);
        }
        Ok(match deadline {
            // A dump takes as long as the table is large: it goes on with the next call.
            Deadline::Now if self.is_dumping() || !worked => Turn::Over,
            // Events that change nothing may arrive as fast as they are read.
            Deadline::Now if self.stream.has_read_all_since(begin) => Turn::Over,
            Deadline::Now => Turn::Worked,
            later if later.has_passed() => Turn::Over,
            later if !worked => Turn::Wait(later.or_at(self.next_deadline())),
            _ => Turn::Worked,
        })
    }

    /// Does a bounded piece of work towards a table that equals the kernel's. Yields no change until it does, and then
    /// [`Turn::Synchronized`].
    pub(crate) async fn turn_to_synchronize(&mut self, deadline: Deadline) -> Result<Turn, Error> {
        self.changes.clear();
        if self.table.is_synchronized() && !self.is_dumping() {
            return Ok(Turn::Synchronized);
        }
        if deadline.has_passed() || self.stream.source().is_stopped() {
            return Ok(Turn::Over);
        }
        match self.work().await? {
            true => Ok(Turn::Worked),
            false => Ok(Turn::Wait(deadline.or_at(self.next_deadline()))),
        }
    }

    /// Reads some events and a part of a dump. Returns whether there was anything to do.
    async fn work(&mut self) -> Result<bool, Error> {
        let mut is_drained = false;
        for _ in 0..BURST / BATCH {
            if !self.take_events(BATCH, Deadline::Now)? {
                self.note_drained();
                is_drained = true;
                break;
            }
        }
        if is_due(self.schedule.check) {
            self.take_setting()?;
        }
        if self.dump.is_some() {
            self.take_datagram().await?;
        } else if self.is_dumping() {
            self.sweep();
        } else if is_due(self.next_dump()) {
            self.begin_dump().await?;
        } else {
            return Ok(!is_drained);
        }
        Ok(true)
    }

    /// No event waits: those from before the end of a dump have all been read, some while after it.
    fn note_drained(&mut self) {
        if self.schedule.dumped.is_some_and(|end| end.elapsed() >= LATE) {
            self.schedule.dumped = None;
            self.table.mark_events_drained();
        }
    }

    /// Waits for an event until the deadline, and reads it.
    fn wait(&mut self, deadline: Deadline) -> Result<(), Error> {
        self.take_events(1, deadline).map(drop)
    }

    /// Reads up to `most` events, and updates the table from them. Returns whether there may be more at once.
    pub(crate) fn take_events(&mut self, most: usize, deadline: Deadline) -> Result<bool, Error> {
        self.changes.rewind();
        let end = self.decode_events(most, deadline);
        self.changes.apply_events(&mut self.table);
        match end {
            Ok(EventStep::Drained) => Ok(false),
            Ok(EventStep::Overrun) => {
                self.schedule.patience = None;
                self.table.note_loss();
                Ok(true)
            }
            Ok(EventStep::Event(_) | EventStep::Nothing) => Ok(true),
            Err(error) => Err(self.event_failed(error)),
        }
    }

    /// Decodes up to `most` events. Returns the step that ended them, or [`EventStep::Nothing`] after that many.
    fn decode_events(&mut self, most: usize, deadline: Deadline) -> Result<EventStep, Error> {
        for _ in 0..most {
            match self.stream.advance(deadline)? {
                EventStep::Event(place) => self.decode_event(place)?,
                end => return Ok(end),
            }
        }
        Ok(EventStep::Nothing)
    }

    /// Decodes a flow straight into the queue, which takes half of the time of a view and its value.
    fn decode_event(&mut self, place: Range<usize>) -> Result<(), Error> {
        let Some(message) = self.stream.message_at(place).transpose()? else { return Ok(()) };
        // No dump of this connection shows the flows of another namespace.
        if self.stream.namespace().is_some() {
            return Ok(());
        }
        match message.header().message_type {
            MessageType::FLOW_NEW | MessageType::FLOW_DELETE => {
                let kind = flow_event_kind(message.header());
                self.changes.push_event(kind, &self.table, |flow| flow.fill(&message))?;
            }
            _ => drop(EventRef::parse(&message)?),
        }
        Ok(())
    }

    /// An event may have been lost with the error.
    fn event_failed(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::Decode {
            self.schedule.postpone_dumps(RETRY);
        } else if self.schedule.lacks_entries && !self.table.needs_dump() {
            self.schedule.patience = Instant::now().checked_add(LONG_RETRY);
        }
        self.table.note_loss();
        error
    }

    /// Reports once that events were switched off. When they are back, a dump shows the changes since.
    fn take_setting(&mut self) -> Result<(), Error> {
        self.schedule.plan_check();
        let is_disabled = !self.stream.source().events_enabled();
        if is_disabled == self.schedule.is_disabled {
            return Ok(());
        }
        self.schedule.is_disabled = is_disabled;
        if is_disabled {
            return Err(Error::events_disabled());
        }
        self.table.note_loss();
        Ok(())
    }

    /// When there is work without an event, if ever: a dump begins or goes on, the setting is read, or the events that are
    /// older than the last dump have all been read.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.is_dumping() {
            return Some(Instant::now());
        }
        let drained = self.schedule.dumped.and_then(|end| end.checked_add(LATE));
        earlier(earlier(self.next_dump(), self.schedule.check), drained)
    }

    fn next_dump(&self) -> Option<Instant> {
        if self.table.needs_dump() {
            Some(self.schedule.earliest.max(self.schedule.patience).unwrap_or_else(Instant::now))
        } else {
            self.schedule.audit
        }
    }

    /// The table changes its phase only after the wait: if the future is dropped, the dump is still due.
    async fn begin_dump(&mut self) -> Result<(), Error> {
        let (begin, buckets) = (Instant::now(), self.stream.source().buckets());
        let started = self.start_dump().await;
        (self.schedule.audit, self.schedule.dumped, self.schedule.patience) = (None, None, None);
        self.table.begin_dump();
        match started {
            Ok(entries) => {
                self.dump = Some(DumpProgress { entries, begin, buckets, lacks_entries: false });
                Ok(())
            }
            Err(error) => Err(self.dump_failed(error)),
        }
    }

    async fn start_dump(&mut self) -> Result<Entries, Error> {
        #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
        if let Some(partitioned) = &self.partitioned {
            return Ok(Entries::Threads(partitioned.start(self.stream.source().read_buckets())?));
        }
        Ok(Entries::Connection(self.connection.start(&DumpFlows::new()).await?))
    }

    /// Reads one datagram of the dump, inside of whose receive the kernel fills the next one. Reports an entry that does
    /// not decode.
    async fn take_datagram(&mut self) -> Result<(), Error> {
        if self.was_resized() {
            self.repeat_dump();
            return Ok(());
        }
        let result = self.take_entries().await;
        // Before anything is concluded from the entries.
        if result.is_ok() && self.was_resized() {
            self.repeat_dump();
            return Ok(());
        }
        match result {
            Ok(true) => self.end_dump(),
            Ok(false) => {}
            Err(error) => return Err(self.dump_failed(error)),
        }
        self.undecodable.take().map_or(Ok(()), Err)
    }

    /// Receives a datagram and applies its entries. Returns whether the dump is complete.
    ///
    /// Only the receive waits, before any entry is applied.
    async fn take_entries(&mut self) -> Result<bool, Error> {
        let Some(dump) = &mut self.dump else { return Ok(false) };
        loop {
            let Some(message) = dump.entries.next(&mut self.connection).await? else { return Ok(true) };
            match Flow::decode(&message) {
                Ok(flow) => self.table.apply_entry(flow, &mut self.changes),
                Err(error) => {
                    let is_known = core::mem::replace(&mut self.schedule.lacks_entries, true);
                    self.undecodable = self.undecodable.take().or((!is_known).then(|| error.into()));
                    dump.lacks_entries = true;
                }
            }
            if dump.entries.is_between_receives() {
                return Ok(false);
            }
        }
    }

    fn was_resized(&self) -> bool {
        let now = self.stream.source().buckets();
        self.dump.as_ref().is_some_and(|dump| now != dump.buckets || dump.entries.is_disturbed())
    }

    /// The dump lacks flows, or may, which must not be taken for gone.
    fn repeat_dump(&mut self) {
        let Some(dump) = self.dump.take() else { return };
        self.schedule.postpone_dumps(dump.begin.elapsed());
        self.table.abandon_dump();
        self.table.note_loss();
    }

    fn end_dump(&mut self) {
        let Some(dump) = self.dump.take() else { return };
        self.schedule.postpone_dumps(dump.begin.elapsed());
        let tolerated = LEAST_CONTRADICTIONS.max(self.table.len() / SMALL_SHARE);
        if !self.schedule.is_second_look && self.table.contradictions() > tolerated {
            self.schedule.is_second_look = true;
            self.table.abandon_dump();
            self.schedule.audit = self.schedule.earliest;
            return;
        }
        self.schedule.is_second_look = false;
        self.schedule.lacks_entries = dump.lacks_entries;
        self.table.end_dump();
    }

    fn sweep(&mut self) {
        for _ in 0..BURST {
            let Some(change) = self.table.next_vanished() else {
                self.schedule.dumped = Some(Instant::now());
                self.schedule.plan_audit();
                self.dumps += 1;
                return;
            };
            self.changes.push(change);
        }
    }

    fn dump_failed(&mut self, error: Error) -> Error {
        self.dump = None;
        self.table.abandon_dump();
        self.table.note_loss();
        self.schedule.postpone_dumps(RETRY);
        error
    }
}

#[cfg(test)]
mod tests;
