//! Memory and time of the table of a mirror, without a kernel.
//!
//! `cargo bench -p ctnetlink-benches --bench mirror_table [-- FLOWS]` fills tables of 1,000,000 and of 10,000,000 flows by
//! default. Each table has a process of its own, so that no table takes memory that another one has returned.
//!
//! The tuples are in random order. The times are those of the public calls: `apply` of an event by reference, which copies
//! the flow into the change that it yields, `get`, and a walk. Events and keys are made in batches before the clock starts:
//! making them takes as long as a call, and the processor would do both at the same time. It also overlaps the look-ups of
//! a batch. `lone` is the time of a look-up that begins when the flow before it is known, and `access` that of one read that
//! is in no cache and begins when the word before it is known: how fast the memory of the machine is at this moment.
//!
//! All are processor time of the thread: other programs on the machine do not count as a pause.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{
    env,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use ctnetlink::{
    Change, Counters, Event, Flow, FlowKey, FlowTable, FlowTimes, Labels, MaskedTcpFlags, ProtocolInfo, Status,
    TcpFlags, TcpInfo, TcpState, Timestamp, Tuple, events::FlowEvent,
};
use rustix::time::{ClockId, clock_gettime};

use support::{asked, resident_bytes};

/// Names the kind of flow to the process that measures it.
const KIND: &str = "CTNETLINK_KIND_OF_FLOW";
const KINDS: [(&str, Kind); 5] = [
    ("IPv4 TCP", |_| {}),
    ("IPv4 TCP, translated", |flow| flow.reply.destination = translated(flow.reply.destination)),
    ("IPv4 TCP, start time", |flow| flow.times = Some(FlowTimes::new(Timestamp(1_795_400_621_401_066_000), None))),
    ("IPv4 TCP, labels", |flow| flow.labels = Some(Labels(8))),
    ("IPv6 TCP", |flow| (flow.original, flow.reply) = (mapped(flow.original), mapped(flow.reply))),
];

const FIGURES: [&str; 10] = [
    "bytes",
    "insert ns",
    "longest us",
    "get ns",
    "lone ns",
    "miss ns",
    "walk ns",
    "update ns",
    "remove ns",
    "access ns",
];

/// Events or keys that are made before the clock starts: so many that reading the clock takes less than 2 ns for each, and
/// so few that they stay in a cache that is close to the processor.
const BATCH: u32 = 256;

/// Turns an ordinary flow into one of that kind.
type Kind = fn(&mut Flow);

fn main() {
    if let Ok(name) = env::var(KIND) {
        let kind = KINDS.iter().find(|(known, _)| *known == name).unwrap().1;
        return measure(&name, kind, asked().unwrap());
    }
    println!("{:<22} {:>10} {}", "flows", "", FIGURES.map(|name| format!("{name:>10}")).concat());
    for flows in asked().map_or(vec![1_000_000, 10_000_000], |flows| vec![flows]) {
        for (name, _) in KINDS.iter().take(if flows > 1_000_000 { 1 } else { KINDS.len() }) {
            let mut child = Command::new(env::current_exe().unwrap());
            assert!(child.env(KIND, name).arg(flows.to_string()).status().unwrap().success());
        }
    }
}

fn measure(name: &str, kind: Kind, flows: u32) {
    let before = resident_bytes();
    let mut table = FlowTable::new();
    let insert = apply_all(&mut table, flows, |number| Event::New(FlowEvent::new(flow(number, kind))));
    let bytes = resident_bytes() - before;
    assert_eq!(table.len(), flows as usize);

    // In another order than that of insertion.
    let key = |at: u32| {
        let number = mixed(at.wrapping_mul(0x9e37_79b1) % flows);
        let flow = flow(number, kind);
        let key = if number.is_multiple_of(2) { FlowKey::original(flow.original) } else { FlowKey::reply(flow.reply) };
        (key, flow.mark.unwrap())
    };
    let get = in_batches(flows, key, |keys| keys.iter().for_each(|(key, _)| assert!(table.get(*key).is_some())));
    let lone = in_batches(flows, key, |keys| {
        let end = keys.iter().fold(0, |at, _| {
            let (key, mark) = keys[at];
            // The same as `at + 1`, but only the flow shows it.
            at + 1 + (table.get(key).unwrap().mark().unwrap() - mark) as usize
        });
        assert_eq!(end, keys.len());
    });
    let missing = |at: u32| FlowKey::original(flow(mixed(flows + at), kind).original);
    let miss = in_batches(flows, missing, |keys| keys.iter().for_each(|key| assert!(table.get(*key).is_none())));
    let walk = time(|| assert_eq!(black_box(table.count_by(|entry| entry.tcp_state())).len(), 1));
    let update = apply_all(&mut table, flows, |number| Event::Update(FlowEvent::new(flow(number, kind))));
    let remove = apply_all(&mut table, flows, |number| Event::Destroy(FlowEvent::new(flow(number, kind))));
    assert!(table.is_empty());
    drop(table);
    let longest = longest_insertion(kind, flows) * 1e6;
    let each = |seconds: f64| seconds * 1e9 / f64::from(flows);
    let [insert, get, lone, miss, walk] = [insert, get, lone, miss, walk].map(each);
    let [update, remove, access] = [update, remove, accesses(flows)].map(each);
    let bytes = bytes as f64 / f64::from(flows);
    let figures = [bytes, insert, longest, get, lone, miss, walk, update, remove, access];
    println!("{name:<22} {flows:>10} {}", figures.map(|figure| format!("{figure:>10.0}")).concat());
}

/// Applies an event of each flow and returns the time of that.
fn apply_all(table: &mut FlowTable, flows: u32, event: impl Fn(u32) -> Event) -> f64 {
    in_batches(flows, |at| event(mixed(at)), |events| events.iter().for_each(|event| table.apply(event, &mut Discard)))
}

/// Makes an item from each number below `flows`, passes the items on in batches and returns the time of `work` alone.
fn in_batches<T>(flows: u32, make: impl Fn(u32) -> T, mut work: impl FnMut(&[T])) -> f64 {
    let mut items = Vec::with_capacity(BATCH as usize);
    let batches = (0..flows).step_by(BATCH as usize).map(|first| first..flows.min(first + BATCH));
    let times = batches.map(|numbers| {
        items.clear();
        items.extend(numbers.map(&make));
        time(|| work(black_box(&items)))
    });
    times.sum()
}

/// Reads as much memory as the flows take, at random places, each of which depends on the last: the time
/// that the machine needs at this moment for data that is in no cache.
fn accesses(flows: u32) -> f64 {
    let words = flows as usize * 16;
    let memory: Vec<u64> = (0..words as u64).collect();
    time(|| {
        let last = (0..flows).fold(0_u64, |at, number| {
            let next = mixed(number ^ at as u32 & 1) as usize % words;
            memory[next]
        });
        black_box(last);
    })
}

fn longest_insertion(kind: Kind, flows: u32) -> f64 {
    let mut table = FlowTable::new();
    let insertions = (0..flows).map(|number| {
        let event = Event::New(FlowEvent::new(flow(mixed(number), kind)));
        time(|| table.apply(&event, &mut Discard))
    });
    insertions.fold(0.0, f64::max)
}

fn time(work: impl FnOnce()) -> f64 {
    let begin = processor_time();
    work();
    (processor_time() - begin).as_secs_f64()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Shuffles the numbers: a bijection.
const fn mixed(number: u32) -> u32 {
    let number = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let number = (number ^ number >> 15).wrapping_mul(0x846c_a68b);
    number ^ number >> 16
}

fn flow(number: u32, kind: Kind) -> Flow {
    let [port, address @ ..] = number.to_be_bytes();
    let source = Ipv4Addr::new(10, address[0], address[1], address[2]);
    let original = Tuple::tcp((source, 1024 + u16::from(port)).into(), ([192, 0, 2, address[2] & 7], 443).into());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.id = Some(number.wrapping_mul(0x9e37_79b1));
    flow.status = Some(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED);
    (flow.mark, flow.timeout) = (Some(number & 255), Some(432_000));
    let mut info = TcpInfo::new(TcpState::ESTABLISHED);
    (info.window_scale_original, info.window_scale_reply) = (Some(7), Some(9));
    let flags = MaskedTcpFlags { flags: TcpFlags::WINDOW_SCALE | TcpFlags::SACK_PERM, mask: TcpFlags::empty() };
    (info.flags_original, info.flags_reply) = (Some(flags), Some(flags));
    flow.protocol_info = Some(ProtocolInfo::Tcp(info));
    flow.counters_original = Some(Counters::new(169, 14_322));
    flow.counters_reply = Some(Counters::new(113, 3_478_700_123));
    kind(&mut flow);
    flow
}

/// Another address for each.
fn translated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() ^ 0xc000_0000).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn mapped(tuple: Tuple) -> Tuple {
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(address.to_bits())).into(),
        IpAddr::V6(address) => IpAddr::V6(address),
    };
    let end = |ip, port: Option<u16>| SocketAddr::new(address(ip), port.unwrap());
    Tuple::tcp(end(tuple.source, tuple.source_port()), end(tuple.destination, tuple.destination_port()))
}

struct Discard;

impl Extend<Change> for Discard {
    fn extend<T: IntoIterator<Item = Change>>(&mut self, changes: T) {
        changes.into_iter().for_each(drop);
    }
}
