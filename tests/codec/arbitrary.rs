//! Strategies for the values of the model that messages can contain.
//!
//! Large strategies are boxed, because a tree of them would not fit the stack of a test.
#![allow(dead_code)] // Not every test uses all strategies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ctnetlink::{
    Counters, DccpInfo, DccpRole, DccpState, Direction, Expectation, ExpectationFlags, ExpectationNat, Flow, FlowTimes,
    GreKeys, Helper, Labels, Layer4, MaskedTcpFlags, Protocol, ProtocolInfo, SctpInfo, SctpState, SequenceAdjustment,
    Status, Synproxy, TcpFlags, TcpInfo, TcpState, Timestamp, Tuple,
};
use proptest::{collection::vec, option, prelude::*};

/// A tuple of any family and protocol, with the protocol's part.
pub(crate) fn tuple() -> BoxedStrategy<Tuple> {
    (addresses(), protocol_and_layer4(), option::of(any::<u16>()))
        .prop_map(|((source, destination), (protocol, layer4), zone)| {
            let mut tuple = Tuple::new(protocol, source, destination);
            tuple.layer4 = layer4;
            tuple.zone = zone;
            tuple
        })
        .boxed()
}

/// Two addresses of one family.
pub(crate) fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<(u128, u128)>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn protocol_and_layer4() -> impl Strategy<Value = (Protocol, Layer4)> {
    let with_ports = prop_oneof![
        Just(Protocol::TCP),
        Just(Protocol::UDP),
        Just(Protocol::SCTP),
        Just(Protocol::DCCP),
        Just(Protocol::UDPLITE),
    ];
    prop_oneof![
        1 => any::<u8>().prop_map(|number| (Protocol(number), Layer4::None)),
        4 => (with_ports, any::<u16>(), any::<u16>())
            .prop_map(|(protocol, source, destination)| (protocol, Layer4::Ports { source, destination })),
        1 => any::<(u16, u16)>()
            .prop_map(|(source, destination)| (Protocol::GRE, Layer4::Gre(GreKeys { source, destination }))),
        1 => (any::<bool>(), any::<(u8, u8, u16)>()).prop_map(|(six, (icmp_type, code, id))| {
            let protocol = if six { Protocol::ICMPV6 } else { Protocol::ICMP };
            (protocol, Layer4::Icmp { icmp_type, code, id })
        }),
    ]
}

/// Text that an attribute can hold: anything but NUL.
pub(crate) fn text() -> impl Strategy<Value = Box<str>> {
    "[^\0]{0,20}".prop_map(Into::into)
}

pub(crate) fn helper() -> impl Strategy<Value = Helper> {
    (text(), option::of(vec(any::<u8>(), 0..9))).prop_map(|(name, info)| {
        let mut helper = Helper::new(&name);
        helper.info = info.map(Into::into);
        helper
    })
}

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    any::<u128>().prop_map(Labels)
}

pub(crate) fn status() -> impl Strategy<Value = Status> {
    any::<u32>().prop_map(Status::from_bits_retain)
}

pub(crate) fn counters() -> impl Strategy<Value = Counters> {
    any::<(u64, u64)>().prop_map(|(packets, bytes)| Counters { packets, bytes })
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

pub(crate) fn times() -> impl Strategy<Value = FlowTimes> {
    (option::of(timestamp()), option::of(timestamp())).prop_map(|(start, stop)| {
        let mut times = FlowTimes::default();
        times.start = start;
        times.stop = stop;
        times
    })
}

pub(crate) fn sequence_adjustment() -> impl Strategy<Value = SequenceAdjustment> {
    any::<(u32, i32, i32)>().prop_map(|(correction_position, offset_before, offset_after)| SequenceAdjustment {
        correction_position,
        offset_before,
        offset_after,
    })
}

pub(crate) fn synproxy() -> impl Strategy<Value = Synproxy> {
    any::<(u32, u32, u32)>().prop_map(|(initial_sequence, initial_timestamp, timestamp_offset)| Synproxy {
        initial_sequence,
        initial_timestamp,
        timestamp_offset,
    })
}

pub(crate) fn protocol_info() -> BoxedStrategy<ProtocolInfo> {
    prop_oneof![
        3 => tcp_info().prop_map(ProtocolInfo::Tcp),
        1 => sctp_info().prop_map(ProtocolInfo::Sctp),
        1 => dccp_info().prop_map(ProtocolInfo::Dccp),
        1 => Just(ProtocolInfo::Unknown),
    ]
    .boxed()
}

fn tcp_flags() -> impl Strategy<Value = MaskedTcpFlags> {
    any::<(u8, u8)>().prop_map(|(flags, mask)| MaskedTcpFlags {
        flags: TcpFlags::from_bits_retain(flags),
        mask: TcpFlags::from_bits_retain(mask),
    })
}

pub(crate) fn tcp_info() -> impl Strategy<Value = TcpInfo> {
    let scale = || option::weighted(0.8, any::<u8>());
    let flags = || option::weighted(0.8, tcp_flags());
    (option::of(any::<u8>()), scale(), scale(), flags(), flags()).prop_map(|(state, so, sr, fo, fr)| {
        let mut info = TcpInfo::default();
        info.state = state.map(TcpState);
        info.window_scale_original = so;
        info.window_scale_reply = sr;
        info.flags_original = fo;
        info.flags_reply = fr;
        info
    })
}

pub(crate) fn sctp_info() -> impl Strategy<Value = SctpInfo> {
    any::<(Option<u8>, Option<u32>, Option<u32>)>().prop_map(|(state, original, reply)| {
        let mut info = SctpInfo::default();
        info.state = state.map(SctpState);
        info.verification_tag_original = original;
        info.verification_tag_reply = reply;
        info
    })
}

pub(crate) fn dccp_info() -> impl Strategy<Value = DccpInfo> {
    any::<(Option<u8>, Option<u8>, Option<u64>)>().prop_map(|(state, role, sequence)| {
        let mut info = DccpInfo::default();
        info.state = state.map(DccpState);
        info.role = role.map(DccpRole);
        info.handshake_sequence = sequence;
        info
    })
}

/// A flow with any subset of the attributes.
pub(crate) fn flow() -> BoxedStrategy<Flow> {
    let numbers = any::<(Option<u16>, Option<u32>, Option<u32>, Option<u32>, Option<u32>)>();
    let state = (option::of(status()), option::of(protocol_info()), option::of(times()), option::of(timestamp()));
    let counts = (option::of(counters()), option::of(counters()));
    let texts = (option::of(helper()), option::of(labels()), option::of(text()), option::of(tuple()));
    let adjustments = (option::of(sequence_adjustment()), option::of(sequence_adjustment()), option::of(synproxy()));
    (tuple(), tuple(), numbers, state, counts, texts, adjustments)
        .prop_map(|(original, reply, numbers, state, counts, texts, adjustments)| {
            let mut flow = Flow::new(original, reply);
            (flow.zone, flow.timeout, flow.mark, flow.id, flow.use_count) = numbers;
            (flow.status, flow.protocol_info, flow.times, flow.event_time) = state;
            (flow.counters_original, flow.counters_reply) = counts;
            (flow.helper, flow.labels, flow.security_context, flow.master) = texts;
            (flow.sequence_adjustment_original, flow.sequence_adjustment_reply, flow.synproxy) = adjustments;
            flow
        })
        .boxed()
}

/// An expectation with any subset of the attributes.
pub(crate) fn expectation() -> BoxedStrategy<Expectation> {
    let direction = prop_oneof![Just(Direction::Original), Just(Direction::Reply)];
    let nat = (direction, tuple()).prop_map(|(direction, tuple)| ExpectationNat { direction, tuple });
    let numbers = any::<(Option<u32>, Option<u32>, Option<u32>, Option<u16>, Option<u32>)>();
    let texts = (option::of(text()), option::of(text()));
    (tuple(), tuple(), tuple(), numbers, texts, option::of(nat))
        .prop_map(|(master, tuple, mask, (timeout, id, class, zone, flags), texts, nat)| {
            let mut expectation = Expectation::new(master, tuple, mask);
            expectation.timeout = timeout;
            expectation.id = id;
            expectation.class = class;
            expectation.zone = zone;
            expectation.flags = flags.map(ExpectationFlags::from_bits_retain);
            (expectation.helper, expectation.function) = texts;
            expectation.nat = nat;
            expectation
        })
        .boxed()
}
