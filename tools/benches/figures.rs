//! The figures of README.md: processor time and memory of each program, and of conntrackd 1.4.7.
//!
//! `cargo bench -p ctnetlink-tools` measures everything, with `-- ipfix` one program. The limit on flows is raised for the
//! time of the measurement. Processor time counts, not time: other jobs may use the machine too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub, dead_code)]

#[path = "../tests/support/network.rs"]
mod network;
#[path = "../tests/conntrackd/peers.rs"]
mod peers;

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{Client, FlowKey, NewFlow, TcpState, request::DeleteFlow, sysctl};
use network::{Namespace, Program, Usage, command, run, until};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use peers::{End, Kind, Peer, host};

/// Flows that exist at once for the figures of memory.
const MANY: u32 = 1_000_000;

fn main() {
    let wanted = env::args().find(|argument| ["conntrackd", "ipfix", "top"].contains(&argument.as_str()));
    let _limit = Limit::raise();
    for (name, measure) in [("conntrackd", conntrackd as fn()), ("ipfix", ipfix), ("top", top)] {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            measure();
        }
    }
}

/// The limit on flows, which is as it was in the end.
struct Limit(u32);

impl Limit {
    fn raise() -> Self {
        let limit = sysctl::MAX.read().unwrap();
        sysctl::MAX.write(limit.max(2 * MANY)).unwrap();
        Self(limit)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = sysctl::MAX.write(self.0);
    }
}

fn flow(number: u32) -> NewFlow {
    let client = SocketAddr::from((Ipv4Addr::from(0x0a10_0000 + number / 50_000), 1000 + (number % 50_000) as u16));
    NewFlow::tcp(client, SocketAddr::from(([198, 51, 100, 80], 443)), TcpState::ESTABLISHED).timeout(3000)
}

/// A flow whose source is translated.
fn translated(number: u32) -> NewFlow {
    let flow = flow(number);
    let port = flow.original.source_port().unwrap();
    flow.snat(SocketAddr::from(([198, 51, 100, (number / 50_000) as u8], port)))
}

fn create(client: &mut Client, flow: fn(u32) -> NewFlow, numbers: std::ops::Range<u32>) {
    let mut batch = client.batch();
    numbers.for_each(|number| batch.push(&flow(number)).unwrap());
    let report = batch.finish().unwrap();
    assert_eq!(report.failures().first(), None);
}

fn delete(client: &mut Client, numbers: std::ops::Range<u32>) {
    let mut batch = client.batch();
    numbers.for_each(|number| batch.push(&DeleteFlow::new(FlowKey::original(flow(number).original))).unwrap());
    assert_eq!(batch.finish().unwrap().failures().first(), None);
}

/// Does a hundred steps a second, for so many seconds. Returns the steps a second that were done.
fn paced(seconds: u32, mut step: impl FnMut(u32)) -> f64 {
    let begun = Instant::now();
    for number in 0..seconds * 100 {
        step(number);
        let planned = begun + Duration::from_millis(10) * (number + 1);
        thread::sleep(planned.saturating_duration_since(Instant::now()));
    }
    f64::from(seconds * 100) / begun.elapsed().as_secs_f64()
}

/// Flows that live for a second. Returns the flows a second.
fn churn(client: &mut Client, flow: fn(u32) -> NewFlow, flows_a_second: u32, seconds: u32) -> f64 {
    let size = flows_a_second / 100;
    let steps = paced(seconds, |step| {
        create(client, flow, step * size..(step + 1) * size);
        if let Some(old) = step.checked_sub(100) {
            delete(client, old * size..(old + 1) * size);
        }
    });
    delete(client, (seconds - 1) * flows_a_second..seconds * flows_a_second);
    steps * f64::from(size)
}

/// Milliseconds of processor time for 10,000 of something.
fn cost(before: Usage, after: Usage, count: u32) -> f64 {
    (after.processor - before.processor).as_secs_f64() * 1e7 / f64::from(count)
}

fn megabytes(kilobytes: u64) -> u64 {
    kilobytes * 1024 / 1_000_000
}

/// Two daemons of the same kind.
fn conntrackd() {
    for kind in [Kind::Ours, Kind::Conntrackd] {
        let hosts = [host(), host()];
        hosts[0].connect("sync0", "10.77.0.1/24", &hosts[1], "sync1", "10.77.0.2/24");
        let end = |side: usize, interface, address, peer| End { host: &hosts[side], interface, address, peer };
        let ends = [end(0, "sync0", "10.77.0.1", "10.77.0.2"), end(1, "sync1", "10.77.0.2", "10.77.0.1")];
        let peers = ends.each_ref().map(|end| Peer::start(kind, end, "ftfw"));
        until("both daemons", || peers.iter().all(Peer::is_up));
        thread::sleep(Duration::from_secs(3));
        let mut client = hosts[0].client();
        for rate in [10_000, 20_000] {
            let before = peers.each_ref().map(Peer::usage);
            let seconds = 10;
            let done = churn(&mut client, flow, rate, seconds);
            thread::sleep(Duration::from_secs(2));
            let after = peers.each_ref().map(Peer::usage);
            let [sender, receiver] = [0, 1].map(|side| cost(before[side], after[side], rate * seconds));
            println!("{kind:?}: {done:.0} flows/s: for 10,000 flows, sender {sender:.0} ms, receiver {receiver:.0} ms");
        }
        let before = peers.each_ref().map(Peer::usage);
        paced(MANY / 25_000, |step| create(&mut client, flow, step * 250..(step + 1) * 250));
        thread::sleep(Duration::from_secs(3));
        until("all flows", || peers[1].external_count() == MANY as usize);
        let after = peers.each_ref().map(Peer::usage);
        for (side, name) in ["sender", "receiver"].into_iter().enumerate() {
            let (memory, peak) = (megabytes(after[side].memory), megabytes(after[side].peak_memory));
            println!(
                "{kind:?}: {name}, {MANY} flows: {memory} MB (most {peak} MB), {:.0} ms for 10,000 flows",
                cost(before[side], after[side], MANY)
            );
        }
        let before = peers[1].usage();
        let begun = Instant::now();
        peers[1].commit();
        let elapsed = begun.elapsed();
        println!(
            "{kind:?}: commit of {MANY} flows: {elapsed:.1?}, {:.0} ms for 10,000 flows",
            cost(before, peers[1].usage(), MANY)
        );
    }
}

fn ipfix() {
    let namespace = Namespace::new();
    // Without a rule that needs connection tracking, nothing is translated.
    namespace.nft("table ip t { chain c { type nat hook postrouting priority srcnat; }; }");
    let collector = namespace.inside(|| UdpSocket::bind("127.0.0.1:9995").unwrap());
    setsockopt(&collector, RcvBufForce, &(256 << 20)).unwrap();
    let mut client = namespace.client();
    for (rate, seconds) in [(10_000, 10), (20_000, 10), (40_000, 5), (80_000, 5), (160_000, 5)] {
        let mut exporter = command(env!("CARGO_BIN_EXE_ipfix"));
        exporter.arg("127.0.0.1:9995").stderr(Stdio::piped());
        let mut exporter = namespace.inside(|| Program::start(&mut exporter));
        exporter.until_says("exporting");
        let before = exporter.usage();
        let done = churn(&mut client, translated, rate / 2, seconds);
        thread::sleep(Duration::from_secs(2));
        let (after, summary) = (exporter.usage(), exporter.finish());
        let cost = cost(before, after, rate * seconds);
        println!(
            "ipfix: {:.0} events/s: {cost:.0} ms for 10,000 events, {} KiB, {}",
            done * 2.0,
            after.peak_memory,
            summary.trim()
        );
    }
}

fn top() {
    let namespace = Namespace::new();
    namespace.sysctl("netfilter/nf_conntrack_acct", 1);
    let mut client = namespace.client();
    // tmux is a terminal of 80 columns and 24 lines.
    let tmux = |arguments: &str| run(&format!("tmux -L ctnetlink-figures {arguments}"));
    let program = format!("{} --interval 2", env!("CARGO_BIN_EXE_top"));
    namespace.inside(|| tmux(&format!("-u -f /dev/null new-session -d -x 80 -y 24 {program}")));
    let process = tmux("display-message -p #{pane_pid}").trim().parse().unwrap();
    thread::sleep(Duration::from_secs(2));
    let before = Usage::of(process);
    let rate = churn(&mut client, flow, 10_000, 10);
    let cost = cost(before, Usage::of(process), 200_000);
    println!("top: {:.0} events/s: {cost:.0} ms for 10,000 events", rate * 2.0);
    (0..MANY / 1000).for_each(|step| create(&mut client, flow, step * 1000..(step + 1) * 1000));
    thread::sleep(Duration::from_secs(10));
    let before = Usage::of(process);
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(20));
    let after = Usage::of(process);
    let share = (after.processor - before.processor).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "top: {MANY} flows: {:.0} % of a processor, {} MB (most {} MB)",
        share * 100.0,
        megabytes(after.memory),
        megabytes(after.peak_memory)
    );
    println!("{}", tmux("capture-pane -p"));
    tmux("kill-server");
}
