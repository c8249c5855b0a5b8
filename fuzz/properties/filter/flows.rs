//! Flows with so few values that filters match often.

use std::net::IpAddr;

use ctnetlink::{
    Counters, DccpInfo, DccpRole, DccpState, Flow, FlowTimes, GreKeys, Helper, Labels, Layer4, Protocol, ProtocolInfo,
    SctpInfo, SctpState, Status, TcpInfo, TcpState, Timestamp, Tuple,
};

use super::Source;

const ADDRESSES4: [[u8; 4]; 5] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 1, 1], [192, 0, 2, 1], [255; 4]];
const ADDRESSES6: [[u16; 8]; 5] = [
    [0xfd00, 0, 0, 0, 0, 0, 0, 1],
    [0xfd00, 0, 0, 0, 0, 0, 0, 2],
    [0xfd00, 0, 0, 1, 0, 0, 0, 1],
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1],
    [0; 8],
];

pub fn address(source: &mut Source<'_>, is_ipv6: bool) -> IpAddr {
    if is_ipv6 { source.pick(&ADDRESSES6).into() } else { source.pick(&ADDRESSES4).into() }
}

pub fn port(source: &mut Source<'_>) -> u16 {
    source.pick(&[0, 22, 23, 80, 443, 65535])
}

pub fn protocol(source: &mut Source<'_>) -> Protocol {
    source.pick(&[
        Protocol::TCP,
        Protocol::UDP,
        Protocol::ICMP,
        Protocol::ICMPV6,
        Protocol::SCTP,
        Protocol::GRE,
        Protocol::DCCP,
        Protocol(50),
    ])
}

pub fn bits(source: &mut Source<'_>) -> u32 {
    match source.below(3) {
        0 => source.below(8) as u32,
        1 => 1 << source.below(16),
        _ => source.u32(),
    }
}

pub fn tuple(source: &mut Source<'_>) -> Tuple {
    let (is_ipv6, protocol) = (source.bool(), protocol(source));
    tuple_of(source, is_ipv6, protocol)
}

fn tuple_of(source: &mut Source<'_>, is_ipv6: bool, protocol: Protocol) -> Tuple {
    let mut tuple = Tuple::new(protocol, address(source, is_ipv6), address(source, is_ipv6));
    tuple.layer4 = layer4(source, protocol);
    tuple
}

fn layer4(source: &mut Source<'_>, protocol: Protocol) -> Layer4 {
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => {
            let types = if protocol == Protocol::ICMP { [0, 8, 13] } else { [128, 129, 139] };
            Layer4::Icmp { icmp_type: source.pick(&types), code: source.pick(&[0, 1]), id: source.pick(&[0, 1, 2]) }
        }
        Protocol::GRE => Layer4::Gre(GreKeys { source: port(source), destination: port(source) }),
        // Tuples have no ports if the kernel has no tracker for the protocol.
        Protocol::SCTP | Protocol::DCCP if source.below(6) == 0 => Layer4::None,
        _ if protocol.has_ports() => Layer4::Ports { source: port(source), destination: port(source) },
        _ => Layer4::None,
    }
}

fn protocol_info(source: &mut Source<'_>) -> ProtocolInfo {
    match source.below(3) {
        0 => TcpInfo::new(TcpState(source.below(11) as u8)).into(),
        1 => {
            let state = SctpState(source.below(11) as u8);
            SctpInfo::new(state, source.below(3) as u32, source.below(3) as u32).into()
        }
        _ => DccpInfo::new(DccpState(source.below(11) as u8), DccpRole(source.below(2) as u8), 7).into(),
    }
}

fn counters(source: &mut Source<'_>) -> Counters {
    Counters::new(source.below(5) as u64, source.below(5) as u64)
}

fn times(source: &mut Source<'_>) -> FlowTimes {
    let time = |seconds: usize| Timestamp(seconds as u64 * 1_000_000_000 + 5);
    FlowTimes::new(time(90 + source.below(9)), source.option(|source| time(92 + source.below(10))))
}

/// Any flow that a message can hold.
pub fn flow(source: &mut Source<'_>) -> Flow {
    let original = tuple(source);
    let plain = original.inverted().unwrap_or(original);
    let is_ipv6 = original.source.is_ipv6();
    let reply = if source.bool() { tuple_of(source, is_ipv6, original.protocol) } else { plain };
    let mut flow = Flow::new(original, reply);
    let zone = |source: &mut Source<'_>| source.option(|source| source.pick(&[0, 1, 2]));
    (flow.zone, flow.original.zone, flow.reply.zone) = (zone(source), zone(source), zone(source));
    flow.status = source.option(bits).map(Status::from_bits_retain);
    flow.mark = source.option(bits);
    flow.id = source.option(|source| source.pick(&[0, 1, 2, 3, 4]));
    flow.timeout = source.option(|source| source.pick(&[0, 1, 2, 3, 4]));
    flow.protocol_info = source.option(protocol_info);
    flow.counters_original = source.option(counters);
    flow.counters_reply = source.option(counters);
    flow.times = source.option(times);
    flow.labels = source.option(|source| Labels(source.u8().into()));
    flow.helper = source.option(|source| Helper::new(source.pick(&["ftp", "sip", "a \"b\" \\"])));
    flow
}

/// Returns the flow as the kernel dumps it, and its zone, which may count in both directions or in one.
pub fn entry(mut flow: Flow, source: &mut Source<'_>) -> (Flow, u16) {
    let id = source.pick(&[0, 1, 2]);
    let (original, reply) = source.pick(&[(true, true), (true, false), (false, true)]);
    let named = |named: bool| (named && id != 0).then_some(id);
    flow.zone = named(original && reply);
    flow.original.zone = named(original && !reply);
    flow.reply.zone = named(reply && !original);
    flow.status = Some(flow.status.unwrap_or_default());
    flow.mark = Some(flow.mark.unwrap_or(0));
    (flow, id)
}
