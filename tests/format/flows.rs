//! Strategies for flows and expectations.

use std::{net::IpAddr, sync::LazyLock};

use ctnetlink::{
    Counters, DccpInfo, DccpRole, DccpState, Direction, Expectation, ExpectationFlags, ExpectationNat, Flow, FlowTimes,
    GreKeys, Helper, Labels, Layer4, Protocol, ProtocolInfo, SctpInfo, SctpState, SequenceAdjustment, Status, Synproxy,
    TcpInfo, TcpState, Timestamp, Tuple, format::LabelMap,
};
use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Strategy, any, prop_oneof},
};

fn address(is_ipv4: bool) -> BoxedStrategy<IpAddr> {
    let groups = [0_u16, 1, 0xfd99, 0xffff];
    let group = prop_oneof![proptest::sample::select(groups.to_vec()), any::<u16>()];
    let ipv6 = proptest::array::uniform8(group).prop_map(IpAddr::from);
    let ipv4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    (ipv4, ipv6).prop_map(move |(ipv4, ipv6)| if is_ipv4 { ipv4 } else { ipv6 }).boxed()
}

fn protocol(is_ipv4: bool) -> impl Strategy<Value = Protocol> {
    let icmp = if is_ipv4 { Protocol::ICMP } else { Protocol::ICMPV6 };
    let known = [
        Protocol::TCP,
        Protocol::UDP,
        Protocol::DCCP,
        Protocol::GRE,
        Protocol::SCTP,
        Protocol::UDPLITE,
        icmp,
        Protocol(253),
    ];
    proptest::sample::select(known.to_vec())
}

/// A tuple with the numbers of its protocol.
fn tuple(is_ipv4: bool, protocol: Protocol) -> BoxedStrategy<Tuple> {
    (address(is_ipv4), address(is_ipv4), any::<[u16; 2]>())
        .prop_map(move |(from, to, [source, destination])| {
            let mut tuple = Tuple::new(protocol, from, to);
            tuple.layer4 = match protocol {
                Protocol::GRE => Layer4::Gre(GreKeys { source, destination }),
                protocol if protocol.has_ports() => Layer4::Ports { source, destination },
                protocol if protocol.is_icmp() => {
                    let [icmp_type, code] = source.to_be_bytes();
                    Layer4::Icmp { icmp_type, code, id: destination }
                }
                _ => Layer4::None,
            };
            tuple
        })
        .boxed()
}

fn protocol_info(protocol: Protocol) -> BoxedStrategy<Option<ProtocolInfo>> {
    // Each of the three protocols has ten states.
    (0..10_u8, any::<[u32; 2]>(), any::<bool>(), any::<bool>())
        .prop_map(move |(state, tags, is_server, is_known)| {
            let info = match protocol {
                Protocol::TCP => TcpInfo::new(TcpState(state)).into(),
                Protocol::SCTP => SctpInfo::new(SctpState(state), tags[0], tags[1]).into(),
                Protocol::DCCP => DccpInfo::new(DccpState(state), DccpRole(is_server.into()), tags[0].into()).into(),
                _ => return None,
            };
            is_known.then_some(info)
        })
        .boxed()
}

/// The name of a helper or a security context, with characters that XML and JSON have to escape.
fn text() -> impl Strategy<Value = Box<str>> {
    "[a-z0-9:_<>&\"'\\\\é-]{1,12}".prop_map(String::into_boxed_str)
}

fn status() -> impl Strategy<Value = Status> {
    any::<u16>().prop_map(|bits| Status::from_bits_retain(bits.into()))
}

/// A zone of both directions, or of one direction.
fn zones() -> impl Strategy<Value = [Option<u16>; 3]> {
    (1..=u16::MAX, 0..4_usize).prop_map(|(zone, place)| [0, 1, 2].map(|other| (other == place).then_some(zone)))
}

pub(crate) fn flow() -> BoxedStrategy<Flow> {
    let tuples = any::<bool>()
        .prop_flat_map(|is_ipv4| {
            protocol(is_ipv4).prop_flat_map(move |protocol| {
                let original = tuple(is_ipv4, protocol);
                let reply = prop_oneof![
                    original.prop_map(|original| (original, original.inverted().unwrap_or(original))),
                    (tuple(is_ipv4, protocol), tuple(is_ipv4, protocol)),
                ];
                (reply, protocol_info(protocol))
            })
        })
        .boxed();
    let numbers = (
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        option::of(any::<[u64; 4]>()),
        option::of(any::<[u64; 2]>()),
        option::of(any::<u128>()),
    );
    let rest =
        (option::of(status()), zones(), option::of(text()), option::of(text()), any::<bool>(), option::of(any::<u8>()));
    (tuples, numbers, rest)
        .prop_map(|(tuples, numbers, rest)| {
            let ((original, reply), protocol_info) = tuples;
            let mut flow = Flow::new(original, reply);
            flow.protocol_info = protocol_info;
            let (timeout, mark, id, use_count, counters, times, labels) = numbers;
            (flow.timeout, flow.mark, flow.id, flow.use_count) = (timeout, mark, id, use_count);
            flow.counters_original = counters.map(|[packets, bytes, ..]| Counters::new(packets, bytes));
            flow.counters_reply = counters.map(|[.., packets, bytes]| Counters::new(packets, bytes));
            flow.labels = labels.map(Labels);
            let (status, zones, helper, context, has_ended, small) = rest;
            flow.times = times.map(|[start, length]| {
                let stop = start.saturating_add(length % 1_000_000_000_000);
                FlowTimes::new(Timestamp(start), has_ended.then_some(Timestamp(stop)))
            });
            flow.status = status;
            [flow.zone, flow.original.zone, flow.reply.zone] = zones;
            flow.helper = helper.map(|name| Helper::new(&name));
            flow.security_context = context;
            flow.synproxy = small.map(|_| Synproxy::default());
            flow.sequence_adjustment_original = small.map(|number| SequenceAdjustment {
                correction_position: number.into(),
                offset_before: -i32::from(number),
                offset_after: number.into(),
            });
            flow.master = small.map(|_| original);
            flow
        })
        .boxed()
}

pub(crate) fn expectation() -> BoxedStrategy<Expectation> {
    let tuples = any::<bool>().prop_flat_map(|is_ipv4| {
        protocol(is_ipv4).prop_flat_map(move |protocol| {
            (tuple(is_ipv4, protocol), tuple(is_ipv4, protocol), tuple(is_ipv4, protocol))
        })
    });
    let numbers = vec(option::of(any::<u32>()), 3);
    (tuples, numbers, option::of(0..8_u32), option::of(any::<u16>()), option::of(text()), any::<bool>())
        .prop_map(|((master, expected, mask), numbers, flags, zone, helper, has_nat)| {
            let mut expectation = Expectation::new(master, expected, mask);
            [expectation.timeout, expectation.class, expectation.id] = [numbers[0], numbers[1], numbers[2]];
            expectation.flags = flags.map(ExpectationFlags::from_bits_retain);
            expectation.zone = zone;
            expectation.function = helper.clone();
            expectation.helper = helper;
            expectation.nat = has_nat.then_some(ExpectationNat { direction: Direction::Reply, tuple: expected });
            expectation
        })
        .boxed()
}

/// A map with a name for every label.
pub(crate) static LABELS: LazyLock<LabelMap> = LazyLock::new(|| {
    let lines: Vec<_> = (0..128).map(|bit| format!("{bit} label {bit}")).collect();
    LabelMap::parse(lines.join("\n"))
});
