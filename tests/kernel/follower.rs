//! A mirror that is compared with the kernel.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    hash::Hash,
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Change, ChangeKind, Client, EventGroups, EventSocket, Flow, Mirror, Partition, Status, TcpState, Tuple,
};

/// How late the kernel may send an event.
const LATENESS: Duration = Duration::from_secs(60);

/// A mirror, and a table that is built only from the changes it reports.
pub struct Follower {
    pub mirror: Mirror,
    pub flows: HashMap<Key, Flow>,
    pub inferred: BTreeMap<ChangeKind, usize>,
    pub reported: BTreeMap<ChangeKind, usize>,
    /// The number of quiet points at which the last event arrived late.
    pub late: usize,
    kernel: Client,
}

/// Original tuple and zone.
type Key = (Tuple, u16);
type Essentials = (Tuple, Option<Status>, u32, Option<TcpState>, Option<u32>);
type Table = HashMap<Key, Essentials>;

impl Follower {
    pub fn new(receive_buffer: usize) -> Self {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(receive_buffer).open().unwrap();
        Self {
            mirror: Mirror::new(events, Client::open().unwrap()).unwrap(),
            flows: HashMap::new(),
            inferred: BTreeMap::new(),
            reported: BTreeMap::new(),
            late: 0,
            kernel: Client::open().unwrap(),
        }
    }

    /// Lets threads dump the table.
    pub fn on_threads(self) -> Self {
        Self { mirror: self.mirror.dump_in_parts(&Partition::families()).unwrap(), ..self }
    }

    /// Returns the number of changes that were yielded.
    pub fn changes(&self) -> usize {
        self.inferred.values().chain(self.reported.values()).sum()
    }

    pub fn take(&mut self, change: Change) {
        let key = (change.flow.original, change.flow.zone.unwrap_or(0));
        let before = match change.kind {
            ChangeKind::Vanished => self.flows.remove(&key),
            _ => self.flows.insert(key, change.flow),
        };
        assert_eq!(before.is_none(), change.kind == ChangeKind::Appeared, "{} {key:?}", change.kind);
        let counts = if change.inferred { &mut self.inferred } else { &mut self.reported };
        *counts.entry(change.kind).or_insert(0) += 1;
    }

    /// Takes changes until `is_over` returns true.
    pub fn follow_until(&mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            if let Some(change) = self.mirror.next_within(Duration::from_millis(1)).unwrap() {
                self.take(change);
            }
        }
    }

    /// Takes all changes that are due.
    pub fn catch_up(&mut self) {
        let deadline = Instant::now() + LATENESS;
        loop {
            while let Some(change) = self.mirror.try_next().unwrap() {
                self.take(change);
            }
            let has_work = self.mirror.next_deadline().is_some_and(|due| due <= Instant::now());
            if self.mirror.table().is_synchronized() && !has_work {
                return;
            }
            assert!(Instant::now() < deadline, "the mirror does not synchronize");
            // A pause after each part of a dump would let a repeated burst of events overrun a small buffer before its end.
            if !has_work {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Compares the mirror and the table of its changes with the kernel's table at a quiet point.
    ///
    /// A dump no longer contains a flow that has timed out, but its DESTROY is sent by the thread that finds it: a worker of
    /// the kernel, or a dump. On a busy machine that thread may have to wait between removing and sending.
    /// So the table may differ for a while, but not for long.
    pub fn check(&mut self) {
        let deadline = Instant::now() + LATENESS;
        let mut is_late = false;
        loop {
            let kernel = self.quiet();
            let table = essentials(self.mirror.table().iter().map(|entry| entry.to_flow()));
            if table == kernel || Instant::now() > deadline {
                let followed = essentials(self.flows.values().cloned());
                assert_same(&table, &kernel, "the mirror differs from the kernel's table");
                assert_same(&followed, &kernel, "the reported changes do not add up to the kernel's table");
                self.late += usize::from(is_late);
                return;
            }
            is_late = true;
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the kernel's table once it no longer changes.
    fn quiet(&mut self) -> Table {
        // A dump evicts overdue flows, which sends events. It is quiet when the next dump shows the same.
        let mut kernel = self.dump();
        loop {
            self.catch_up();
            let now = self.dump();
            if now == kernel {
                return kernel;
            }
            kernel = now;
        }
    }

    fn dump(&mut self) -> Table {
        essentials(self.kernel.dump().unwrap().map(Result::unwrap))
    }
}

/// The attributes that a table keeps current.
fn essentials(flows: impl IntoIterator<Item = Flow>) -> Table {
    let essential = |flow: Flow| {
        let state = flow.tcp_state();
        ((flow.original, flow.zone.unwrap_or(0)), (flow.reply, flow.status, flow.mark.unwrap_or(0), state, flow.id))
    };
    flows.into_iter().map(essential).collect()
}

fn assert_same<K: Eq + Hash + Debug, V: PartialEq + Debug>(ours: &HashMap<K, V>, kernel: &HashMap<K, V>, what: &str) {
    let only_in = |one: &HashMap<K, V>, other: &HashMap<K, V>| {
        let different = one.iter().filter(|(key, value)| other.get(key) != Some(value));
        different.take(5).map(|entry| format!("{entry:?}")).collect::<Vec<_>>()
    };
    let (more, less) = (only_in(ours, kernel), only_in(kernel, ours));
    assert!(more.is_empty() && less.is_empty(), "{what}\nours: {more:#?}\nthe kernel's: {less:#?}");
}
