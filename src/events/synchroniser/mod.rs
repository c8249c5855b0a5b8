//! A table, fed from a stream of events and the dumps that it needs.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Change, Event, FlowTable,
    stream::{EventStream, Patience, Source},
};
use crate::{
    error::Error,
    exchange::{Connection, ReplyCursor, Transport},
    model::Flow,
    request::DumpFlows,
};

/// Events that are taken before the next part of a dump, and flows that are looked at between events: so few that
/// neither waits long for the other.
const BURST: usize = 256;
/// Until a dump that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// After a flow is in the table, its begin is told: at once, but by a process that may have to wait for its turn.
const LATE: Duration = Duration::from_secs(1);

/// A table and what it is fed from.
///
/// Between two datagrams of a dump the events that have come are taken. The kernel writes a datagram when the one before
/// is received, so that, but for bursts, no event is taken that is older than an entry taken before it.
#[derive(Debug)]
pub(crate) struct Synchroniser<S, T> {
    stream: EventStream<S>,
    connection: Connection<T>,
    table: FlowTable,
    changes: VecDeque<Change>,
    dump: Option<Dump>,
    is_sweeping: bool,
    /// When the dump that is needed may begin: no more than half of the time goes into dumps.
    earliest: Option<Instant>,
    audit_period: Option<Duration>,
    next_audit: Option<Instant>,
    /// When the last dump ended, if events that are older may still come.
    dumped: Option<Instant>,
    dumps: u64,
    /// The size of the kernel's hash table, if it can be told.
    buckets: fn() -> Option<u32>,
}

#[derive(Debug)]
struct Dump {
    replies: ReplyCursor,
    begin: Instant,
    buckets: Option<u32>,
}

impl<S: Source, T: Transport> Synchroniser<S, T> {
    pub(crate) fn new(stream: EventStream<S>, connection: Connection<T>, buckets: fn() -> Option<u32>) -> Self {
        Self {
            stream,
            connection,
            table: FlowTable::new(),
            changes: VecDeque::new(),
            dump: None,
            is_sweeping: false,
            earliest: None,
            audit_period: None,
            next_audit: None,
            dumped: None,
            dumps: 0,
            buckets,
        }
    }

    #[cfg(all(target_os = "linux", feature = "client"))]
    pub(crate) const fn stream(&self) -> &EventStream<S> {
        &self.stream
    }

    #[cfg(all(target_os = "linux", feature = "client"))]
    pub(crate) const fn table(&self) -> &FlowTable {
        &self.table
    }

    /// Dumps that were completed.
    pub(crate) const fn dumps(&self) -> u64 {
        self.dumps
    }

    pub(crate) fn set_audit_period(&mut self, period: Option<Duration>) {
        self.audit_period = period;
        self.plan_audit();
    }

    /// One that was asked for by name stays.
    fn plan_audit(&mut self) {
        let planned = self.audit_period.and_then(|period| Instant::now().checked_add(period));
        self.next_audit = [self.next_audit, planned].into_iter().flatten().min();
    }

    /// Whether a dump is under way, or its end is worked on.
    const fn is_dumping(&self) -> bool {
        self.dump.is_some() || self.is_sweeping
    }

    /// Makes a dump due now.
    pub(crate) fn audit(&mut self) {
        self.next_audit = Some(Instant::now());
    }

    /// The next change; `None` where there is none and patience has ended.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Change>, Error> {
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::OfSource => self.stream.timeout().and_then(|timeout| Instant::now().checked_add(timeout)),
            Patience::None => None,
        };
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(Some(change));
            }
            let worked = self.work()?;
            match patience {
                // A dump takes as long as the table is large: it goes on with the next call.
                Patience::None if self.is_dumping() || !worked => return Ok(self.changes.pop_front()),
                Patience::None => {}
                _ if !self.changes.is_empty() => {}
                _ if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return if matches!(patience, Patience::OfSource) { Err(Error::timed_out()) } else { Ok(None) };
                }
                _ if worked => {}
                _ => self.wait(deadline)?,
            }
        }
    }

    /// Works until the table is the kernel's, which it tells, or the time is up; the changes until then are dropped.
    pub(crate) fn synchronise(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        loop {
            self.changes.clear();
            if self.table.is_synchronised() && !self.is_dumping() {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            if !self.work()? {
                self.wait(deadline)?;
            }
        }
    }

    /// Takes some events, and a part of a dump. Whether there was anything to do.
    fn work(&mut self) -> Result<bool, Error> {
        let mut events = 0;
        while events < BURST && self.take_event(Patience::None)? {
            events += 1;
        }
        if events < BURST {
            self.settle();
        }
        if self.dump.is_some() {
            self.take_datagram()?;
        } else if self.is_sweeping {
            self.sweep();
        } else if self.next_dump().is_some_and(|due| due <= Instant::now()) {
            self.begin_dump()?;
        } else {
            return Ok(events > 0);
        }
        Ok(true)
    }

    /// No event waits: those from before the end of a dump have all been taken, some while after it.
    fn settle(&mut self) {
        if self.dumped.is_some_and(|end| end.elapsed() >= LATE) {
            self.dumped = None;
            self.table.settle();
        }
    }

    /// Waits for an event, until the deadline or until a dump is due, and takes it.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        let until = [deadline, self.due()].into_iter().flatten().min();
        let patience = until.map_or_else(|| Patience::within(Duration::MAX), Patience::Until);
        self.take_event(patience).map(drop)
    }

    fn take_event(&mut self, patience: Patience) -> Result<bool, Error> {
        match self.stream.next(patience) {
            // Of another namespace, whose flows no dump of this client tells.
            Ok(Some(event)) if event.namespace_id().is_some() => Ok(true),
            Ok(Some(event)) => {
                self.table.apply(&event, &mut self.changes);
                match event {
                    Event::Malformed(malformed) => Err(malformed.error.into()),
                    _ => Ok(true),
                }
            }
            Ok(None) => Ok(false),
            Err(error) => {
                // Whether an event was lost with it is not known.
                self.table.note_loss();
                self.postpone(RETRY);
                Err(error)
            }
        }
    }

    /// When there is work without an event, if there is any: a dump is to begin, or goes on.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.is_dumping() { Some(Instant::now()) } else { self.next_dump() }
    }

    fn next_dump(&self) -> Option<Instant> {
        if self.table.needs_dump() { Some(self.earliest.unwrap_or_else(Instant::now)) } else { self.next_audit }
    }

    fn begin_dump(&mut self) -> Result<(), Error> {
        self.next_audit = None;
        self.dumped = None;
        let (begin, buckets) = (Instant::now(), (self.buckets)());
        self.table.begin_dump();
        match self.connection.start(&DumpFlows::new()) {
            Ok(replies) => {
                self.dump = Some(Dump { replies, begin, buckets });
                Ok(())
            }
            Err(error) => Err(self.dump_failed(error)),
        }
    }

    fn take_datagram(&mut self) -> Result<(), Error> {
        let Some(dump) = &mut self.dump else { return Ok(()) };
        loop {
            let entry = match dump.replies.next(&mut self.connection) {
                Ok(Some(message)) => Flow::decode(&message).map_err(Error::from),
                Ok(None) => {
                    self.end_dump();
                    return Ok(());
                }
                Err(error) => Err(error),
            };
            match entry {
                Ok(flow) => self.table.apply_entry(flow, &mut self.changes),
                Err(error) => return Err(self.dump_failed(error)),
            }
            if dump.replies.is_between_datagrams() {
                return Ok(());
            }
        }
    }

    fn end_dump(&mut self) {
        let Some(dump) = self.dump.take() else { return };
        self.postpone(dump.begin.elapsed());
        if (self.buckets)() != dump.buckets {
            // A dump of a table that is being resized may lack flows, which must not be taken for gone.
            self.table.abandon_dump();
            self.table.note_loss();
            return;
        }
        self.table.end_dump();
        self.is_sweeping = true;
    }

    fn sweep(&mut self) {
        for _ in 0..BURST {
            let Some(change) = self.table.next_vanished() else {
                self.is_sweeping = false;
                self.dumped = Some(Instant::now());
                self.dumps += 1;
                self.plan_audit();
                return;
            };
            self.changes.push_back(change);
        }
    }

    fn dump_failed(&mut self, error: Error) -> Error {
        self.dump = None;
        self.table.abandon_dump();
        self.table.note_loss();
        self.postpone(RETRY);
        error
    }

    fn postpone(&mut self, pause: Duration) {
        self.earliest = Instant::now().checked_add(pause);
    }
}

#[cfg(test)]
mod tests;
