//! The codec against its peers, on recorded messages.
//!
//! Compare figures of one run only, since the load of the machine changes between runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../tests/support/recordings.rs"]
mod recordings;

use std::{hint::black_box, net::IpAddr};

use criterion::{Criterion, criterion_group, criterion_main};
use ctnetlink::{
    DecodeError, Flow, FlowRef, FlowTimes, Helper, Labels, SequenceAdjustment, Synproxy, Timestamp,
    wire::{AttributeSet, CTA_COUNTERS_REPLY, CTA_TIMESTAMP, Encoder, Flags, MessageType, Messages, RawMessage},
};
use netlink_bindings::conntrack::{ConntrackAttrs, IterableTupleAttrs};
use netlink_packet_core::NetlinkMessage;
use netlink_packet_netfilter::NetfilterMessage;

/// A TCP flow in a dump of Linux 6.18, in 240 bytes: tuples, status, mark, id, use, timeout, protocol information and the
/// counters of one direction. Counters of the other direction and the start time are removed from the recording.
fn tcp() -> Vec<u8> {
    let tcp = recorded("vectors-dump", |flow| flow.tcp_state().is_some() && flow.helper.is_none());
    let tcp = without(&tcp, &[CTA_COUNTERS_REPLY, CTA_TIMESTAMP]);
    assert_eq!(tcp.len(), 240);
    tcp
}

/// An ICMPv6 query in a dump of Linux 6.18. Its tuple is walked attribute by attribute.
fn icmpv6() -> Vec<u8> {
    recorded("vectors-dump", |flow| flow.original.protocol == ctnetlink::Protocol::ICMPV6)
}

/// An UPDATE event of a TCP flow, whose attributes are in another order than in a dump.
fn event() -> Vec<u8> {
    recorded("vectors-events", |flow| flow.tcp_state().is_some() && flow.counters_original.is_none())
}

/// A flow with every attribute.
fn full() -> Vec<u8> {
    let mut flow = flow(&recorded("vectors-dump", |flow| flow.tcp_state().is_some())).unwrap();
    flow.zone = Some(1);
    flow.times = Some(FlowTimes::new(Timestamp(1), Some(Timestamp(2))));
    flow.event_time = Some(Timestamp(3));
    flow.helper = Some(Helper::new("ftp"));
    flow.labels = Some(Labels(1 << 5));
    flow.security_context = Some("system_u:object_r:unlabeled_t:s0".into());
    flow.master = Some(flow.original);
    flow.sequence_adjustment_original = Some(SequenceAdjustment::default());
    flow.sequence_adjustment_reply = Some(SequenceAdjustment::default());
    flow.synproxy = Some(Synproxy::default());
    let mut buffer = vec![0; 1024];
    let length = encode(&flow, &mut buffer);
    buffer.truncate(length);
    buffer
}

/// Returns the first recorded flow that the predicate accepts.
fn recorded(name: &str, fits: impl Fn(&Flow) -> bool) -> Vec<u8> {
    let mut messages = recordings::recorded(name).into_iter();
    messages.find(|bytes| flow(bytes).is_ok_and(|flow| fits(&flow))).unwrap()
}

/// Returns the message without those attributes.
fn without(bytes: &[u8], numbers: &[u16]) -> Vec<u8> {
    let message = message(bytes).unwrap();
    let mut shorter = bytes[..20].to_vec();
    for attribute in message.netfilter().unwrap().attributes(AttributeSet::Flow).map(Result::unwrap) {
        if !numbers.contains(&attribute.number()) {
            let start = 20 + attribute.position();
            shorter.extend_from_slice(&bytes[start..start + (4 + attribute.payload().len()).next_multiple_of(4)]);
        }
    }
    let length = shorter.len() as u32;
    shorter[..4].copy_from_slice(&length.to_ne_bytes());
    shorter
}

type Decoded<T> = Result<T, DecodeError>;

fn message(bytes: &[u8]) -> Decoded<RawMessage<'_>> {
    Messages::new(bytes).next().unwrap()
}

fn flow(bytes: &[u8]) -> Decoded<Flow> {
    Flow::decode(&message(bytes)?)
}

fn view(bytes: &[u8]) -> Decoded<FlowRef<'_>> {
    FlowRef::parse(&message(bytes)?)
}

fn encode(flow: &Flow, buffer: &mut [u8]) -> usize {
    let mut encoder = Encoder::new(buffer);
    encoder.message(MessageType::FLOW_NEW, Flags::REQUEST, 1, flow.family(), |body| flow.encode(body));
    encoder.finish().unwrap()
}

/// Consumes a result in place. Returning it to criterion would also time a copy.
fn used<T>(result: &T) {
    black_box(result);
}

/// The fields that the peers are asked for too.
fn tuples_and_status(bytes: &[u8]) -> Decoded<()> {
    let flow = view(bytes)?;
    black_box(&flow.original().to_tuple());
    black_box(&flow.reply().to_tuple());
    black_box(flow.status());
    Ok(())
}

mod netlink_bindings_peer {
    use super::{ConntrackAttrs, IpAddr, IterableTupleAttrs, black_box};

    type Ends = (IpAddr, IpAddr, u8, u16, u16);

    pub(super) fn tuples_and_status(bytes: &[u8]) {
        let flow = ConntrackAttrs::new(&bytes[20..]);
        black_box(&tuple(&flow.get_tuple_orig().unwrap()));
        black_box(&tuple(&flow.get_tuple_reply().unwrap()));
        black_box(flow.get_status().unwrap());
    }

    fn tuple(tuple: &IterableTupleAttrs<'_>) -> Ends {
        let ip = tuple.get_tuple_ip().unwrap();
        let protocol = tuple.get_tuple_proto().unwrap();
        (
            ip.get_ip_v4_src().unwrap().into(),
            ip.get_ip_v4_dst().unwrap().into(),
            protocol.get_proto_num().unwrap(),
            protocol.get_proto_src_port().unwrap(),
            protocol.get_proto_dst_port().unwrap(),
        )
    }

    /// Reads the top level alone, because nests are returned as iterators.
    pub(super) fn attributes(bytes: &[u8]) {
        for attribute in ConntrackAttrs::new(&bytes[20..]) {
            let _ = black_box(attribute.unwrap());
        }
    }
}

fn decode(criterion: &mut Criterion) {
    let bytes = tcp();
    let mut group = criterion.benchmark_group("decode tcp");
    group.bench_function("owned", |bench| bench.iter(|| used(&flow(black_box(&bytes)))));
    group.bench_function("view, tuples and status", |bench| bench.iter(|| used(&tuples_and_status(black_box(&bytes)))));
    group.bench_function("view", |bench| bench.iter(|| used(&view(black_box(&bytes)))));
    group.bench_function("netlink-packet-netfilter", |bench| {
        bench.iter(|| used(&NetlinkMessage::<NetfilterMessage>::deserialize(black_box(&bytes))))
    });
    group.bench_function("netlink-bindings, tuples and status", |bench| {
        bench.iter(|| netlink_bindings_peer::tuples_and_status(black_box(&bytes)))
    });
    group.bench_function("netlink-bindings, top level", |bench| {
        bench.iter(|| netlink_bindings_peer::attributes(black_box(&bytes)))
    });
    group.finish();
    for (name, bytes) in [("decode icmpv6", icmpv6()), ("decode event", event()), ("decode full", full())] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("owned", |bench| bench.iter(|| used(&flow(black_box(&bytes)))));
        group.bench_function("view, tuples and status", |bench| {
            bench.iter(|| used(&tuples_and_status(black_box(&bytes))))
        });
        group.bench_function("netlink-packet-netfilter", |bench| {
            bench.iter(|| used(&NetlinkMessage::<NetfilterMessage>::deserialize(black_box(&bytes))))
        });
        group.finish();
    }
}

fn encode_flow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut buffer = [0; 1024];
    for (name, bytes) in [("tcp", tcp()), ("icmpv6", icmpv6()), ("full", full())] {
        let flow = flow(&bytes).unwrap();
        group.bench_function(name, |bench| bench.iter(|| encode(black_box(&flow), &mut buffer)));
    }
    group.finish();
}

criterion_group!(benches, decode, encode_flow);
criterion_main!(benches);
