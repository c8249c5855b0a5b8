//! The table against a small model of the kernel, with events, dumps and losses in any order.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const KEYS: u8 = 4;

/// A flow of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Live {
    port: u8,
    id: u32,
    mark: u32,
    labels: u128,
    /// Whether it began while somebody listened.
    has_events: bool,
    /// Whether its end was sent although it is still in the table.
    is_dying: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Create { key: u8, port: u8, id: u32, is_sent_late: bool },
    Mark { key: u8, mark: u32 },
    Label { key: u8, labels: u128 },
    BeginToEnd { key: u8, is_missed: bool },
    End { key: u8, is_missed: bool },
    RepeatBegin(u8),
    RepeatEnd(usize),
    DeliverEnd(usize),
    SendLate,
    ReadEvents(u8),
    BeginDump,
    FillDump(u8),
    ReadDump(u8),
    Sweep(u8),
}

fn step(keys: u8) -> impl Strategy<Value = Step> {
    let key = move || 0..keys;
    prop_oneof![
        6 => (key(), 0..KEYS + 2, 0..2_u32, any::<bool>())
            .prop_map(|(key, port, id, is_sent_late)| Step::Create { key, port, id, is_sent_late }),
        3 => (key(), 0..3_u32).prop_map(|(key, mark)| Step::Mark { key, mark }),
        2 => (key(), 0..3_u128).prop_map(|(key, labels)| Step::Label { key, labels }),
        1 => (key(), any::<bool>()).prop_map(|(key, is_missed)| Step::BeginToEnd { key, is_missed }),
        4 => (key(), any::<bool>()).prop_map(|(key, is_missed)| Step::End { key, is_missed }),
        1 => key().prop_map(Step::RepeatBegin),
        2 => (0..4_usize).prop_map(Step::RepeatEnd),
        1 => (0..4_usize).prop_map(Step::DeliverEnd),
        1 => Just(Step::SendLate),
        4 => (1..6_u8).prop_map(Step::ReadEvents),
        2 => Just(Step::BeginDump),
        4 => (1..4_u8).prop_map(Step::FillDump),
        4 => (1..4_u8).prop_map(Step::ReadDump),
        2 => (1..3_u8).prop_map(Step::Sweep),
    ]
}

/// A kernel with a dump, a listener, and a second listener that is reliable and does not keep up.
#[derive(Default)]
struct Kernel {
    flows: BTreeMap<u8, Live>,
    /// Flows that have ended, and whose end the reliable listener missed. Until it is delivered, their memory is not
    /// freed, and no other flow gets their identifier.
    undelivered: Vec<(u8, Live)>,
    events: VecDeque<(EventKind, Flow)>,
    /// The number of events that may wait.
    room: usize,
    /// An event that happened but is not in the queue yet.
    late: Option<(EventKind, Flow)>,
    is_congested: bool,
    /// The number of events that may be read before a pending overrun is reported.
    pending_overrun: Option<u8>,
    dump: Option<Dump>,
}

/// The key that the dump reaches next, and the entries that were written but not read.
#[derive(Default)]
struct Dump {
    next: u8,
    entries: VecDeque<Flow>,
}

impl Kernel {
    fn queue(&mut self, kind: EventKind, flow: Flow) {
        self.send_late();
        self.send(kind, flow);
    }

    fn send_late(&mut self) {
        if let Some((kind, flow)) = self.late.take() {
            self.send(kind, flow);
        }
    }

    fn send(&mut self, kind: EventKind, flow: Flow) {
        self.is_congested |= self.events.len() == self.room;
        if !self.is_congested {
            self.events.push_back((kind, flow));
        }
    }

    fn create(&mut self, key: u8, port: u8, id: u32, is_sent_late: bool) {
        let is_held = |id| self.undelivered.iter().any(|(ended, live)| (*ended, live.id) == (key, id));
        if self.flows.contains_key(&key) || self.flows.values().any(|live| live.port == port) || is_held(id) {
            return;
        }
        self.send_late();
        self.flows.insert(key, Live { port, id, mark: 0, labels: 0, has_events: true, is_dying: false });
        if is_sent_late {
            self.late = Some((EventKind::New, flow(key, port, id, 0)));
        } else {
            self.queue(EventKind::New, flow(key, port, id, 0));
        }
    }

    fn mark(&mut self, key: u8, mark: u32) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.mark = mark;
        let live = *live;
        if live.has_events {
            self.queue(EventKind::Update, flow(key, live.port, live.id, mark));
        }
    }

    /// Only the events of their changes carry labels. Every event carries the mark.
    fn label(&mut self, key: u8, labels: u128) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.labels = labels;
        let live = *live;
        if live.has_events {
            let event = Flow { labels: Some(Labels(labels)), ..flow(key, live.port, live.id, live.mark) };
            self.queue(EventKind::Update, event);
        }
    }

    fn begin_to_end(&mut self, key: u8, is_missed: bool) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.is_dying = true;
        let live = *live;
        if live.has_events {
            self.queue(EventKind::Destroy, flow(key, live.port, live.id, live.mark));
            self.undelivered.extend(is_missed.then_some((key, live)));
        }
    }

    fn end(&mut self, key: u8, is_missed: bool) {
        self.begin_to_end(key, is_missed);
        self.flows.remove(&key);
    }

    /// The reliable listener missed the begin and everything after it, which the kernel merges into one event.
    fn repeat_begin(&mut self, key: u8) {
        let Some(live) = self.flows.get(&key).filter(|live| live.has_events && !live.is_dying) else { return };
        let event = Flow { labels: Some(Labels(live.labels)), ..flow(key, live.port, live.id, live.mark) };
        self.queue(EventKind::New, event);
    }

    fn repeat_end(&mut self, number: usize) {
        if let Some((key, live)) = self.undelivered.get(number).copied() {
            self.queue(EventKind::Destroy, flow(key, live.port, live.id, live.mark));
        }
    }

    fn deliver_end(&mut self, number: usize) {
        self.repeat_end(number);
        if number < self.undelivered.len() {
            self.undelivered.swap_remove(number);
        }
    }

    fn fill_dump(&mut self) {
        let Some(dump) = &mut self.dump else { return };
        if let Some(live) = self.flows.get(&dump.next) {
            let mut entry = flow(dump.next, live.port, live.id, live.mark);
            entry.status = live.is_dying.then_some(Status::DYING);
            entry.labels = Some(Labels(live.labels));
            entry.counters_original = Some(Counters::new(1, 1));
            dump.entries.push_back(entry);
        }
        dump.next += 1;
    }
}

/// The kernel, the table, and a follower that knows only the changes.
struct World {
    kernel: Kernel,
    table: FlowTable,
    followed: BTreeMap<Port, (Tuple, u32)>,
    /// The number of events that may be read past a loss before the overrun.
    lateness: u8,
}

/// The source port of the original tuple.
type Port = u16;

impl World {
    /// Starts with flows of these keys and ports that began before anybody listened. They may have events all the same.
    fn new(begun: &[(u8, u8)], has_events: bool, room: usize, lateness: u8) -> Self {
        let mut kernel = Kernel { room, ..Kernel::default() };
        for (key, port) in begun {
            if !kernel.flows.values().any(|live| live.port == *port) {
                let (port, id, mark, labels) = (*port, 0, 0, 0);
                kernel.flows.insert(*key, Live { port, id, mark, labels, has_events, is_dying: false });
            }
        }
        Self { kernel, table: FlowTable::new(), followed: BTreeMap::new(), lateness }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Create { key, port, id, is_sent_late } => self.kernel.create(key, port, id, is_sent_late),
            Step::Mark { key, mark } => self.kernel.mark(key, mark),
            Step::Label { key, labels } => self.kernel.label(key, labels),
            Step::BeginToEnd { key, is_missed } => self.kernel.begin_to_end(key, is_missed),
            Step::End { key, is_missed } => self.kernel.end(key, is_missed),
            Step::RepeatBegin(key) => self.kernel.repeat_begin(key),
            Step::RepeatEnd(number) => self.kernel.repeat_end(number),
            Step::DeliverEnd(number) => self.kernel.deliver_end(number),
            Step::SendLate => self.kernel.send_late(),
            Step::ReadEvents(count) => {
                for _ in 0..count {
                    self.read_event();
                }
            }
            Step::BeginDump => self.begin_dump(),
            Step::FillDump(count) => (0..count).for_each(|_| self.kernel.fill_dump()),
            Step::ReadDump(count) => (0..count).for_each(|_| self.read_dump()),
            Step::Sweep(count) => {
                for _ in 0..count {
                    self.sweep();
                }
            }
        }
    }

    fn follow(&mut self, changes: Vec<Change>) {
        for Change { kind, flow, .. } in changes {
            let key = flow.original.source_port().unwrap();
            let known = match kind {
                ChangeKind::Vanished => self.followed.remove(&key),
                _ => self.followed.insert(key, (flow.reply, flow.mark.unwrap_or(0))),
            };
            assert_eq!(known.is_none(), kind == ChangeKind::Appeared, "{kind} {flow:?}");
        }
    }

    /// Returns whether there was something to read.
    fn read_event(&mut self) -> bool {
        let mut changes = Vec::new();
        let kernel = &mut self.kernel;
        let is_time = kernel.events.is_empty() || kernel.is_congested && kernel.pending_overrun.is_some();
        if kernel.pending_overrun == Some(0) || (is_time && kernel.pending_overrun.is_some()) {
            kernel.pending_overrun = None;
            self.table.apply(&Event::Overrun, &mut changes);
            return true;
        }
        let Some((kind, flow)) = kernel.events.pop_front() else {
            if kernel.late.is_none() {
                self.table.mark_events_drained();
            }
            return false;
        };
        kernel.pending_overrun = kernel.pending_overrun.map(|left| left - 1);
        if kernel.events.is_empty() && kernel.is_congested {
            kernel.is_congested = false;
            kernel.pending_overrun = Some(self.lateness);
        }
        self.table.apply_flow(kind, flow, &mut changes);
        self.follow(changes);
        true
    }

    fn begin_dump(&mut self) {
        if self.kernel.dump.is_none() && self.table.is_following() {
            self.table.begin_dump();
            self.kernel.dump = Some(Dump::default());
        }
    }

    fn read_dump(&mut self) {
        let Some(dump) = &mut self.kernel.dump else { return };
        let mut changes = Vec::new();
        if let Some(entry) = dump.entries.pop_front() {
            self.table.apply_entry(entry, &mut changes);
        } else if dump.next >= KEYS {
            self.kernel.dump = None;
            self.table.end_dump();
        }
        self.follow(changes);
    }

    fn sweep(&mut self) -> bool {
        let change = self.table.next_vanished();
        let found = change.is_some();
        self.follow(change.into_iter().collect());
        found
    }

    /// Sends and reads everything, and runs the dumps that the table needs.
    fn settle(&mut self, audit: bool) {
        self.kernel.send_late();
        let dying: Vec<u8> =
            (0..KEYS).filter(|key| self.kernel.flows.get(key).is_some_and(|live| live.is_dying)).collect();
        dying.into_iter().for_each(|key| self.kernel.end(key, false));
        self.finish_dump();
        if audit {
            self.begin_dump();
            self.finish_dump();
        }
        while self.table.needs_dump() {
            self.begin_dump();
            self.finish_dump();
        }
    }

    fn finish_dump(&mut self) {
        while self.read_event() {}
        while self.kernel.dump.is_some() {
            self.kernel.fill_dump();
            self.read_dump();
        }
        while self.sweep() {}
        while self.read_event() {}
    }

    fn check(&self) {
        let kernel: BTreeMap<u16, (Tuple, u32)> =
            self.kernel.flows.iter().map(|(key, live)| (u16::from(*key), (reply(live.port), live.mark))).collect();
        let table = |entry: TableEntry<'_>| {
            (entry.original().source_port().unwrap(), (entry.reply(), entry.mark().unwrap_or(0)))
        };
        assert_eq!(self.table.iter().map(table).collect::<BTreeMap<_, _>>(), kernel);
        assert_eq!(self.table.len(), kernel.len());
        assert_eq!(self.followed, kernel);
        for (key, live) in &self.kernel.flows {
            let by_reply = self.table.get(FlowKey::reply(reply(live.port))).unwrap();
            assert_eq!(by_reply.original(), original(*key));
            assert_eq!(by_reply.id(), Some(live.id));
            assert_eq!(by_reply.to_flow().labels.unwrap_or_default(), Labels(live.labels));
        }
        assert!(self.table.is_following() && self.table.is_synchronized());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn table_and_changes_equal_the_kernel(
        begun in proptest::collection::vec((0..KEYS, 0..KEYS + 2), 0..3),
        has_events: bool,
        is_followed_from_the_start: bool,
        room in 1..6_usize,
        lateness in 0..4_u8,
        // About one key or all of them, and so few that later dumps do not hide errors.
        steps in prop_oneof![
            proptest::collection::vec(step(1), 0..40),
            proptest::collection::vec(step(KEYS), 0..80),
        ],
    ) {
        let mut world = World::new(&begun, has_events, room, lateness);
        if is_followed_from_the_start {
            world.settle(false);
        }
        for step in steps {
            world.take(step);
        }
        // Only an audit finds the end of a flow without events.
        world.settle(!has_events);
        world.check();
    }
}
