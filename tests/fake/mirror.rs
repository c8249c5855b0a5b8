//! A mirror in random situations: whatever happens, its table ends equal to the kernel's.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Change, ChangeKind, Errno, ErrorKind, EventGroups, Flow, FlowKey, FlowUpdate, Helper, Labels, MaskedLabels, Mirror,
    NewFlow, Partition, Protocol, Status, TcpState, Tuple,
    fake::{FakeKernel, Fault},
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};

use super::address;

/// So few flows that most steps meet one that exists.
const FLOWS: u16 = 6;

#[derive(Clone, Debug)]
enum Step {
    Create { number: u16, zone: Option<u16>, timeout: u32 },
    Update { number: u16, mark: u32, labels: u128 },
    Delete(u16),
    DeleteAll,
    Packet { number: u16, is_reply: bool },
    Advance(u64),
    LoseEvents,
    Inject(Fault),
    Audit,
    Read(u8),
    Settle,
}

/// Flows with even numbers are TCP, the others UDP.
fn original(number: u16) -> Tuple {
    let protocol = if number % 2 == 0 { Protocol::TCP } else { Protocol::UDP };
    Tuple::with_ports(protocol, address(1, number), address(2, 53))
}

fn steps(faults: Vec<Fault>) -> impl Strategy<Value = Vec<Step>> {
    let number = || 1..=FLOWS;
    let zone = select(vec![None, None, None, Some(1)]);
    let step = prop_oneof![
        6 => (number(), zone, 1..100_u32)
            .prop_map(|(number, zone, timeout)| Step::Create { number, zone, timeout }),
        4 => (number(), 0..3_u32, prop_oneof![9 => 1..4_u128, 1 => Just(0)])
            .prop_map(|(number, mark, labels)| Step::Update { number, mark, labels }),
        3 => number().prop_map(Step::Delete),
        1 => Just(Step::DeleteAll),
        5 => (number(), any::<bool>()).prop_map(|(number, is_reply)| Step::Packet { number, is_reply }),
        2 => (1..60_u64).prop_map(Step::Advance),
        2 => Just(Step::LoseEvents),
        2 => select(faults).prop_map(Step::Inject),
        1 => Just(Step::Audit),
        6 => (1..5_u8).prop_map(Step::Read),
        1 => Just(Step::Settle),
    ];
    vec(step, 0..60)
}

/// The parts of a flow that events keep current. They do not report counters, references and remaining time.
#[derive(Debug, PartialEq)]
struct Known {
    reply: Tuple,
    id: Option<u32>,
    mark: Option<u32>,
    status: Option<Status>,
    labels: Option<Labels>,
    state: Option<TcpState>,
    helper: Option<Helper>,
}

/// A flow's key: tuple and zone.
type Key = (Tuple, Option<u16>);

fn key(flow: &Flow) -> Key {
    (flow.original, flow.zone)
}

fn known(flow: &Flow) -> Known {
    Known {
        reply: flow.reply,
        id: flow.id,
        mark: flow.mark.or(Some(0)),
        status: flow.status,
        labels: flow.labels.filter(|labels| *labels != Labels(0)),
        state: flow.tcp_state(),
        helper: flow.helper.clone(),
    }
}

struct World {
    kernel: FakeKernel,
    mirror: Mirror,
    /// The changes of the mirror, applied to an empty map.
    followed: BTreeMap<Key, Known>,
    /// Whether events report every change. They do not report that a flow has lost all its labels, nor the end of a flow
    /// that began unheard.
    events_suffice: bool,
}

impl World {
    /// Starts with some flows that began before anybody listened, and therefore end without an event unless the kernel
    /// always sends events.
    fn new(events: u8, begun: &[u16], receive_buffer: usize, entries: usize, on_threads: bool) -> Self {
        let events_suffice = events == 1;
        let builder = FakeKernel::builder().labels(true).accounting(true).events(events);
        let kernel = builder.entries_per_datagram(entries).build();
        for number in begun {
            let _ = kernel.packet(&original(*number), 100);
        }
        let events = kernel.event_socket_with(EventGroups::FLOWS, receive_buffer);
        let mut mirror = Mirror::new(events, kernel.client()).unwrap();
        if on_threads {
            mirror = mirror.dump_in_parts(&Partition::families()).unwrap();
        }
        Self { kernel, mirror, followed: BTreeMap::new(), events_suffice }
    }

    fn take(&mut self, step: &Step) {
        let kernel = &self.kernel;
        // The requests meet injected faults, and flows that do not exist.
        match *step {
            Step::Create { number, zone, timeout } => {
                let tuple = original(number);
                let mut flow = NewFlow::new(tuple, tuple.inverted().unwrap(), timeout);
                flow.zone = zone;
                flow.helper = (number == 2).then(|| Helper::new("ftp"));
                let _ = kernel.client().create(&flow);
            }
            Step::Update { number, mark, labels } => {
                self.events_suffice &= labels != 0;
                let labels = MaskedLabels { labels: Labels(labels), mask: Labels::ALL };
                let update = FlowUpdate::new().mark(mark).labels(labels);
                let _ = kernel.client().update(FlowKey::original(original(number)), &update);
            }
            Step::Delete(number) => drop(kernel.client().delete(FlowKey::original(original(number)))),
            Step::DeleteAll => drop(kernel.client().delete_all()),
            Step::Packet { number, is_reply } => {
                let tuple = original(number);
                kernel.packet(&if is_reply { tuple.inverted().unwrap() } else { tuple }, 100).unwrap();
            }
            Step::Advance(seconds) => kernel.advance(Duration::from_secs(seconds)),
            Step::LoseEvents => kernel.overrun(),
            Step::Inject(fault) => kernel.inject(fault),
            Step::Audit => self.mirror.audit(),
            Step::Read(times) => (0..times).for_each(|_| _ = self.read()),
            Step::Settle => self.settle(),
        }
    }

    /// Reads a change. Returns whether there was one, or an error, after which there may be more.
    fn read(&mut self) -> bool {
        match self.mirror.try_next() {
            Ok(None) => false,
            Ok(Some(change)) => {
                self.follow(change);
                true
            }
            Err(_) => true,
        }
    }

    fn follow(&mut self, Change { kind, flow, .. }: Change) {
        let before = match kind {
            ChangeKind::Vanished => self.followed.remove(&key(&flow)),
            _ => self.followed.insert(key(&flow), known(&flow)),
        };
        assert_eq!(before.is_none(), kind == ChangeKind::Appeared, "{kind} {flow:?}");
    }

    /// Reads until the mirror has completed that many dumps and has nothing to do any more.
    fn read_until_quiet(&mut self, dumps: u64) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            while self.read() {}
            if self.mirror.table().is_synchronized() && self.mirror.dumps() >= dumps && !self.read() {
                break;
            }
            assert!(Instant::now() < patience, "never quiet: {:?}", self.mirror.table());
            let due = self.mirror.next_deadline().map(|due| due.saturating_duration_since(Instant::now()));
            thread::sleep(due.unwrap_or_default().min(Duration::from_millis(20)));
        }
    }

    fn settle(&mut self) {
        self.read_until_quiet(1);
        if self.events_suffice {
            self.check();
        }
        // The first audit may have begun before the last change.
        for _ in 0..2 {
            self.mirror.audit();
            self.read_until_quiet(self.mirror.dumps() + 1);
        }
        self.check();
    }

    fn check(&self) {
        let kernel: BTreeMap<_, _> = self.kernel.flows().iter().map(|flow| (key(flow), known(flow))).collect();
        let flows: Vec<_> = self.mirror.table().iter().map(|entry| entry.to_flow()).collect();
        let table: BTreeMap<_, _> = flows.iter().map(|flow| (key(flow), known(flow))).collect();
        assert_eq!(table, kernel);
        assert_eq!(self.followed, kernel);
        assert_eq!(self.mirror.table().len(), kernel.len());
    }
}

/// A world and its steps.
fn stories(faults: Vec<Fault>) -> impl Strategy<Value = (u8, Vec<u16>, usize, usize, bool, Vec<Step>)> {
    let buffers = select(vec![0, 1280, 4 * 1280, 1 << 20]);
    (1..=2_u8, vec(1..=FLOWS, 0..3), buffers, 1..4_usize, any::<bool>(), steps(faults))
}

fn check((events, begun, buffer, entries, on_threads, steps): (u8, Vec<u16>, usize, usize, bool, Vec<Step>)) {
    let mut world = World::new(events, &begun, buffer, entries, on_threads);
    steps.iter().for_each(|step| world.take(step));
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mirror_equals_the_kernel_at_each_quiet_point(story in stories(vec![Fault::RepeatEntries])) {
        check(story);
    }
}

/// A mirror waits for a second after a failed dump, so many mirrors wait at the same time.
#[test]
fn mirror_equals_the_kernel_after_failed_dumps() {
    let mut faults = vec![Fault::LoseReply, Fault::NoReply, Fault::SendFails(Errno::ENOBUFS)];
    faults.extend([Errno::EBUSY, Errno::EPERM, Errno::ENOMEM].map(Fault::Refuse));
    faults.extend([0, 1, 3].map(|after| Fault::EndDump { after, errno: Errno::EINTR }));
    thread::scope(|scope| {
        for _ in 0..32 {
            let faults = faults.clone();
            scope.spawn(|| {
                let config = ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() };
                let run = TestRunner::new(config).run(&stories(faults), |story| {
                    check(story);
                    Ok(())
                });
                run.unwrap_or_else(|error| panic!("{error}"));
            });
        }
    });
}

/// Linux 5.4 cannot select a family, so the mirror dumps the table as before.
#[test]
fn dumps_on_threads_need_a_partition_of_the_whole_table() {
    let open = |kernel: &FakeKernel| Mirror::new(kernel.event_socket(EventGroups::FLOWS), kernel.client()).unwrap();
    let kernel = FakeKernel::new();
    let error = open(&kernel).dump_in_parts(&Partition::zones([0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for kernel in [kernel, FakeKernel::builder().linux(4, 19).build()] {
        let mut mirror = open(&kernel).dump_in_parts(&Partition::families()).unwrap();
        kernel.packet(&original(1), 100).unwrap();
        mirror.synchronize().unwrap();
        assert_eq!(mirror.table().len(), 1);
    }
}

/// The kernel sends an event without labels, like any event of another change.
#[test]
fn loss_of_all_labels_is_found_by_an_audit() {
    let mut world = World::new(1, &[1], 1 << 20, 3, false);
    for labels in [1, 0] {
        world.take(&Step::Update { number: 1, mark: 0, labels });
        world.read_until_quiet(1);
    }
    let labels =
        |world: &World| world.mirror.table().get(FlowKey::original(original(1))).unwrap().labels().unwrap_or_default();
    assert_eq!((labels(&world), world.kernel.flows()[0].labels), (Labels(1), None));
    world.mirror.audit();
    world.read_until_quiet(2);
    assert_eq!(labels(&world), Labels(0));
}

/// The identifier of the new flow is that of the old one, and the dump had passed its place before it began.
#[test]
fn flow_whose_end_was_lost_leaves_nothing_to_the_next() {
    let mut world = World::new(1, &[], 0, 2, false);
    for step in [
        Step::Create { number: 4, zone: None, timeout: 1 },
        Step::Update { number: 4, mark: 0, labels: 1 },
        Step::Read(3),
        Step::Packet { number: 6, is_reply: false },
        Step::Delete(4),
        Step::Read(2),
        Step::Packet { number: 4, is_reply: false },
        Step::Read(1),
    ] {
        world.take(&step);
    }
    world.settle();
}
