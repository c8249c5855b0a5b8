//! Compares the fake kernel with the running kernel: the same requests must lead to the same answers, tables and events.

use std::{cell::RefCell, collections::BTreeSet, fmt::Debug, fs, net::IpAddr, thread, time::Duration};

use ctnetlink::{
    Client, CpuStatistics, DccpInfo, Direction, Error, Event, EventGroups, EventSocket, Expectation, ExpectationFlags,
    ExpectationNat, Family, Filter, Flow, FlowKey, FlowUpdate, Helper, Labels, Layer4, MaskedLabels, MaskedMark,
    MaskedTcpFlags, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState, SequenceAdjustment, Status,
    Synproxy, TcpFlags, TcpInfo, TcpState, Timestamp, Tuple,
    fake::{FakeKernel, FakeKernelBuilder},
    filter::Capabilities,
    request::{
        CreateExpectation, DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlushFlows, Table, UpdateFlow,
    },
    sysctl,
};
use proptest::{
    option,
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestError, TestRunner},
};

use crate::{cases, lab::Lab};

cases! {
    requests_have_the_same_answers_and_events: FakedKernel;
    every_extension_is_kept_alike: FakedKernel;
    expectations_are_kept_alike: FakedKernel;
    translation_chooses_alike;
    capabilities_are_probed_alike;
    packets_are_tracked_alike: "ip", "nft";
}

/// A kernel, its client and its events.
struct World {
    client: Client,
    events: EventSocket,
    /// The statistics before the first step.
    before: [u32; 2],
}

fn settings(lab: &Lab, extensions: bool) {
    if extensions {
        lab.allow_labels();
        lab.sysctl(sysctl::ACCOUNTING, 1);
        lab.sysctl(sysctl::TIMESTAMP, 1);
    }
}

/// A builder for a fake of the kernel that runs the tests.
fn builder() -> FakeKernelBuilder {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap());
    FakeKernel::builder().linux(numbers.next().unwrap(), numbers.next().unwrap())
}

fn fake(extensions: bool) -> World {
    let mut builder = builder();
    if extensions {
        builder = builder.labels(true).accounting(true).timestamps(true);
    }
    fake_world(&builder.build())
}

fn fake_world(kernel: &FakeKernel) -> World {
    let events = kernel.event_socket(EventGroups::FLOWS | EventGroups::EXPECTATIONS);
    World { client: kernel.client(), events, before: [0; 2] }
}

fn real(lab: &Lab) -> World {
    let builder = EventSocket::builder(EventGroups::FLOWS | EventGroups::EXPECTATIONS);
    World { client: lab.client(), events: builder.receive_buffer(4 << 20).open().unwrap(), before: [0; 2] }
}

/// The results of a step.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    answer: Vec<String>,
    events: BTreeSet<String>,
    table: BTreeSet<String>,
    expectations: BTreeSet<String>,
}

/// The lines that only one of the two contains.
fn difference(fake: &Seen, kernel: &Seen) -> String {
    let lines = |Seen { answer, events, table, expectations }: &Seen| -> BTreeSet<String> {
        let answer = answer.iter().map(|line| format!("answer {line}"));
        let events = events.iter().map(|line| format!("event {line}"));
        let table = table.iter().map(|line| format!("flow {line}"));
        answer.chain(events).chain(table).chain(expectations.iter().cloned()).collect()
    };
    let (fake, kernel) = (lines(fake), lines(kernel));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>().join("\n");
    format!("only the fake:\n{}\nonly the kernel:\n{}", only(&fake, &kernel), only(&kernel, &fake))
}

fn text(value: impl Debug) -> String {
    format!("{value:?}")
}

fn refusal(error: &Error) -> String {
    let details = error.kernel().map(|error| (error.errno(), error.text(), error.attribute()));
    format!("{:?} {details:?}", error.kind())
}

/// The timeout that the flow was given. The real clock advances while the test runs.
fn settled(seconds: u32) -> u32 {
    const GIVEN: [u32; 9] = [30, 100, 180, 300, 600, 1000, 5000, 432_000, 8_589_934];
    GIVEN.into_iter().find(|given| (given.saturating_sub(60)..=*given).contains(&seconds)).unwrap_or(seconds)
}

/// Removes values that depend on the time or on addresses in the kernel's memory.
fn compared(mut flow: Flow) -> Flow {
    flow.id = None;
    flow.timeout = flow.timeout.map(settled);
    if let Some(times) = &mut flow.times {
        times.start = times.start.map(|_| Timestamp(1));
        times.stop = times.stop.map(|_| Timestamp(2));
    }
    flow.event_time = flow.event_time.map(|_| Timestamp(3));
    if flow.status.is_some_and(|status| status.intersects(Status::SRC_NAT | Status::DST_NAT)) {
        forget_random_ports(&mut flow.reply.layer4);
    }
    flow
}

/// Replaces random ports by the lowest port of the range that the kernel chooses from.
fn forget_random_ports(layer4: &mut Layer4) {
    let Layer4::Ports { source, destination } = layer4 else { return };
    for port in [source, destination] {
        *port = match *port {
            1000 | 2000 | 3000 => *port,
            0..512 => 1,
            512..1024 => 600,
            1024.. => 1024,
        };
    }
}

fn compared_expectation(mut expectation: Expectation) -> Expectation {
    expectation.id = None;
    expectation.timeout = expectation.timeout.map(settled);
    expectation
}

impl World {
    fn take(&mut self, step: &Step) -> Seen {
        let answer = self.carry_out(step).unwrap_or_else(|error| vec![refusal(&error)]);
        Seen { answer, events: self.events(), table: self.table(), expectations: self.expectations() }
    }

    fn events(&mut self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut add = |text: String| {
            // The same event twice would be lost in a set.
            let count = (0..).find(|count| !seen.contains(&format!("{count} {text}"))).unwrap();
            seen.insert(format!("{count} {text}"));
        };
        while let Some(event) = self.events.try_next().unwrap() {
            let kind = event.kind();
            match event {
                Event::New(event) | Event::Update(event) | Event::Destroy(event) => {
                    let flow = compared(event.flow);
                    add(format!("{kind:?} by request {} {flow:?}", event.port_id.is_some()));
                }
                Event::ExpectationNew(event) | Event::ExpectationDestroy(event) => {
                    let expectation = compared_expectation(event.expectation);
                    add(format!("{kind:?} by request {} {expectation:?}", event.port_id.is_some()));
                }
                other => add(text(other)),
            }
        }
        seen
    }

    /// How many flows were inserted, and how many could not be.
    fn counts(&mut self) -> [u32; 2] {
        let processors = self.client.cpu_statistics().unwrap();
        let sum = |count: fn(&CpuStatistics) -> Option<u32>| processors.iter().filter_map(count).sum();
        [sum(|cpu| cpu.insert), sum(|cpu| cpu.insert_failed)]
    }

    /// How many flows there are. A deleted flow is counted until its last reference is gone, and a reader of
    /// `/proc/net/nf_conntrack` in any namespace holds one for a moment (`ct_seq_show` takes it before it compares the
    /// namespace).
    fn settled_entries(&mut self) -> Result<Option<u32>, Error> {
        for _ in 0..20 {
            let entries = self.client.statistics()?.entries;
            if entries.is_none_or(|entries| entries as usize <= self.flows().len()) {
                return Ok(entries);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(self.client.statistics()?.entries)
    }

    fn flows(&mut self) -> Vec<Flow> {
        self.client.dump().unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn table(&mut self) -> BTreeSet<String> {
        self.flows().into_iter().map(|flow| text(compared(flow))).collect()
    }

    fn expectations(&mut self) -> BTreeSet<String> {
        let dump = self.client.dump_expectations(&DumpExpectations::all()).unwrap();
        dump.map(|expectation| text(compared_expectation(expectation.unwrap()))).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(NewFlow),
    Update(Key, FlowUpdate),
    Get(Key),
    GetAndZero(Key),
    Delete(Key),
    DumpMatching(&'static str),
    DumpTable(Table, Family, bool),
    DeleteMatching(&'static str),
    FlushFamily(Family),
    Batch(Vec<Self>),
    CreateExpectation(Expectation),
    GetExpectation(ExpectationKey, Id),
    DeleteExpectation(ExpectationKey, Id),
    ExpectationsOf(Tuple, Option<u16>),
    DeleteExpectationsOf(&'static str),
    FlushExpectations,
    Statistics,
}

/// A key with an identifier, which differs between the two kernels.
#[derive(Clone, Copy, Debug)]
struct Key(FlowKey, Id);

#[derive(Clone, Copy, Debug)]
enum Id {
    None,
    Right,
    Wrong,
}

impl Id {
    fn of(self, found: Option<u32>) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Right => found.or(Some(1)),
            Self::Wrong => Some(found.unwrap_or(1) ^ 1),
        }
    }
}

impl World {
    fn carry_out(&mut self, step: &Step) -> Result<Vec<String>, Error> {
        let client = &mut self.client;
        match step {
            Step::Create(flow) => client.create(flow)?,
            Step::Update(key, update) => {
                let key = self.key(key);
                self.client.update(key, update)?;
            }
            Step::Get(Key(key, _)) => return Ok(vec![text(client.get(*key)?.map(compared))]),
            Step::GetAndZero(Key(key, _)) => {
                return Ok(vec![text(client.get_and_zero_counters(*key)?.map(compared))]);
            }
            Step::Delete(key) => {
                let key = self.key(key);
                self.client.delete(key)?;
            }
            Step::DumpMatching(filter) => return self.dump_matching(filter),
            Step::DumpTable(table, family, zero_counters) => {
                let mut request = DumpFlows::new().of_family(*family).of_table(*table);
                if *zero_counters {
                    request = request.and_zero_counters();
                }
                let flows = client.dump_with(&request)?;
                return sorted(flows.map(|flow| flow.map(compared)));
            }
            Step::DeleteMatching(filter) => {
                let report = client.delete_matching(&filter.parse().unwrap())?;
                return Ok(vec![format!("{} deleted, {} vanished", report.changed(), report.vanished())]);
            }
            Step::FlushFamily(family) => client.execute(&FlushFlows::of_family(*family))?,
            Step::Batch(steps) => return self.batch(steps),
            Step::CreateExpectation(expectation) => client.create_expectation(expectation)?,
            Step::GetExpectation(key, id) => {
                let key = self.expectation_key(*key, *id);
                return Ok(vec![text(self.client.get_expectation(key)?.map(compared_expectation))]);
            }
            Step::DeleteExpectation(key, id) => {
                let key = self.expectation_key(*key, *id);
                self.client.delete_expectation(key)?;
            }
            Step::ExpectationsOf(master, zone) => {
                let mut request = DumpExpectations::of_master(*master);
                if let Some(zone) = zone {
                    request = request.in_zone(*zone);
                }
                let expectations = client.dump_expectations(&request)?;
                return sorted(expectations.map(|found| found.map(compared_expectation)));
            }
            Step::DeleteExpectationsOf(helper) => client.delete_expectations_of(helper)?,
            Step::FlushExpectations => client.delete_all_expectations()?,
            Step::Statistics => {
                let entries = self.settled_entries()?;
                let ([inserted, failed], [inserted_before, failed_before]) = (self.counts(), self.before);
                return Ok(vec![text((entries, inserted - inserted_before, failed - failed_before))]);
            }
        }
        Ok(Vec::new())
    }

    /// Completes a key with the identifier of its flow.
    fn key(&mut self, Key(key, id): &Key) -> FlowKey {
        let found = match id {
            Id::None => None,
            _ => self.client.get(*key).ok().flatten().and_then(|flow| flow.id),
        };
        let mut key = *key;
        key.id = id.of(found);
        key
    }

    fn expectation_key(&mut self, key: ExpectationKey, id: Id) -> ExpectationKey {
        let found = match id {
            Id::None => None,
            _ => self.client.get_expectation(key).ok().flatten().and_then(|found| found.id),
        };
        match id.of(found) {
            Some(id) => key.with_id(id),
            None => key,
        }
    }

    fn dump_matching(&mut self, filter: &str) -> Result<Vec<String>, Error> {
        let filter: Filter = filter.parse().unwrap();
        let mut flows = Vec::new();
        for filter in filter.plan(&Capabilities::linux(6, 18)).dumps() {
            let dump = self.client.dump_with(&DumpFlows::new().matching(*filter))?;
            flows.extend(sorted(dump.map(|flow| flow.map(compared)))?);
        }
        flows.sort_unstable();
        Ok(flows)
    }

    fn batch(&mut self, steps: &[Step]) -> Result<Vec<String>, Error> {
        let mut batch = self.client.batch();
        for step in steps {
            let pushed = match step {
                Step::Create(flow) => batch.push(flow),
                Step::CreateExpectation(expectation) => batch.push(&CreateExpectation::new(expectation)),
                Step::Update(Key(key, _), update) => batch.push(&UpdateFlow::new(*key, update)),
                Step::Delete(Key(key, _)) => batch.push(&DeleteFlow::new(*key)),
                _ => Ok(()),
            };
            // Encoding fails the same way for both.
            pushed.unwrap_or_default();
        }
        let report = batch.finish()?;
        Ok(report
            .failures()
            .iter()
            .map(|(place, error)| format!("{place} {} {:?}", error.errno(), error.text()))
            .collect())
    }
}

fn sorted<T: Debug>(items: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<String>, Error> {
    let mut items = items.map(|item| Ok(text(item?))).collect::<Result<Vec<_>, Error>>()?;
    items.sort_unstable();
    Ok(items)
}

fn address(last: u8, is_v4: bool) -> IpAddr {
    if is_v4 { IpAddr::from([10, 0, 0, last]) } else { format!("fd00::{last}").parse().unwrap() }
}

/// Tuples of few addresses and ports, which therefore clash often.
fn tuple() -> BoxedStrategy<Tuple> {
    let ports = || select(vec![1000_u16, 2000]);
    let protocols = select(vec![6_u8, 17, 132, 136, 47, 50, 33, 1]);
    let types = || select(vec![0_u8, 8, 3, 128, 129]);
    (any::<bool>(), 1..3_u8, 1..4_u8, protocols, (ports(), ports()), types())
        .prop_map(|(is_v4, source, destination, protocol, (source_port, destination_port), icmp_type)| {
            let (source, destination) = (address(source, is_v4), address(destination, is_v4));
            match Protocol(protocol) {
                Protocol::ICMP => Tuple::icmp(source, destination, icmp_type, 0, source_port),
                Protocol::GRE => Tuple::gre(source, destination, source_port, destination_port),
                Protocol(50) => Tuple::new(Protocol(50), source, destination),
                other => Tuple::with_ports(other, (source, source_port).into(), (destination, destination_port).into()),
            }
        })
        .boxed()
}

/// TCP and UDP over IPv4.
fn usual_tuple() -> BoxedStrategy<Tuple> {
    (1..3_u8, 2..4_u8, any::<bool>(), select(vec![1000_u16, 2000]))
        .prop_map(|(source, destination, is_tcp, from)| {
            let protocol = if is_tcp { Protocol::TCP } else { Protocol::UDP };
            Tuple::with_ports(protocol, (address(source, true), from).into(), (address(destination, true), 2000).into())
        })
        .boxed()
}

fn any_tuple() -> BoxedStrategy<Tuple> {
    prop_oneof![1 => tuple(), 4 => usual_tuple()].boxed()
}

fn zone() -> BoxedStrategy<Option<u16>> {
    prop_oneof![12 => Just(None), 1 => Just(Some(0)), 3 => Just(Some(7)), 1 => Just(Some(8))].boxed()
}

fn status() -> BoxedStrategy<Status> {
    let bits = vec![
        Status::SEEN_REPLY,
        Status::ASSURED,
        Status::FIXED_TIMEOUT,
        Status::HELPER,
        Status::OFFLOAD,
        Status::EXPECTED,
        Status::DYING,
    ];
    prop_oneof![
        3 => subsequence(vec![Status::SEEN_REPLY, Status::ASSURED], 0..=2).prop_map(|bits| bits.into_iter().collect()),
        1 => subsequence(bits, 0..=2).prop_map(|bits| bits.into_iter().collect()),
    ]
    .boxed()
}

fn protocol_info() -> BoxedStrategy<ProtocolInfo> {
    let flags = || {
        option::of((any::<u8>(), any::<u8>()).prop_map(|(flags, mask)| MaskedTcpFlags {
            flags: TcpFlags::from_bits_retain(flags),
            mask: TcpFlags::from_bits_retain(mask),
        }))
    };
    let scale = || option::of(0..17_u8);
    let tcp = (option::of(0..12_u8), scale(), scale(), flags(), flags()).prop_map(|(state, original, reply, a, b)| {
        let mut info = TcpInfo::default();
        info.state = state.map(TcpState);
        (info.window_scale_original, info.window_scale_reply) = (original, reply);
        (info.flags_original, info.flags_reply) = (a, b);
        ProtocolInfo::from(info)
    });
    let sctp = (option::weighted(0.9, 0..11_u8), option::weighted(0.9, any::<u32>())).prop_map(|(state, tag)| {
        let mut info = SctpInfo::default();
        info.state = state.map(SctpState);
        (info.verification_tag_original, info.verification_tag_reply) = (tag, Some(3));
        ProtocolInfo::from(info)
    });
    prop_oneof![4 => tcp, 1 => sctp, 1 => Just(DccpInfo::default().into())].boxed()
}

fn helper() -> BoxedStrategy<Helper> {
    select(vec!["ftp", "tftp", "sip", "irc", "", "nothing"]).prop_map(Helper::new).boxed()
}

fn range() -> BoxedStrategy<NatRange> {
    let address = prop_oneof![Just(None), (1..5_u8).prop_map(Some)];
    (address, option::of(select(vec![1000_u16, 2000, 3000])))
        .prop_map(|(last, port)| {
            let mut range = match last {
                Some(last) => NatRange::address(IpAddr::from([10, 0, 0, last])),
                None => NatRange::keep_address(),
            };
            if let Some(port) = port {
                range = range.port(port);
            }
            range
        })
        .boxed()
}

fn rarely<S: Strategy + 'static>(strategy: S) -> BoxedStrategy<Option<S::Value>>
where
    S::Value: Clone,
{
    option::weighted(0.15, strategy).boxed()
}

fn adjustment() -> BoxedStrategy<SequenceAdjustment> {
    (any::<u32>(), any::<i32>())
        .prop_map(|(correction_position, offset)| SequenceAdjustment {
            correction_position,
            offset_before: offset,
            offset_after: -(offset / 2),
        })
        .boxed()
}

fn synproxy() -> BoxedStrategy<Synproxy> {
    any::<u32>()
        .prop_map(|number| Synproxy { initial_sequence: number, initial_timestamp: 2, timestamp_offset: 3 })
        .boxed()
}

fn labels() -> BoxedStrategy<Labels> {
    select(vec![0_u128, 1, 1 << 64, u128::MAX]).prop_map(Labels).boxed()
}

fn new_flow() -> BoxedStrategy<NewFlow> {
    let tuples = prop_oneof![
        5 => any_tuple().prop_map(|original| (original, original.inverted().unwrap_or(original))),
        1 => (any_tuple(), any_tuple()),
        2 => usual_tuple().prop_map(|original| {
            let mut reply = original.inverted().unwrap();
            reply.source = address(3, true);
            (original, reply)
        }),
    ];
    let zones = (zone(), rarely(1..9_u16), rarely(1..9_u16));
    let usual = (select(vec![100_u32, 600, 5000, 90_000_000]), status(), option::of(0..3_u32), any::<bool>());
    let rest = (rarely(protocol_info()), rarely(helper()), rarely(labels()), rarely(usual_tuple()));
    let nat = (rarely(range()), rarely(range()));
    let odd = (rarely(adjustment()), rarely(adjustment()), rarely(synproxy()));
    (tuples, zones, usual, rest, nat, odd)
        .prop_map(|(tuples, zones, usual, rest, nat, odd)| {
            let (original, reply) = tuples;
            let (zone, original_zone, reply_zone) = zones;
            let (timeout, status, mark, or_update) = usual;
            let mut flow = NewFlow::new(original, reply, timeout);
            flow.zone = zone;
            if zone.unwrap_or(0) == 0 {
                flow.original.zone = original_zone;
                flow.reply.zone = reply_zone;
            }
            (flow.status, flow.mark, flow.or_update) = (status, mark, or_update);
            (flow.protocol_info, flow.helper, flow.labels, flow.master) = rest;
            (flow.snat, flow.dnat) = nat;
            (flow.sequence_adjustment_original, flow.sequence_adjustment_reply, flow.synproxy) = odd;
            flow
        })
        .boxed()
}

fn key() -> BoxedStrategy<Key> {
    let direction = prop_oneof![3 => Just(Direction::Original), 1 => Just(Direction::Reply)];
    let id = prop_oneof![3 => Just(Id::None), 2 => Just(Id::Right), 1 => Just(Id::Wrong)];
    (any_tuple(), direction, zone(), rarely(1..9_u16), id)
        .prop_map(|(tuple, direction, zone, own, id)| {
            let mut key = match direction {
                Direction::Original => FlowKey::original(tuple),
                Direction::Reply => FlowKey::reply(tuple.inverted().unwrap_or(tuple)),
            };
            (key.zone, key.tuple.zone) = (zone, own.filter(|_| zone.is_none()));
            Key(key, id)
        })
        .boxed()
}

fn update() -> BoxedStrategy<FlowUpdate> {
    let usual = (option::of((0..4_u32, select(vec![u32::MAX, 1, 0]))), option::of(select(vec![100_u32, 600])));
    let rest = (rarely(status()), rarely((labels(), labels())), rarely(protocol_info()), rarely(helper()));
    let odd = (rarely(adjustment()), rarely(adjustment()), rarely(synproxy()));
    (usual, rest, odd)
        .prop_map(|((mark, timeout), (status, labels, info, helper), odd)| {
            let mut update = FlowUpdate::new();
            update.mark = mark.map(|(mark, mask)| MaskedMark { mark, mask });
            (update.timeout, update.status) = (timeout, status);
            update.labels = labels.map(|(labels, mask)| MaskedLabels { labels, mask });
            (update.protocol_info, update.helper) = (info, helper);
            (update.sequence_adjustment_original, update.sequence_adjustment_reply, update.synproxy) = odd;
            update
        })
        .boxed()
}

const FILTERS: &[&str] = &[
    "proto tcp",
    "proto udp and dport 1000",
    "src 10.0.0.1",
    "src 10.0.0.1 and reply-src 10.0.0.3 and proto tcp and sport 2000",
    "dst 10.0.0.3 and proto 50",
    "mark 1",
    "mark 2/2",
    "assured",
    "not assured and mark 0",
    "zone 7",
    "zone 7 and proto udp",
    "family ipv6",
    "family ipv6 and proto udp",
    "proto icmp",
    "not mark 1",
];

fn flow_step() -> BoxedStrategy<Step> {
    let family = || select(vec![Family::UNSPEC, Family::IPV4, Family::IPV6]);
    let table = select(vec![Table::Conntrack, Table::Dying, Table::Unconfirmed]);
    prop_oneof![
        12 => new_flow().prop_map(Step::Create),
        6 => (key(), update()).prop_map(|(key, update)| Step::Update(key, update)),
        3 => key().prop_map(Step::Get),
        1 => key().prop_map(Step::GetAndZero),
        4 => key().prop_map(Step::Delete),
        3 => select(FILTERS).prop_map(Step::DumpMatching),
        1 => (table, family(), any::<bool>()).prop_map(|(table, family, zero)| Step::DumpTable(table, family, zero)),
        1 => select(FILTERS).prop_map(Step::DeleteMatching),
        1 => family().prop_map(Step::FlushFamily),
        2 => Just(Step::Statistics),
    ]
    .boxed()
}

fn step() -> BoxedStrategy<Step> {
    let command = prop_oneof![
        3 => new_flow().prop_map(Step::Create),
        1 => (key(), update()).prop_map(|(key, update)| Step::Update(key, update)),
        1 => key().prop_map(Step::Delete),
    ];
    prop_oneof![20 => flow_step(), 1 => proptest::collection::vec(command, 0..6).prop_map(Step::Batch)].boxed()
}

/// A flow that may be a master, mostly with a helper.
fn master() -> BoxedStrategy<NewFlow> {
    let helper = prop_oneof![4 => Just("ftp"), 1 => Just("sip"), 1 => Just("irc")];
    (master_tuple(), option::weighted(0.8, helper), zone(), 0..3_u32)
        .prop_map(|(tuple, helper, zone, mark)| {
            let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
            (flow.zone, flow.mark, flow.helper) = (zone, Some(mark), helper.map(Helper::new));
            flow
        })
        .boxed()
}

fn master_tuple() -> BoxedStrategy<Tuple> {
    (any::<bool>(), select(vec![1000_u16, 2000]))
        .prop_map(|(is_v4, port)| Tuple::tcp((address(1, is_v4), port).into(), (address(2, is_v4), 21).into()))
        .boxed()
}

fn expected_tuple() -> BoxedStrategy<Tuple> {
    (any::<bool>(), select(vec![0_u16, 5000]), select(vec![4000_u16, 4001]))
        .prop_map(|(is_v4, from, to)| Tuple::tcp((address(2, is_v4), from).into(), (address(1, is_v4), to).into()))
        .boxed()
}

fn expectation() -> BoxedStrategy<Expectation> {
    let masks = (any::<bool>(), any::<bool>());
    let flags = rarely(0..12_u32);
    let rest = (flags, rarely(0..4_u32), rarely(select(vec!["ftp", "sip", "nothing", "0123456789abcdef"])));
    let nat = rarely((any::<bool>(), expected_tuple()));
    let function = rarely(select(vec!["nat-follow-master", "unknown"]));
    let odd = (zone(), nat, function, rarely(Just(1000_u32)));
    (master_tuple(), expected_tuple(), masks, rest, odd)
        .prop_map(|(master, tuple, masks, rest, odd)| {
            let (flags, class, helper) = rest;
            let (zone, nat, function, timeout) = odd;
            let is_v4 = tuple.source.is_ipv4();
            let ones = if is_v4 { IpAddr::from([0xff; 4]) } else { IpAddr::from([0xff; 16]) };
            let none = if is_v4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            let source = if masks.0 { ones } else { none };
            let mask = Tuple::tcp((source, if masks.1 { 0xffff } else { 0 }).into(), (ones, 0xffff).into());
            let mut expectation = Expectation::new(master, tuple, mask);
            expectation.flags = flags.map(ExpectationFlags::from_bits_retain);
            (expectation.class, expectation.helper) = (class, helper.map(Into::into));
            (expectation.zone, expectation.timeout) = (zone, timeout);
            expectation.function = function.map(Into::into);
            expectation.nat = nat.map(|(is_reply, tuple)| ExpectationNat {
                direction: if is_reply { Direction::Reply } else { Direction::Original },
                tuple,
            });
            expectation
        })
        .boxed()
}

fn expectation_step() -> BoxedStrategy<Step> {
    let id = || prop_oneof![3 => Just(Id::None), 2 => Just(Id::Right), 1 => Just(Id::Wrong)];
    let key = || {
        (expected_tuple(), zone()).prop_map(|(tuple, zone)| {
            let key = ExpectationKey::new(tuple);
            zone.map_or(key, |zone| key.in_zone(zone))
        })
    };
    let no_helper = FlowUpdate::new().remove_helper();
    prop_oneof![
        4 => master().prop_map(Step::Create),
        8 => expectation().prop_map(Step::CreateExpectation),
        2 => (key(), id()).prop_map(|(key, id)| Step::GetExpectation(key, id)),
        2 => (key(), id()).prop_map(|(key, id)| Step::DeleteExpectation(key, id)),
        2 => (master_tuple(), zone()).prop_map(|(master, zone)| Step::ExpectationsOf(master, zone)),
        1 => select(vec!["ftp", "sip", "nothing"]).prop_map(Step::DeleteExpectationsOf),
        1 => Just(Step::FlushExpectations),
        2 => master_tuple().prop_map(|tuple| Step::Delete(Key(FlowKey::original(tuple), Id::None))),
        1 => master_tuple()
            .prop_map(move |tuple| Step::Update(Key(FlowKey::original(tuple), Id::None), no_helper.clone())),
    ]
    .boxed()
}

/// Runs random steps against both kernels. `FAKE_PARITY` in the environment multiplies the number of cases.
fn compare(lab: &Lab, cases: u32, extensions: bool, step: impl Strategy<Value = Step>) {
    settings(lab, extensions);
    let cases = cases * std::env::var("FAKE_PARITY").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let real = RefCell::new(real(lab));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 1500, ..Config::default() };
    let steps = proptest::collection::vec(step, 1..24);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut real = real.borrow_mut();
        real.client.delete_all().unwrap();
        real.client.delete_all_expectations().unwrap();
        real.events();
        real.before = real.counts();
        let mut fake = fake(extensions);
        for step in &steps {
            let expected = real.take(step);
            let found = fake.take(step);
            prop_assert!(found == expected, "{}", difference(&found, &expected));
        }
        Ok(())
    });
    match result {
        Err(TestError::Fail(difference, steps)) => {
            let steps: Vec<String> = steps.iter().map(text).collect();
            panic!("{difference}\nafter:\n{}", steps.join("\n"));
        }
        result => result.unwrap_or_else(|failure| panic!("{failure}")),
    }
}

fn requests_have_the_same_answers_and_events(lab: &Lab) {
    compare(lab, 100, false, step());
}

fn every_extension_is_kept_alike(lab: &Lab) {
    compare(lab, 100, true, step());
}

fn expectations_are_kept_alike(lab: &Lab) {
    compare(lab, 100, true, expectation_step());
}

/// Creates flows that compete for few translated addresses and ports.
fn translation_chooses_alike(lab: &Lab) {
    let flow = (usual_tuple(), option::of(range()), option::of(range()), zone()).prop_map(
        |(tuple, source, destination, zone)| {
            let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
            (flow.snat, flow.dnat, flow.zone) = (source, destination, zone);
            Step::Create(flow)
        },
    );
    compare(lab, 100, false, flow);
}

fn capabilities_are_probed_alike(lab: &Lab) {
    let (mut real, mut fake) = (real(lab), fake(false));
    assert_eq!(fake.client.capabilities().unwrap(), real.client.capabilities().unwrap());
    assert_eq!((fake.events(), fake.table()), (real.events(), real.table()));
}

/// A question and an answer over UDP, an echo, and a TCP handshake.
fn packets_are_tracked_alike(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.sysctl(sysctl::TIMESTAMP, 1);
    lab.track_loopback();
    let mut real = real(lab);
    let kernel = builder().accounting(true).timestamps(true).build();
    let mut fake = fake_world(&kernel);
    let pass = |tuple: Tuple, bytes: [u64; 3]| {
        let packets = [tuple, tuple.inverted().unwrap(), tuple];
        for (tuple, bytes) in packets.iter().zip(bytes).filter(|(_, bytes)| *bytes > 0) {
            kernel.packet(tuple, bytes).unwrap();
        }
    };
    let mut compare = |what: &str| {
        // The tracker reads windows and options from TCP headers, which the fake kernel does not have.
        let plain = |text: String| match text.split_once("window_scale_original") {
            Some((before, _)) => before.to_owned(),
            None => text,
        };
        let seen = |world: &mut World| -> Vec<BTreeSet<String>> {
            [world.events(), world.table()].map(|lines| lines.into_iter().map(plain).collect()).into()
        };
        assert_eq!(seen(&mut fake), seen(&mut real), "{what}");
    };
    let (here, there) = lab.udp("127.0.0.1:0");
    pass(Tuple::udp(here, there), [31, 34, 0]);
    compare("UDP");
    let (client, _server) = lab.tcp("127.0.0.1:0");
    let connection = Tuple::tcp(client.local_addr().unwrap(), client.peer_addr().unwrap());
    pass(connection, [60, 60, 52]);
    compare("TCP");
    let loopback = IpAddr::from([127, 0, 0, 1]);
    lab.ping(loopback);
    pass(Tuple::icmp(loopback, loopback, 8, 0, 0x1234), [28, 28, 0]);
    compare("ICMP");
}
