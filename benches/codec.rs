//! The codec against its peers, on one recorded TCP flow.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ctnetlink::{
    Flow, FlowRef,
    wire::{Encoder, Flags, MessageType, Messages},
};
use netlink_packet_core::NetlinkMessage;
use netlink_packet_netfilter::NetfilterMessage;

/// A TCP flow as Linux 6.18 dumps it, of 240 bytes: tuples, status, mark, id, use, timeout, protocol information and
/// counters of one direction.
fn dumped() -> Vec<u8> {
    include_str!("../tests/data/vectors-dump.jsonl")
        .lines()
        .map(|line| hex(line.split('"').rev().nth(1).unwrap()))
        .find(|message| message.get(0x3c) == Some(&6) || message.windows(4).any(|bytes| bytes == [0x30, 0, 4, 0x80]))
        .unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn decode(criterion: &mut Criterion) {
    let bytes = dumped();
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    let flow = Flow::decode(&message).unwrap();
    eprintln!("{} bytes: {flow:?}", bytes.len());
    let mut group = criterion.benchmark_group("decode");
    group.bench_function("owned", |bench| {
        bench.iter(|| {
            let message = Messages::new(black_box(&bytes)).next().unwrap().unwrap();
            Flow::decode(&message).unwrap()
        })
    });
    group.bench_function("view, both tuples and status", |bench| {
        bench.iter(|| {
            let message = Messages::new(black_box(&bytes)).next().unwrap().unwrap();
            let flow = FlowRef::parse(&message).unwrap();
            (flow.original().to_tuple(), flow.reply().to_tuple(), flow.status())
        })
    });
    group.bench_function("view parsed", |bench| {
        bench.iter(|| {
            let message = Messages::new(black_box(&bytes)).next().unwrap().unwrap();
            FlowRef::parse(&message).unwrap()
        })
    });
    group.bench_function("netlink-packet-netfilter", |bench| {
        bench.iter(|| NetlinkMessage::<NetfilterMessage>::deserialize(black_box(&bytes)).unwrap())
    });
    group.finish();
    let mut buffer = [0; 512];
    criterion.bench_function("encode/flow", |bench| {
        bench.iter(|| {
            let mut encoder = Encoder::new(&mut buffer);
            encoder.message(MessageType::FLOW_NEW, Flags::REQUEST, 1, 2, |body| black_box(&flow).encode(body));
            encoder.finish().unwrap()
        })
    });
}

criterion_group!(benches, decode);
criterion_main!(benches);
