//! Filters with a few terms and with large sets, on one recorded TCP flow.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../tests/support/recordings.rs"]
mod recordings;

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use criterion::{Criterion, criterion_group, criterion_main};
use ctnetlink::{
    DecodeError, Filter, FlowRef, Protocol, Tuple,
    filter::{AddressSet, Capabilities, SocketFilter},
    wire::Messages,
};

use self::recordings::recorded;

/// A TCP flow as Linux 6.18 dumps it.
fn dumped() -> Vec<u8> {
    let is_tcp = |bytes: &Vec<u8>| view(bytes).is_ok_and(|flow| flow.original().protocol() == Protocol::TCP);
    recorded("vectors-dump").into_iter().find(is_tcp).unwrap()
}

fn view(bytes: &[u8]) -> Result<FlowRef<'_>, DecodeError> {
    FlowRef::parse(&Messages::new(bytes).next().unwrap()?)
}

/// Returns 10,000 addresses without neighbors.
fn many() -> AddressSet {
    (0..10_000_u32).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + 7 * number)).collect()
}

fn matching(criterion: &mut Criterion) {
    let bytes = dumped();
    let flow = view(&bytes).unwrap();
    eprintln!("{} bytes: {flow:?}", bytes.len());
    let port = flow.original().destination_port().unwrap();
    let source = flow.original().source();
    let ends: SocketAddr = "10.0.0.1:1".parse().unwrap();
    let tuples = (0..10_000).map(|port| Tuple::tcp(SocketAddr::new(source, port), ends));
    let ipv6: AddressSet = (0..10_000).map(|number| Ipv6Addr::from_bits(7 * number)).collect();
    let mut group = criterion.benchmark_group("filter");
    for (name, filter) in [
        ("three terms", format!("proto tcp and dport {port} and not status DYING").parse().unwrap()),
        ("three terms, both tuples", format!("proto tcp and reply-port-src 1-65535 and src {source}").parse().unwrap()),
        ("state and counters", "tcp-state SYN_SENT-SYN_SENT2 and bytes >= 0".parse().unwrap()),
        ("one address", Filter::source(source)),
        ("one address of 10,000", Filter::source(many())),
        ("one address of 10,000, either side", Filter::any_address(many())),
        ("one address of 20,000, both families", Filter::source(many()) | Filter::source(ipv6)),
        ("one tuple of 10,000", Filter::tuples(tuples)),
    ] {
        eprintln!("{name}: {}", filter.matches(&flow));
        group.bench_function(name, |bench| bench.iter(|| black_box(&filter).matches(black_box(&flow))));
    }
    group.finish();
}

fn preparing(criterion: &mut Criterion) {
    let filter: Filter = "proto tcp and dport 22 and src 10.0.0.0/8 and not assured".parse().unwrap();
    let capabilities = Capabilities::linux(6, 18);
    let large = Filter::source(many());
    let mut group = criterion.benchmark_group("filter, to prepare");
    group.bench_function("parse", |bench| bench.iter(|| black_box("proto tcp and dport 22").parse::<Filter>()));
    group.bench_function("plan", |bench| bench.iter(|| black_box(&filter).plan(&capabilities).dumps().len()));
    group.bench_function("compile", |bench| bench.iter(|| SocketFilter::new(black_box(&filter))));
    group.bench_function("compile 10,000 addresses", |bench| bench.iter(|| SocketFilter::new(black_box(&large))));
    group.finish();
}

criterion_group!(benches, matching, preparing);
criterion_main!(benches);
