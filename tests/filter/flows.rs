//! Random flows, from domains so small that random filters match some of them.

use std::net::IpAddr;

use ctnetlink::{
    Counters, DccpInfo, DccpRole, DccpState, Flow, FlowTimes, GreKeys, Helper, Labels, Layer4, Protocol, ProtocolInfo,
    SctpInfo, SctpState, Status, TcpInfo, TcpState, Timestamp, Tuple,
};
use proptest::{option, prelude::*, sample::select};

pub(crate) fn addresses4() -> impl Strategy<Value = IpAddr> {
    select(vec!["10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.1", "255.255.255.255"])
        .prop_map(|text| text.parse().unwrap())
}

pub(crate) fn addresses6() -> impl Strategy<Value = IpAddr> {
    select(vec!["fd00::1", "fd00::2", "fd00:0:0:1::1", "2001:db8::1", "::"]).prop_map(|text| text.parse().unwrap())
}

pub(crate) fn ports() -> impl Strategy<Value = u16> {
    select(vec![0, 22, 23, 80, 443, 65535])
}

pub(crate) fn protocols() -> impl Strategy<Value = Protocol> {
    let known =
        [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ICMPV6, Protocol::SCTP, Protocol::GRE, Protocol::DCCP];
    select(known.into_iter().chain([Protocol(50)]).collect::<Vec<_>>())
}

pub(crate) fn bits() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..8, (0_u32..16).prop_map(|bit| 1 << bit), any::<u32>()]
}

fn pair() -> impl Strategy<Value = Layer4> {
    (ports(), ports()).prop_map(|(source, destination)| Layer4::Ports { source, destination })
}

fn layer4(protocol: Protocol) -> BoxedStrategy<Layer4> {
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => {
            let types = if protocol == Protocol::ICMP { vec![0, 8, 13] } else { vec![128, 129, 139] };
            (select(types), 0_u8..2, 0_u16..3)
                .prop_map(|(icmp_type, code, id)| Layer4::Icmp { icmp_type, code, id })
                .boxed()
        }
        Protocol::GRE => {
            (ports(), ports()).prop_map(|(source, destination)| Layer4::Gre(GreKeys { source, destination })).boxed()
        }
        // Without a tracker for the protocol, the kernel's tuples have no ports.
        Protocol::SCTP | Protocol::DCCP => prop_oneof![5 => pair(), 1 => Just(Layer4::None)].boxed(),
        _ if protocol.has_ports() => pair().boxed(),
        _ => Just(Layer4::None).boxed(),
    }
}

pub(crate) fn tuples() -> impl Strategy<Value = Tuple> {
    let ends = prop_oneof![(addresses4(), addresses4()).boxed(), (addresses6(), addresses6()).boxed()];
    (ends, protocols()).prop_flat_map(|(ends, protocol)| tuple(ends, protocol))
}

fn tuple((source, destination): (IpAddr, IpAddr), protocol: Protocol) -> impl Strategy<Value = Tuple> {
    layer4(protocol).prop_map(move |layer4| {
        let mut tuple = Tuple::new(protocol, source, destination);
        tuple.layer4 = layer4;
        tuple
    })
}

/// The original tuple and the reply tuple, translated or not.
pub(crate) fn pairs() -> impl Strategy<Value = (Tuple, Tuple)> {
    tuples().prop_flat_map(|original| {
        let ends = match original.source {
            IpAddr::V4(_) => (addresses4(), addresses4()).boxed(),
            IpAddr::V6(_) => (addresses6(), addresses6()).boxed(),
        };
        let translated = ends.prop_flat_map(move |ends| tuple(ends, original.protocol));
        let plain = original.inverted().unwrap_or(original);
        (Just(original), prop_oneof![Just(plain).boxed(), translated.boxed()])
    })
}

fn protocol_info() -> impl Strategy<Value = ProtocolInfo> {
    prop_oneof![
        (0_u8..11).prop_map(|state| TcpInfo::new(TcpState(state)).into()),
        (0_u8..11, 0_u32..3, 0_u32..3).prop_map(|(state, one, two)| SctpInfo::new(SctpState(state), one, two).into()),
        (0_u8..11, 0_u8..2).prop_map(|(state, role)| DccpInfo::new(DccpState(state), DccpRole(role), 7).into()),
    ]
}

fn counters() -> impl Strategy<Value = Counters> {
    (0_u64..5, 0_u64..5).prop_map(|(packets, bytes)| Counters::new(packets, bytes))
}

fn times() -> impl Strategy<Value = FlowTimes> {
    let time = |seconds: u64| Timestamp(seconds * 1_000_000_000 + 5);
    (90_u64..99, option::of(92_u64..102)).prop_map(move |(start, stop)| FlowTimes::new(time(start), stop.map(time)))
}

/// Any flow that a message can contain.
pub(crate) fn flows() -> impl Strategy<Value = Flow> {
    let numbers = (option::of(bits()), option::of(bits()), option::of(0_u32..5), option::of(0_u32..5));
    let zones = (option::of(0_u16..3), option::of(0_u16..3), option::of(0_u16..3));
    let rest = (
        option::of(protocol_info()),
        option::of(counters()),
        option::of(counters()),
        option::of(times()),
        option::of(any::<u8>()),
        option::of(select(vec!["ftp", "sip", "a \"b\" \\"])),
    );
    (pairs(), numbers, zones, rest).prop_map(|((original, reply), numbers, zones, rest)| {
        let mut flow = Flow::new(original, reply);
        (flow.zone, flow.original.zone, flow.reply.zone) = zones;
        flow.status = numbers.0.map(Status::from_bits_retain);
        flow.mark = numbers.1;
        flow.id = numbers.2;
        flow.timeout = numbers.3;
        flow.protocol_info = rest.0;
        flow.counters_original = rest.1;
        flow.counters_reply = rest.2;
        flow.times = rest.3;
        flow.labels = rest.4.map(|bits| Labels(bits.into()));
        flow.helper = rest.5.map(Helper::new);
        flow
    })
}

/// Entries as the kernel dumps them, each with its zone, whichever directions the zone applies to.
pub(crate) fn entries() -> impl Strategy<Value = (Flow, u16)> {
    let directions = select(vec![(true, true), (true, false), (false, true)]);
    (flows(), 0_u16..3, directions, bits(), bits()).prop_map(|(mut flow, id, (original, reply), status, mark)| {
        let named = |named: bool| (named && id != 0).then_some(id);
        flow.zone = named(original && reply);
        flow.original.zone = named(original && !reply);
        flow.reply.zone = named(reply && !original);
        flow.status = Some(Status::from_bits_retain(status));
        flow.mark = Some(mark);
        (flow, id)
    })
}
