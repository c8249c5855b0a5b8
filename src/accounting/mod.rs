//! Accounting: the counters of flows, turned into traffic by a key of the caller's choice.
//!
//! The kernel counts packets and bytes of each flow since its begin, if [`sysctl::ACCOUNTING`](crate::sysctl) is 1. An
//! [`Accountant`] reads these counters again and again and adds up the differences, by source address, zone, mark, port or
//! whatever else the caller makes of a flow. It needs no socket, and reads every type that implements [`AnyFlow`].
//!
//! # Over a mirror
//!
//! Changes report the begin and the end of flows, with final counters. Each dump brings the counters of all living flows, so
//! the period of audits is the period of readings:
//!
//! ```no_run
//! use std::time::Duration;
//! use ctnetlink::{AnyFlow, Mirror, accounting::Accountant};
//!
//! let mut mirror = Mirror::open()?.audit_every(Some(Duration::from_secs(10)));
//! let mut accountant = Accountant::new(|flow: &dyn AnyFlow| flow.original().source);
//! mirror.synchronize()?;
//! let mut dumps = 0;
//! loop {
//!     let first = mirror.next_within(Duration::from_secs(1))?;
//!     first.iter().for_each(|change| accountant.apply(change));
//!     while let Some(change) = mirror.try_next()? {
//!         accountant.apply(&change);
//!     }
//!     // The mirror has no further change now: the accountant may read the table.
//!     if mirror.dumps() > dumps {
//!         dumps = mirror.dumps();
//!         accountant.read_table(mirror.table());
//!         let report = accountant.take_report();
//!         for (source, traffic) in &report.traffic {
//!             println!("{source} sent {} and received {} bytes", traffic.original.bytes, traffic.reply.bytes);
//!         }
//!         if !report.is_exact() {
//!             println!("not counted: {}", report.losses);
//!         }
//!     }
//! }
//! # #[allow(unreachable_code, reason = "an endless loop")]
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! If the mirror yields an error and the program goes on, an event or an entry may be missing from the table: call
//! [`Accountant::note_gap`].
//!
//! # Over dumps
//!
//! [`Accountant::read_dump`] takes the iterator of a dump or of a reader of lines, and
//! [`Accountant::read_zeroing_dump`] that of a dump that sets counters to zero. Flows that begin and end between two dumps
//! are not seen, so every report then has a [gap](Losses::gaps).
//!
//! # Rules
//!
//! **Invariant: no packet is counted twice, and a report whose traffic may be incomplete says so.**
//!
//! - *The begin of a flow was seen* (a NEW event): all of its counters are traffic.
//! - *The begin was not seen*: the first reading is only the base for the next one. Its counters include traffic from before,
//!   which may have been counted by an earlier accountant.
//! - *The counters went back*: they were set to zero, or belong to the next flow with the same tuple and identifier. In both
//!   cases they have counted from 0 since the last reading, so they are traffic as they are. The traffic before is lost
//!   and reported. If the counters have already passed the last reading again, the reset cannot be detected and the
//!   difference is too small, never too large.
//! - *Another identifier or start time*: the old flow has ended unseen, and the new one has its first reading.
//! - *A flow has ended*: the accountant forgets it. A later reading of the same flow, from an older dump, is a first reading
//!   again and counts nothing.
//!
//! A loss is reported by the first report after it was noticed. The key is computed at every reading, so traffic after a
//! change of the mark belongs to the new mark.

mod report;
#[cfg(test)]
mod tests;

use core::{fmt, num::NonZeroU64};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

pub use report::{Losses, Traffic, TrafficReport};

use crate::{
    events::{
        Event,
        table::{Change, ChangeKind, FlowTable},
    },
    model::{AnyFlow, Counters, EventKind, Status, Tuple},
};

/// Turns the counters of flows into traffic by key.
///
/// Takes 130 to 260 bytes for each flow. See the [module](self) for the rules, and for use with a `Mirror`.
///
/// # Example
///
/// ```
/// use ctnetlink::{AnyFlow, Counters, Flow, Tuple, accounting::Accountant};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let mut flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// let mut accountant = Accountant::new(|flow: &dyn AnyFlow| flow.original().source);
///
/// flow.counters_original = Some(Counters::new(100, 9_000));
/// accountant.read(&flow); // the first reading: nobody knows when these were sent
/// accountant.take_report();
///
/// flow.counters_original = Some(Counters::new(103, 9_200));
/// accountant.read(&flow);
/// let report = accountant.take_report();
/// assert_eq!(report.traffic[&original.source].original, Counters::new(3, 200));
/// assert!(report.is_exact());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Accountant<K: Eq + Hash, F> {
    key: F,
    accounts: HashMap<AccountKey, Account>,
    report: TrafficReport<K>,
    /// The number of the present or last reading of all flows.
    reading: u32,
    /// Whether all flows were read before.
    has_begun: bool,
    watch: Watch,
}

/// The state of the table at the last reading.
#[derive(Debug, Default)]
struct Watch {
    /// [`FlowTable::losses`].
    losses: u64,
    /// [`FlowTable::is_synchronized`].
    was_synchronized: bool,
}

/// Identifies a flow at one moment: the kernel has each original tuple once in a zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct AccountKey {
    original: Tuple,
    zone: u16,
}

impl AccountKey {
    fn of(flow: &dyn AnyFlow) -> Self {
        Self { original: flow.original(), zone: flow.zone().unwrap_or(0) }
    }
}

/// The last reading of a flow.
struct Account {
    id: Option<u32>,
    /// The begin in nanoseconds since 1970.
    start: Option<NonZeroU64>,
    base: Base,
    /// The number of the reading of all flows that saw it last.
    reading: u32,
}

/// The counters of a flow that are accounted for.
enum Base {
    /// Those of the last reading.
    Read(BothCounters),
    /// No reading had counters yet.
    Unread {
        /// Whether the begin was seen: then all counters are traffic.
        is_from_begin: bool,
        /// The last dump when the flow was first seen.
        first_dump: Option<u32>,
        /// Whether it was reported as a flow without counters.
        is_uncounted: bool,
    },
}

impl Base {
    const BEGIN: Self = Self::Unread { is_from_begin: true, first_dump: None, is_uncounted: false };
    const UNKNOWN: Self = Self::Unread { is_from_begin: false, first_dump: None, is_uncounted: false };

    fn of(counters: Option<BothCounters>) -> Self {
        counters.map_or(Self::UNKNOWN, Self::Read)
    }

    fn counters(&self) -> Option<BothCounters> {
        match self {
            Self::Read(counters) => Some(*counters),
            Self::Unread { is_from_begin, .. } => is_from_begin.then(BothCounters::default),
        }
    }
}

/// The counters of both directions.
#[derive(Clone, Copy, Default)]
struct BothCounters {
    original: Counters,
    reply: Counters,
}

impl BothCounters {
    fn of(flow: &dyn AnyFlow) -> Option<Self> {
        match (flow.counters_original(), flow.counters_reply()) {
            (None, None) => None,
            (original, reply) => {
                Some(Self { original: original.unwrap_or_default(), reply: reply.unwrap_or_default() })
            }
        }
    }

    fn is_below(self, other: Self) -> bool {
        let is_below = |one: Counters, other: Counters| one.packets < other.packets || one.bytes < other.bytes;
        is_below(self.original, other.original) || is_below(self.reply, other.reply)
    }

    fn since(self, base: Self) -> Self {
        Self { original: self.original - base.original, reply: self.reply - base.reply }
    }

    fn is_zero(self) -> bool {
        self.original + self.reply == Counters::default()
    }
}

impl Account {
    fn new(flow: &dyn AnyFlow, base: Base, reading: u32) -> Self {
        Self { id: flow.id(), start: start(flow), base, reading }
    }

    /// Whether a flow with the same tuple and zone may be this one. Different identifiers or start times prove that it is
    /// another one; equal ones prove nothing.
    fn may_be(&self, flow: &dyn AnyFlow) -> bool {
        let differs = |pair: Option<(u64, u64)>| pair.is_some_and(|(one, other)| one != other);
        !differs(self.id.zip(flow.id()).map(|(one, other)| (one.into(), other.into())))
            && !differs(self.start.zip(start(flow)).map(|(one, other)| (one.get(), other.get())))
    }

    fn learn(&mut self, flow: &dyn AnyFlow) {
        self.id = self.id.or(flow.id());
        self.start = self.start.or(start(flow));
    }
}

fn start(flow: &dyn AnyFlow) -> Option<NonZeroU64> {
    NonZeroU64::new(flow.times()?.start?.0)
}

impl<K: Eq + Hash, F> fmt::Debug for Accountant<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accountant")
            .field("flows", &self.accounts.len())
            .field("keys", &self.report.traffic.len())
            .field("losses", &self.report.losses)
            .finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, F: Fn(&dyn AnyFlow) -> K> Accountant<K, F> {
    /// Creates an accountant that has read nothing. Its first report has a [gap](Losses::gaps), for the time before.
    ///
    /// `key` decides to whom the traffic of a flow belongs: `|flow| flow.original().source`, `|flow| flow.zone()`,
    /// `|flow| flow.mark()`, `|flow| (flow.protocol(), flow.original().destination_port())` …
    pub fn new(key: F) -> Self {
        let mut report = TrafficReport::default();
        report.losses.gaps = 1;
        Self { key, accounts: HashMap::new(), report, reading: 0, has_begun: false, watch: Watch::default() }
    }

    /// Reads a change that a `Mirror` yields. Call it for every change.
    ///
    /// Counters are taken only from the end of a flow, because the counters in other changes may be older than the
    /// counters in the table.
    pub fn apply(&mut self, change: &Change) {
        match (change.kind, change.inferred) {
            (ChangeKind::Appeared, false) => self.begin(&change.flow),
            (ChangeKind::Vanished, false) => self.end(&change.flow),
            (ChangeKind::Vanished, true) => self.lose(&change.flow),
            // The next reading of the table sees the flow.
            (ChangeKind::Appeared, true) | (ChangeKind::Changed, _) => {}
        }
    }

    /// Reads the counters of all flows of a table, and notices events that it has lost. Useful after each dump, since only
    /// dumps bring counters.
    ///
    /// All changes of the table must have been [applied](Self::apply) before, or dropped by
    /// [`Mirror::synchronize`](crate::Mirror::synchronize): call it when `next_within` or `try_next` of the mirror has
    /// returned `None`. Otherwise the traffic of flows with a reused tuple could be counted twice.
    pub fn read_table(&mut self, table: &FlowTable) {
        // Flows that began while events were lost can end without a change until a dump is complete.
        let is_whole = table.is_synchronized() && self.watch.was_synchronized && table.losses() == self.watch.losses;
        if self.has_begun && !is_whole {
            self.note_gap();
        }
        self.watch = Watch { losses: table.losses(), was_synchronized: table.is_synchronized() };
        self.reading = self.reading.wrapping_add(1);
        let dump = table.last_dump();
        for entry in table {
            self.take_reading(&entry, false);
            self.check_counters(&entry, dump);
        }
        self.forget_unread();
    }

    /// Reads a complete dump, and forgets the flows that it does not contain.
    ///
    /// Flows that begin and end between two dumps are not seen, so there is a [gap](Losses::gaps) between them.
    ///
    /// # Errors
    ///
    /// Returns the first error of the dump. The flows until then were read, and none is forgotten.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{AnyFlow, Client, accounting::Accountant};
    ///
    /// let mut client = Client::open()?;
    /// let mut accountant = Accountant::new(|flow: &dyn AnyFlow| flow.mark());
    /// for _ in 0..2 {
    ///     accountant.read_dump(client.dump()?)?;
    ///     std::thread::sleep(std::time::Duration::from_secs(10));
    /// }
    /// println!("{:?}", accountant.take_report().traffic);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn read_dump<T: AnyFlow, E>(&mut self, dump: impl IntoIterator<Item = Result<T, E>>) -> Result<(), E> {
        self.read_all(dump, false)
    }

    /// Reads a complete dump that has set the counters to zero
    /// ([`DumpFlows::and_zero_counters`](crate::request::DumpFlows::and_zero_counters)), as
    /// [`read_dump`](Self::read_dump) does.
    ///
    /// The kernel loses the counts of about one flow in each datagram of such a dump and does not report it.
    ///
    /// # Errors
    ///
    /// Returns the first error of the dump. The flows until then were read, and none is forgotten.
    pub fn read_zeroing_dump<T: AnyFlow, E>(&mut self, dump: impl IntoIterator<Item = Result<T, E>>) -> Result<(), E> {
        self.read_all(dump, true)
    }

    fn read_all<T: AnyFlow, E>(&mut self, dump: impl IntoIterator<Item = Result<T, E>>, zeroes: bool) -> Result<(), E> {
        if self.has_begun {
            self.note_gap();
        }
        self.reading = self.reading.wrapping_add(1);
        for flow in dump {
            let flow = flow?;
            self.take_reading(&flow, zeroes);
            self.note_uncounted(&flow);
        }
        self.forget_unread();
        Ok(())
    }

    /// Reads an event: the begin of a flow, or its end with final counters. An overrun is a gap. Updates have no counters.
    ///
    /// Feed events directly only if no listener in the namespace is [reliable](crate::EventSocket): the kernel repeats
    /// events for such a listener, and a repeated end is reported as an unseen begin. A `Mirror` filters repeated events.
    pub fn apply_event(&mut self, event: &Event) {
        match event.flow() {
            _ if event.namespace_id().is_some() => {}
            Some((EventKind::New, event)) => self.begin(&event.flow),
            Some((EventKind::Destroy, event)) => self.end(&event.flow),
            Some((EventKind::Update, _)) => {}
            None if *event == Event::Overrun => self.note_gap(),
            None => {}
        }
    }

    /// Notes that a flow begins now: all of its counters will be traffic.
    pub fn begin(&mut self, flow: &impl AnyFlow) {
        if is_clash(flow) {
            return;
        }
        let new = || Account::new(flow, Base::BEGIN, self.reading);
        match self.accounts.entry(AccountKey::of(flow)) {
            Entry::Vacant(place) => drop(place.insert(new())),
            // A repeated event, or a dump was ahead of it.
            Entry::Occupied(known) if known.get().may_be(flow) => {}
            Entry::Occupied(mut known) => {
                known.insert(new());
                self.report.losses.unseen_ends += 1;
                self.mark_incomplete(flow);
            }
        }
    }

    /// Reads the counters of a living flow.
    pub fn read(&mut self, flow: &impl AnyFlow) {
        self.take_reading(flow, false);
    }

    /// Reads the counters of a living flow that were set to zero in the same step
    /// ([`GetFlow::and_zero_counters`](crate::request::GetFlow::and_zero_counters)).
    pub fn read_and_zero(&mut self, flow: &impl AnyFlow) {
        self.take_reading(flow, true);
    }

    /// Reads the final counters of a flow, and forgets it.
    pub fn end(&mut self, flow: &impl AnyFlow) {
        if is_clash(flow) {
            return;
        }
        let key = AccountKey::of(flow);
        // The end of an earlier flow, whose account was closed when this one was opened.
        if self.accounts.get(&key).is_some_and(|account| !account.may_be(flow)) {
            return;
        }
        self.take_reading(flow, false);
        self.note_uncounted(flow);
        self.accounts.remove(&key);
    }

    /// Notes that flows may have begun or ended unseen.
    pub const fn note_gap(&mut self) {
        self.report.losses.gaps += 1;
    }

    /// Returns the traffic since the last report, and starts the next one.
    pub fn take_report(&mut self) -> TrafficReport<K> {
        core::mem::take(&mut self.report)
    }

    /// Returns the number of flows that the accountant follows.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.accounts.len()
    }

    /// A flow is gone, and nobody saw its final counters.
    fn lose(&mut self, flow: &dyn AnyFlow) {
        if let Entry::Occupied(known) = self.accounts.entry(AccountKey::of(flow)) {
            if known.get().may_be(flow) {
                known.remove();
                self.report.losses.unseen_ends += 1;
                self.mark_incomplete(flow);
            }
        }
    }

    fn take_reading(&mut self, flow: &dyn AnyFlow, zeroes: bool) {
        let (read, losses) = (BothCounters::of(flow), &mut self.report.losses);
        let mut first_reading = || {
            losses.unseen_begins += 1;
            losses.before_first_reading += read.map(|read| read.original + read.reply).unwrap_or_default();
        };
        let next_base = if zeroes { read.map(|_| BothCounters::default()) } else { read };
        let (mut passed, mut is_incomplete) = (BothCounters::default(), true);
        match self.accounts.entry(AccountKey::of(flow)) {
            Entry::Vacant(place) => {
                place.insert(Account::new(flow, Base::of(next_base), self.reading));
                first_reading();
            }
            Entry::Occupied(mut known) if !known.get().may_be(flow) => {
                known.insert(Account::new(flow, Base::of(next_base), self.reading));
                first_reading();
                losses.unseen_ends += 1;
            }
            Entry::Occupied(known) => {
                let account = known.into_mut();
                account.learn(flow);
                account.reading = self.reading;
                match (account.base.counters(), read) {
                    (Some(base), Some(read)) if read.is_below(base) => {
                        losses.resets += 1;
                        passed = read;
                    }
                    (Some(base), Some(read)) => (passed, is_incomplete) = (read.since(base), false),
                    // It was seen, but without counters.
                    (None, Some(read)) => losses.before_first_reading += read.original + read.reply,
                    (_, None) => is_incomplete = false,
                }
                if let Some(next) = next_base {
                    account.base = Base::Read(next);
                }
            }
        }
        self.credit(flow, passed, is_incomplete);
    }

    /// Adds traffic to the key of a flow.
    fn credit(&mut self, flow: &dyn AnyFlow, passed: BothCounters, incomplete: bool) {
        let offloaded = flow.is_offloaded() == Some(true);
        if passed.is_zero() && !incomplete && !offloaded {
            return;
        }
        let traffic = self.report.traffic.entry((self.key)(flow)).or_default();
        traffic.original += passed.original;
        traffic.reply += passed.reply;
        traffic.offloaded |= offloaded;
        traffic.incomplete |= incomplete;
    }

    fn mark_incomplete(&mut self, flow: &dyn AnyFlow) {
        self.credit(flow, BothCounters::default(), true);
    }

    /// Events leave counters out, so a flow in a table has no counters only if a dump since its first reading had none.
    fn check_counters(&mut self, flow: &dyn AnyFlow, dump: Option<u32>) {
        if BothCounters::of(flow).is_some() {
            return;
        }
        let account = self.accounts.get_mut(&AccountKey::of(flow));
        let Some(Account { base: Base::Unread { first_dump, .. }, .. }) = account else { return };
        match *first_dump {
            None => *first_dump = dump,
            Some(first) if dump.is_some_and(|dump| dump != first) => self.note_uncounted(flow),
            Some(_) => {}
        }
    }

    /// Reports a flow without counters, once.
    fn note_uncounted(&mut self, flow: &dyn AnyFlow) {
        if BothCounters::of(flow).is_some() {
            return;
        }
        let account = self.accounts.get_mut(&AccountKey::of(flow));
        let Some(Account { base: Base::Unread { is_uncounted, .. }, .. }) = account else { return };
        if !core::mem::replace(is_uncounted, true) {
            self.report.losses.uncounted += 1;
            self.mark_incomplete(flow);
        }
    }

    /// Forgets the flows that the reading of all flows has not seen.
    fn forget_unread(&mut self) {
        self.has_begun = true;
        let before = self.accounts.len();
        self.accounts.retain(|_, account| account.reading == self.reading);
        self.report.losses.unseen_ends += (before - self.accounts.len()) as u64;
    }
}

/// Whether the flow lost a clash: it has the original tuple of the flow that won.
fn is_clash(flow: &dyn AnyFlow) -> bool {
    flow.status().is_some_and(|status| status.contains(Status::NAT_CLASH))
}
