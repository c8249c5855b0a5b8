//! Values of the model that messages can contain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ctnetlink::{
    Counters, DccpInfo, DccpRole, DccpState, Direction, Expectation, ExpectationFlags, ExpectationNat, Flow, FlowKey,
    FlowTimes, GreKeys, Helper, Labels, Layer4, MaskedTcpFlags, NatRange, Protocol, ProtocolInfo, SctpInfo, SctpState,
    SequenceAdjustment, Status, Synproxy, TcpFlags, TcpInfo, TcpState, Timestamp, Tuple,
};

use super::source::Source;

pub fn address(source: &mut Source<'_>, is_ipv6: bool) -> IpAddr {
    if is_ipv6 { Ipv6Addr::from(source.u128()).into() } else { Ipv4Addr::from(source.u32()).into() }
}

pub fn tuple(source: &mut Source<'_>) -> Tuple {
    let is_ipv6 = source.bool();
    let (protocol, layer4) = protocol(source);
    let mut tuple = Tuple::new(protocol, address(source, is_ipv6), address(source, is_ipv6));
    tuple.layer4 = layer4;
    tuple.zone = source.option(Source::u16);
    tuple
}

fn protocol(source: &mut Source<'_>) -> (Protocol, Layer4) {
    let with_ports = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE];
    match source.below(5) {
        0 => (Protocol(source.u8()), Layer4::None),
        1 | 2 => (source.pick(&with_ports), Layer4::Ports { source: source.u16(), destination: source.u16() }),
        3 => (Protocol::GRE, Layer4::Gre(GreKeys { source: source.u16(), destination: source.u16() })),
        _ => {
            let query = Layer4::Icmp { icmp_type: source.u8(), code: source.u8(), id: source.u16() };
            (source.pick(&[Protocol::ICMP, Protocol::ICMPV6]), query)
        }
    }
}

pub fn helper(source: &mut Source<'_>) -> Helper {
    let mut helper = Helper::new(&source.text());
    helper.info = source.option(|source| source.list(9, Source::u8).into());
    helper
}

pub fn adjustment(source: &mut Source<'_>) -> SequenceAdjustment {
    SequenceAdjustment {
        correction_position: source.u32(),
        offset_before: source.u32() as i32,
        offset_after: source.u32() as i32,
    }
}

pub fn synproxy(source: &mut Source<'_>) -> Synproxy {
    Synproxy { initial_sequence: source.u32(), initial_timestamp: source.u32(), timestamp_offset: source.u32() }
}

fn tcp_flags(source: &mut Source<'_>) -> MaskedTcpFlags {
    let [flags, mask] = source.array().map(TcpFlags::from_bits_retain);
    MaskedTcpFlags { flags, mask }
}

pub fn protocol_info(source: &mut Source<'_>) -> ProtocolInfo {
    match source.below(4) {
        0 => {
            let mut info = TcpInfo::default();
            info.state = source.option(|source| TcpState(source.u8()));
            info.window_scale_original = source.option(Source::u8);
            info.window_scale_reply = source.option(Source::u8);
            info.flags_original = source.option(tcp_flags);
            info.flags_reply = source.option(tcp_flags);
            info.into()
        }
        1 => {
            let mut info = SctpInfo::default();
            info.state = source.option(|source| SctpState(source.u8()));
            info.verification_tag_original = source.option(Source::u32);
            info.verification_tag_reply = source.option(Source::u32);
            info.into()
        }
        2 => {
            let mut info = DccpInfo::default();
            info.state = source.option(|source| DccpState(source.u8()));
            info.role = source.option(|source| DccpRole(source.u8()));
            info.handshake_sequence = source.option(Source::u64);
            info.into()
        }
        _ => ProtocolInfo::Unknown,
    }
}

fn counters(source: &mut Source<'_>) -> Counters {
    Counters::new(source.u64(), source.u64())
}

fn timestamp(source: &mut Source<'_>) -> Timestamp {
    Timestamp(source.u64())
}

fn times(source: &mut Source<'_>) -> FlowTimes {
    let mut times = FlowTimes::default();
    times.start = source.option(timestamp);
    times.stop = source.option(timestamp);
    times
}

/// A flow with any subset of the attributes.
pub fn flow(source: &mut Source<'_>) -> Flow {
    let mut flow = Flow::new(tuple(source), tuple(source));
    flow.zone = source.option(Source::u16);
    flow.status = source.option(Source::u32).map(Status::from_bits_retain);
    flow.timeout = source.option(Source::u32);
    flow.mark = source.option(Source::u32);
    flow.protocol_info = source.option(protocol_info);
    flow.counters_original = source.option(counters);
    flow.counters_reply = source.option(counters);
    flow.times = source.option(times);
    flow.event_time = source.option(timestamp);
    flow.helper = source.option(helper);
    flow.labels = source.option(Source::u128).map(Labels);
    flow.security_context = source.option(Source::text).map(Into::into);
    flow.master = source.option(tuple);
    flow.sequence_adjustment_original = source.option(adjustment);
    flow.sequence_adjustment_reply = source.option(adjustment);
    flow.synproxy = source.option(synproxy);
    flow.id = source.option(Source::u32);
    flow.use_count = source.option(Source::u32);
    flow
}

/// An expectation with any subset of the attributes.
pub fn expectation(source: &mut Source<'_>) -> Expectation {
    let mut expectation = Expectation::new(tuple(source), tuple(source), tuple(source));
    expectation.timeout = source.option(Source::u32);
    expectation.id = source.option(Source::u32);
    expectation.class = source.option(Source::u32);
    expectation.zone = source.option(Source::u16);
    expectation.flags = source.option(Source::u32).map(ExpectationFlags::from_bits_retain);
    expectation.helper = source.option(Source::text).map(Into::into);
    expectation.function = source.option(Source::text).map(Into::into);
    expectation.nat = source.option(|source| ExpectationNat {
        direction: source.pick(&[Direction::Original, Direction::Reply]),
        tuple: tuple(source),
    });
    expectation
}

/// A key that can be sent: it has a zone for both directions, or a zone in its tuple, but not both.
pub fn key(source: &mut Source<'_>) -> FlowKey {
    let tuple = tuple(source);
    let mut key = if source.bool() { FlowKey::original(tuple) } else { FlowKey::reply(tuple) };
    key.zone = source.option(Source::u16).filter(|_| tuple.zone.is_none());
    key
}

pub fn nat_range(source: &mut Source<'_>) -> NatRange {
    let is_ipv6 = source.bool();
    let range = match source.below(3) {
        0 => NatRange::keep_address(),
        1 => NatRange::address(address(source, is_ipv6)),
        _ => {
            let (one, other) = (address(source, is_ipv6), address(source, is_ipv6));
            NatRange::addresses(one.min(other), one.max(other))
        }
    };
    match source.below(3) {
        0 => range,
        1 => range.port(source.u16()),
        _ => {
            let (one, other) = (source.u16(), source.u16());
            range.ports(one.min(other), one.max(other))
        }
    }
}
