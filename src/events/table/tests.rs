//! The table against a kernel in small: any order of what happens, what is read, and what is lost.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::{Counters, Helper, Labels, Lifetime, ProtocolInfo, TcpInfo, TcpState, Timestamp, Tuple};

const KEYS: u8 = 4;

fn original(key: u8) -> Tuple {
    Tuple::udp(([10, 0, 0, 1], u16::from(key)).into(), ([10, 0, 0, 2], 53).into())
}

/// The answers of a flow that is translated to that port.
fn reply(port: u8) -> Tuple {
    Tuple::udp(([10, 0, 0, 2], 53).into(), ([10, 0, 0, 3], u16::from(port)).into())
}

fn flow(key: u8, port: u8, id: u32, mark: u32) -> Flow {
    let mut flow = Flow::new(original(key), reply(port));
    (flow.id, flow.mark) = (Some(id), Some(mark));
    flow
}

/// A flow of the kernel in small.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Live {
    port: u8,
    id: u32,
    mark: u32,
    labels: u128,
    /// Began while somebody listened.
    has_events: bool,
    /// Its end was told, but it is still in the table.
    is_dying: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Create { key: u8, port: u8, id: u32, is_told_late: bool },
    Mark { key: u8, mark: u32 },
    Label { key: u8, labels: u128 },
    BeginToEnd(u8),
    End(u8),
    TellLate,
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
            .prop_map(|(key, port, id, is_told_late)| Step::Create { key, port, id, is_told_late }),
        3 => (key(), 0..3_u32).prop_map(|(key, mark)| Step::Mark { key, mark }),
        2 => (key(), 0..3_u128).prop_map(|(key, labels)| Step::Label { key, labels }),
        1 => key().prop_map(Step::BeginToEnd),
        4 => key().prop_map(Step::End),
        1 => Just(Step::TellLate),
        4 => (1..6_u8).prop_map(Step::ReadEvents),
        2 => Just(Step::BeginDump),
        4 => (1..4_u8).prop_map(Step::FillDump),
        4 => (1..4_u8).prop_map(Step::ReadDump),
        2 => (1..3_u8).prop_map(Step::Sweep),
    ]
}

/// A kernel with a listener and a dump.
#[derive(Default)]
struct Kernel {
    flows: BTreeMap<u8, Live>,
    events: VecDeque<(EventKind, Flow)>,
    /// Events that wait at most.
    room: usize,
    /// Happened, but is not in the queue yet.
    late: Option<(EventKind, Flow)>,
    is_congested: bool,
    /// Events may be read before the loss behind the last one is told.
    untold_loss: Option<u8>,
    dump: Option<Dump>,
}

/// The key to come to next, and what was written but not read yet.
#[derive(Default)]
struct Dump {
    next: u8,
    entries: VecDeque<Flow>,
}

impl Kernel {
    fn tell(&mut self, kind: EventKind, flow: Flow) {
        self.tell_late();
        self.send(kind, flow);
    }

    fn tell_late(&mut self) {
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

    fn create(&mut self, key: u8, port: u8, id: u32, is_told_late: bool) {
        if self.flows.contains_key(&key) || self.flows.values().any(|live| live.port == port) {
            return;
        }
        self.tell_late();
        self.flows.insert(key, Live { port, id, mark: 0, labels: 0, has_events: true, is_dying: false });
        if is_told_late {
            self.late = Some((EventKind::New, flow(key, port, id, 0)));
        } else {
            self.tell(EventKind::New, flow(key, port, id, 0));
        }
    }

    fn mark(&mut self, key: u8, mark: u32) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.mark = mark;
        let live = *live;
        if live.has_events {
            self.tell(EventKind::Update, flow(key, live.port, live.id, mark));
        }
    }

    /// Unlike the mark, which is in every event, labels are in those of their changes alone.
    fn label(&mut self, key: u8, labels: u128) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.labels = labels;
        let live = *live;
        if live.has_events {
            let event = Flow { labels: Some(Labels(labels)), ..flow(key, live.port, live.id, live.mark) };
            self.tell(EventKind::Update, event);
        }
    }

    fn begin_to_end(&mut self, key: u8) {
        let Some(live) = self.flows.get_mut(&key).filter(|live| !live.is_dying) else { return };
        live.is_dying = true;
        let live = *live;
        if live.has_events {
            self.tell(EventKind::Destroy, flow(key, live.port, live.id, live.mark));
        }
    }

    fn end(&mut self, key: u8) {
        self.begin_to_end(key);
        self.flows.remove(&key);
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

/// The kernel, the table, and somebody who knows nothing but the changes.
struct World {
    kernel: Kernel,
    table: FlowTable,
    followed: BTreeMap<Port, (Tuple, u32)>,
    /// Events that may be read past a loss before it is told.
    lateness: u8,
}

/// The source port of the original tuple.
type Port = u16;

impl World {
    /// With flows of those keys and ports, that began before anybody listened and may have events all the same.
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
            Step::Create { key, port, id, is_told_late } => self.kernel.create(key, port, id, is_told_late),
            Step::Mark { key, mark } => self.kernel.mark(key, mark),
            Step::Label { key, labels } => self.kernel.label(key, labels),
            Step::BeginToEnd(key) => self.kernel.begin_to_end(key),
            Step::End(key) => self.kernel.end(key),
            Step::TellLate => self.kernel.tell_late(),
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

    /// Whether there was something to read.
    fn read_event(&mut self) -> bool {
        let mut changes = Vec::new();
        let kernel = &mut self.kernel;
        let is_time = kernel.events.is_empty() || kernel.is_congested && kernel.untold_loss.is_some();
        if kernel.untold_loss == Some(0) || (is_time && kernel.untold_loss.is_some()) {
            kernel.untold_loss = None;
            self.table.apply(&Event::Overrun, &mut changes);
            return true;
        }
        let Some((kind, flow)) = kernel.events.pop_front() else { return false };
        kernel.untold_loss = kernel.untold_loss.map(|left| left - 1);
        if kernel.events.is_empty() && kernel.is_congested {
            kernel.is_congested = false;
            kernel.untold_loss = Some(self.lateness);
        }
        self.table.apply_flow(kind, flow, &mut changes);
        self.follow(changes);
        true
    }

    fn begin_dump(&mut self) {
        if self.kernel.dump.is_none() && self.table.phase == Phase::Idle {
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

    /// Lets everything be told and read, and the table have the dumps that it asks for.
    fn settle(&mut self, audit: bool) {
        self.kernel.tell_late();
        let dying: Vec<u8> =
            (0..KEYS).filter(|key| self.kernel.flows.get(key).is_some_and(|live| live.is_dying)).collect();
        dying.into_iter().for_each(|key| self.kernel.end(key));
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
            (entry.original().source_port().unwrap(), (*entry.reply(), entry.mark().unwrap_or(0)))
        };
        assert_eq!(self.table.iter().map(table).collect::<BTreeMap<_, _>>(), kernel);
        assert_eq!(self.table.len(), kernel.len());
        assert_eq!(self.followed, kernel);
        for (key, live) in &self.kernel.flows {
            let by_reply = self.table.get(FlowKey::reply(reply(live.port))).unwrap();
            assert_eq!(*by_reply.original(), original(*key));
            assert_eq!(by_reply.id(), Some(live.id));
            assert_eq!(by_reply.to_flow().labels.unwrap_or_default(), Labels(live.labels));
            assert!(self.table.with_id(live.id).any(|entry| *entry.original() == original(*key)));
        }
        assert!(self.table.ended.is_empty() && self.table.is_synchronised());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_table_and_its_changes_end_up_true(
        begun in proptest::collection::vec((0..KEYS, 0..KEYS + 2), 0..3),
        has_events: bool,
        is_followed_from_the_start: bool,
        room in 1..6_usize,
        lateness in 0..4_u8,
        // All about one key, or about all of them; and not so many that a later dump makes up for what went wrong.
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
        // Of flows that have no events, only an audit tells the end.
        world.settle(!has_events);
        world.check();
    }
}

fn apply(table: &mut FlowTable, kind: EventKind, flow: Flow) -> Vec<Change> {
    let mut changes = Vec::new();
    table.apply_flow(kind, flow, &mut changes);
    changes
}

fn dump(table: &mut FlowTable, flows: impl IntoIterator<Item = Flow>) -> Vec<Change> {
    let mut changes = Vec::new();
    table.begin_dump();
    flows.into_iter().for_each(|flow| table.apply_entry(flow, &mut changes));
    table.end_dump();
    changes.extend(core::iter::from_fn(|| table.next_vanished()));
    changes
}

fn kinds(changes: &[Change]) -> Vec<(ChangeKind, bool)> {
    changes.iter().map(|change| (change.kind, change.inferred)).collect()
}

#[test]
fn events_are_changes_that_are_not_inferred() {
    let mut table = FlowTable::new();
    let told = [EventKind::New, EventKind::Update, EventKind::Destroy]
        .map(|kind| kinds(&apply(&mut table, kind, flow(1, 1, 7, 0))));
    let expected = [ChangeKind::Appeared, ChangeKind::Changed, ChangeKind::Vanished].map(|kind| vec![(kind, false)]);
    assert_eq!(told, expected);
}

#[test]
fn a_dump_tells_differences_as_inferred() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 0), flow(3, 3, 3, 0)]);
    let changes = dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 9), flow(4, 4, 4, 0)]);
    assert_eq!(
        kinds(&changes),
        [(ChangeKind::Changed, true), (ChangeKind::Appeared, true), (ChangeKind::Vanished, true)]
    );
    assert_eq!(changes.last().unwrap().flow.original, original(3));
}

#[test]
fn what_a_dump_has_twice_appears_once() {
    let mut table = FlowTable::new();
    assert_eq!(dump(&mut table, [flow(1, 1, 1, 0), flow(1, 1, 1, 0)]).len(), 1);
}

#[test]
fn a_flow_with_another_identifier_is_another_flow() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let expected = [(ChangeKind::Vanished, true), (ChangeKind::Appeared, true)];
    assert_eq!(kinds(&dump(&mut table, [flow(1, 1, 2, 0)])), expected);
}

#[test]
fn a_flow_that_began_at_another_time_is_another_flow() {
    let begun = |time| {
        let mut flow = flow(1, 1, 1, 0);
        flow.lifetime = Some(Lifetime { start: Some(Timestamp(time)), stop: None });
        flow
    };
    let mut table = FlowTable::new();
    dump(&mut table, [begun(5)]);
    assert_eq!(dump(&mut table, [begun(5)]), []);
    assert_eq!(dump(&mut table, [begun(6)]).len(), 2);
}

#[test]
fn zones_keep_flows_apart_and_no_zone_is_zone_0() {
    let in_zone = |zone| Flow { zone, ..flow(1, 1, 1, 0) };
    let mut table = FlowTable::new();
    dump(&mut table, [in_zone(None), in_zone(Some(1))]);
    assert_eq!(table.count_by(|flow| flow.zone()), BTreeMap::from([(None, 1), (Some(1), 1)]));
    assert_eq!(apply(&mut table, EventKind::Destroy, in_zone(Some(0))).len(), 1);
    assert!(table.get(FlowKey::original(original(1))).is_none());
    assert!(table.get(FlowKey::reply(reply(1)).in_zone(1)).is_some());
    // A zone of one direction is the zone of that direction's tuple.
    let mut one_way = flow(1, 1, 1, 0);
    one_way.original.zone = Some(5);
    apply(&mut table, EventKind::New, one_way);
    assert!(table.get(FlowKey::original(original(1)).in_zone(5)).is_some());
    assert!(table.get(FlowKey::reply(reply(1))).is_some());
}

#[test]
fn an_event_adds_to_what_is_known() {
    let mut dumped = flow(1, 1, 1, 5);
    let info = TcpInfo { state: Some(TcpState::ESTABLISHED), window_scale_reply: Some(7), ..TcpInfo::default() };
    dumped.protocol_info = Some(ProtocolInfo::Tcp(info));
    dumped.counters_original = Some(Counters::new(1, 1));
    dumped.helper = Some(Helper::new("ftp"));
    let mut table = FlowTable::new();
    dump(&mut table, [dumped]);

    let mut update = flow(1, 1, 1, 0);
    (update.mark, update.timeout) = (None, Some(60));
    let changed = apply(&mut table, EventKind::Update, update).remove(0).flow;
    assert_eq!((changed.timeout, changed.counters_original), (Some(60), Some(Counters::new(1, 1))));
    assert_eq!((changed.mark, &changed.helper), (Some(0), &None), "an event leaves these out where there are none");

    let mut end = flow(1, 1, 1, 0);
    end.counters_original = Some(Counters::new(9, 9));
    end.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo { state: Some(TcpState::TIME_WAIT), ..TcpInfo::default() }));
    let last = apply(&mut table, EventKind::Destroy, end).remove(0).flow;
    assert_eq!(last.counters_original, Some(Counters::new(9, 9)));
    let info = last.protocol_info.unwrap();
    assert_eq!(
        (info.tcp().unwrap().state, info.tcp().unwrap().window_scale_reply),
        (Some(TcpState::TIME_WAIT), Some(7))
    );
}

/// The kernel puts the loser of a race in for its answers alone, under the original tuple of the winner.
#[test]
fn the_loser_of_a_clash_is_passed_over() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    let loser = Flow { status: Some(Status::NAT_CLASH), ..flow(1, 2, 2, 0) };
    for kind in [EventKind::New, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, loser.clone()), []);
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_dump_that_fails_takes_nothing_for_gone() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0), flow(2, 2, 2, 0)]);
    table.note_loss();
    table.begin_dump();
    table.apply_entry(flow(1, 1, 1, 0), &mut Vec::new());
    table.abandon_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!((table.len(), table.needs_dump()), (2, true));
}

#[test]
fn a_loss_during_a_dump_asks_for_another() {
    let mut table = FlowTable::new();
    assert!(table.needs_dump());
    table.begin_dump();
    assert!(!table.needs_dump());
    table.note_loss();
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert!(table.needs_dump() && !table.is_synchronised());
    dump(&mut table, []);
    assert!(table.is_synchronised());
}

#[test]
fn events_that_are_older_than_an_entry_of_another_flow_are_passed_over() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 2, 0)]);
    for kind in [EventKind::Update, EventKind::Destroy] {
        assert_eq!(apply(&mut table, kind, flow(1, 1, 1, 9)), []);
    }
    assert_eq!(apply(&mut table, EventKind::New, flow(1, 1, 2, 0)), []);
}

#[test]
fn an_entry_of_another_flow_than_events_tell_of_is_passed_over() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let mut changes = Vec::new();
    table.apply_entry(flow(1, 1, 2, 0), &mut changes);
    table.apply_entry(flow(2, 1, 3, 0), &mut changes);
    assert_eq!(changes, []);
}

#[test]
fn the_end_of_a_later_flow_is_the_end_of_the_one_before() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let changes = apply(&mut table, EventKind::Destroy, flow(1, 1, 2, 0));
    assert_eq!(kinds(&changes), [(ChangeKind::Vanished, true)]);
}

#[test]
fn of_two_flows_with_the_same_answers_the_first_is_gone() {
    let mut table = FlowTable::new();
    apply(&mut table, EventKind::New, flow(1, 1, 1, 0));
    let changes = apply(&mut table, EventKind::New, flow(2, 1, 2, 0));
    assert_eq!(kinds(&changes), [(ChangeKind::Vanished, true), (ChangeKind::Appeared, false)]);
    assert_eq!(*table.get(FlowKey::reply(reply(1))).unwrap().original(), original(2));
}

#[test]
fn what_a_dump_adds_to_an_event_is_a_change() {
    let mut table = FlowTable::new();
    table.begin_dump();
    apply(&mut table, EventKind::Update, flow(1, 1, 1, 7));
    let mut changes = Vec::new();
    let mut entry = flow(1, 1, 1, 3);
    entry.helper = Some(Helper::new("ftp"));
    table.apply_entry(entry, &mut changes);
    assert_eq!(kinds(&changes), [(ChangeKind::Changed, true)]);
    let flow = changes.remove(0).flow;
    assert_eq!((flow.mark, flow.helper), (Some(7), Some(Helper::new("ftp"))));
}

/// The end of the flow that is known, and the begin of the next, were lost: only a dump that began since can be ahead.
#[test]
fn an_update_of_the_next_flow_is_not_passed_over_for_what_an_earlier_dump_told() {
    let mut table = FlowTable::new();
    dump(&mut table, [flow(1, 1, 1, 0)]);
    table.note_loss();
    table.begin_dump();
    // Written when the mark was 0 still, read when the update has been.
    let entry = flow(1, 1, 2, 0);
    apply(&mut table, EventKind::Update, flow(1, 1, 2, 9));
    table.apply_entry(entry, &mut Vec::new());
    table.end_dump();
    assert_eq!(table.next_vanished(), None);
    assert_eq!(table.get(FlowKey::original(original(1))).unwrap().mark(), Some(9));
    assert!(table.is_synchronised());
}

/// What was lost before the dump began is known from the dump alone, even if an event tells of the flow meanwhile.
#[test]
fn an_event_keeps_back_nothing_of_an_entry_but_what_it_tells_itself() {
    let with = |state: Option<TcpState>, labels: Option<u128>, mark| {
        let mut flow = flow(1, 1, 1, mark);
        flow.protocol_info = state.map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() }.into());
        flow.labels = labels.map(Labels);
        flow
    };
    let (old, new) = (Some(TcpState::SYN_SENT), Some(TcpState::ESTABLISHED));
    let known = |event: Flow, entry: Flow| {
        let mut table = FlowTable::new();
        dump(&mut table, [with(old, Some(1), 0)]);
        table.begin_dump();
        apply(&mut table, EventKind::Update, event);
        table.apply_entry(entry, &mut Vec::new());
        let entry = table.get(FlowKey::original(original(1))).unwrap().to_flow();
        (entry.tcp_state(), entry.labels.map(|labels| labels.0), entry.mark)
    };
    assert_eq!(known(with(None, None, 5), with(new, Some(2), 4)), (new, Some(2), Some(5)));
    assert_eq!(known(with(new, None, 5), with(old, Some(2), 4)), (new, Some(2), Some(5)));
    assert_eq!(known(with(None, Some(3), 5), with(new, Some(2), 4)), (new, Some(3), Some(5)));
}

/// Its end was told by another processor, whose event came first.
#[test]
fn an_event_of_a_flow_that_is_going_does_not_bring_it_back() {
    let mut table = FlowTable::new();
    for kind in [EventKind::New, EventKind::Update] {
        let late = Flow { status: Some(Status::DYING | Status::CONFIRMED), ..flow(1, 1, 1, 0) };
        assert_eq!(apply(&mut table, kind, late), []);
    }
}
