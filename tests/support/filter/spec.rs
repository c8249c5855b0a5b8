//! A naive model of filters: trees that build a filter and evaluate it independently.

use std::net::IpAddr;

use ctnetlink::{
    Counters, DccpRole, DccpState, Family, Filter, Flow, GreKeys, Labels, Layer4, Prefix, Protocol, SctpState, Status,
    TcpState, Tuple,
    filter::{AddressSet, NumberSet, Translation},
};

use super::messages::NOW;

#[derive(Clone, Debug)]
pub(crate) enum Spec {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Address(usize, Vec<Prefix>),
    Port(usize, Vec<(u16, u16)>),
    Wide(usize, Vec<(u32, u32)>),
    Long(usize, Vec<(u64, u64)>),
    Byte(usize, Vec<(u8, u8)>),
    Family(Family),
    Status(u32, bool),
    Mark(u32, u32),
    AllLabels(u8),
    AnyLabel(u8),
    Helper(&'static str),
    Nat(usize, Option<Vec<Prefix>>, Option<Vec<(u16, u16)>>),
    Tuples(Vec<Tuple>),
    Offloaded,
}

/// A field: its values in a flow, and the filter that compares it.
type Field<T, Set> = (fn(&Flow) -> Vec<T>, fn(Set) -> Filter);

const ADDRESSES: [Field<IpAddr, AddressSet>; 5] = [
    (|flow| vec![flow.original.source], |set| Filter::source(set)),
    (|flow| vec![flow.original.destination], |set| Filter::destination(set)),
    (|flow| vec![flow.reply.source], |set| Filter::reply_source(set)),
    (|flow| vec![flow.reply.destination], |set| Filter::reply_destination(set)),
    (
        |flow| vec![flow.original.source, flow.original.destination, flow.reply.source, flow.reply.destination],
        |set| Filter::any_address(set),
    ),
];

fn ends(tuple: &Tuple) -> Option<(u16, u16)> {
    if let Layer4::Ports { source, destination } = tuple.layer4 { Some((source, destination)) } else { None }
}

fn keys(tuple: &Tuple) -> Option<(u16, u16)> {
    if let Layer4::Gre(GreKeys { source, destination }) = tuple.layer4 { Some((source, destination)) } else { None }
}

fn query(flow: &Flow) -> Option<(u8, u8, u16)> {
    if let Layer4::Icmp { icmp_type, code, id } = flow.original.layer4 { Some((icmp_type, code, id)) } else { None }
}

fn zones(flow: &Flow) -> (u16, u16) {
    let both = flow.zone.unwrap_or(0);
    (flow.original.zone.unwrap_or(both), flow.reply.zone.unwrap_or(both))
}

type Numbered<T> = Field<T, NumberSet<T>>;

const PORTS: [Numbered<u16>; 14] = [
    (|flow| ends(&flow.original).map(|ends| ends.0).into_iter().collect(), |set| Filter::source_port(set)),
    (|flow| ends(&flow.original).map(|ends| ends.1).into_iter().collect(), |set| Filter::destination_port(set)),
    (|flow| ends(&flow.reply).map(|ends| ends.0).into_iter().collect(), |set| Filter::reply_source_port(set)),
    (|flow| ends(&flow.reply).map(|ends| ends.1).into_iter().collect(), |set| Filter::reply_destination_port(set)),
    (
        |flow| {
            let both = [ends(&flow.original), ends(&flow.reply)];
            both.into_iter().flatten().flat_map(|(source, destination)| [source, destination]).collect()
        },
        |set| Filter::any_port(set),
    ),
    (|flow| keys(&flow.original).map(|keys| keys.0).into_iter().collect(), |set| Filter::source_key(set)),
    (|flow| keys(&flow.original).map(|keys| keys.1).into_iter().collect(), |set| Filter::destination_key(set)),
    (|flow| keys(&flow.reply).map(|keys| keys.0).into_iter().collect(), |set| Filter::reply_source_key(set)),
    (|flow| keys(&flow.reply).map(|keys| keys.1).into_iter().collect(), |set| Filter::reply_destination_key(set)),
    (|flow| query(flow).map(|query| query.2).into_iter().collect(), |set| Filter::icmp_id(set)),
    (
        |flow| {
            let (original, reply) = zones(flow);
            if original == reply { vec![original] } else { vec![] }
        },
        |set| Filter::zone(set),
    ),
    (|flow| vec![zones(flow).0], |set| Filter::zone_original(set)),
    (|flow| vec![zones(flow).1], |set| Filter::zone_reply(set)),
    (|flow| vec![zones(flow).0, zones(flow).1], |set| Filter::zone_either(set)),
];

fn tag(flow: &Flow, reply: bool) -> Vec<u32> {
    let info = flow.protocol_info.as_ref().and_then(|info| info.sctp());
    let tag = info.and_then(|info| if reply { info.verification_tag_reply } else { info.verification_tag_original });
    tag.into_iter().collect()
}

const WIDE: [Numbered<u32>; 4] = [
    (|flow| flow.id.into_iter().collect(), |set| Filter::id(set)),
    (|flow| flow.timeout.into_iter().collect(), |set| Filter::timeout(set)),
    (|flow| tag(flow, false), |set| Filter::verification_tag_original(set)),
    (|flow| tag(flow, true), |set| Filter::verification_tag_reply(set)),
];

fn total(flow: &Flow) -> Option<Counters> {
    flow.total_counters()
}

const LONG: [Numbered<u64>; 7] = [
    (|flow| age(flow).into_iter().collect(), |set| Filter::age(set)),
    (|flow| total(flow).map(|counters| counters.packets).into_iter().collect(), |set| Filter::packets(set)),
    (|flow| total(flow).map(|counters| counters.bytes).into_iter().collect(), |set| Filter::bytes(set)),
    (|flow| flow.counters_original.map(|one| one.packets).into_iter().collect(), |set| Filter::packets_original(set)),
    (|flow| flow.counters_original.map(|one| one.bytes).into_iter().collect(), |set| Filter::bytes_original(set)),
    (|flow| flow.counters_reply.map(|one| one.packets).into_iter().collect(), |set| Filter::packets_reply(set)),
    (|flow| flow.counters_reply.map(|one| one.bytes).into_iter().collect(), |set| Filter::bytes_reply(set)),
];

fn role(flow: &Flow) -> Option<u8> {
    Some(flow.protocol_info.as_ref()?.dccp()?.role?.0)
}

/// Fields of one byte. Ranges are built as unions of single values, because these types have no ranges of bytes.
const BYTES: [Field<u8, u8>; 7] = [
    (|flow| vec![flow.original.protocol.0], |value| Filter::protocol(Protocol(value))),
    (|flow| query(flow).map(|query| query.0).into_iter().collect(), |value| Filter::icmp_type(value)),
    (|flow| query(flow).map(|query| query.1).into_iter().collect(), |value| Filter::icmp_code(value)),
    (|flow| flow.tcp_state().map(|state| state.0).into_iter().collect(), |value| Filter::tcp_state(TcpState(value))),
    (|flow| flow.sctp_state().map(|state| state.0).into_iter().collect(), |value| Filter::sctp_state(SctpState(value))),
    (|flow| flow.dccp_state().map(|state| state.0).into_iter().collect(), |value| Filter::dccp_state(DccpState(value))),
    (|flow| role(flow).into_iter().collect(), |value| Filter::dccp_role(DccpRole(value))),
];

fn within<T: Ord>(ranges: &[(T, T)], value: &T) -> bool {
    ranges.iter().any(|(first, last)| first <= value && value <= last)
}

fn numbers<T: ctnetlink::filter::Number>(ranges: &[(T, T)]) -> NumberSet<T> {
    ranges.iter().map(|(first, last)| *first..=*last).collect()
}

fn inside(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}

impl Spec {
    pub(crate) fn build(&self) -> Filter {
        match self {
            Self::All(parts) => Filter::all_of(parts.iter().map(Self::build)),
            Self::Any(parts) => Filter::any_of(parts.iter().map(Self::build)),
            Self::Not(inner) => !inner.build(),
            Self::Address(which, prefixes) => ADDRESSES[*which].1(prefixes.iter().copied().collect()),
            Self::Port(which, ranges) => PORTS[*which].1(numbers(ranges)),
            Self::Wide(which, ranges) => WIDE[*which].1(numbers(ranges)),
            Self::Long(which, ranges) => LONG[*which].1(numbers(ranges)),
            Self::Byte(which, ranges) => {
                Filter::any_of(ranges.iter().flat_map(|(first, last)| *first..=*last).map(BYTES[*which].1))
            }
            Self::Family(family) => Filter::family(*family),
            Self::Status(bits, true) => Filter::status_set(Status::from_bits_retain(*bits)),
            Self::Status(bits, false) => Filter::status_unset(Status::from_bits_retain(*bits)),
            Self::Mark(value, mask) => Filter::mark_masked(*value, *mask),
            Self::AllLabels(bits) => Filter::all_labels(Labels((*bits).into())),
            Self::AnyLabel(bits) => Filter::any_label(Labels((*bits).into())),
            Self::Helper(name) => Filter::helper(name),
            Self::Nat(which, prefixes, ports) => {
                let to = match prefixes {
                    Some(prefixes) => Translation::to(prefixes.iter().copied().collect::<AddressSet>()),
                    None => Translation::any(),
                };
                let to = match ports {
                    Some(ports) => to.port(numbers(ports)),
                    None => to,
                };
                [Filter::source_nat, Filter::destination_nat, Filter::nat][*which](to)
            }
            Self::Tuples(tuples) => Filter::tuples(tuples.iter().copied()),
            Self::Offloaded => Filter::offloaded(),
        }
    }

    pub(crate) fn holds(&self, flow: &Flow) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(flow)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(flow)),
            Self::Not(inner) => !inner.holds(flow),
            Self::Address(which, prefixes) => ADDRESSES[*which].0(flow).iter().any(|one| inside(prefixes, *one)),
            Self::Port(which, ranges) => PORTS[*which].0(flow).iter().any(|one| within(ranges, one)),
            Self::Wide(which, ranges) => WIDE[*which].0(flow).iter().any(|one| within(ranges, one)),
            Self::Long(which, ranges) => LONG[*which].0(flow).iter().any(|one| within(ranges, one)),
            Self::Byte(which, ranges) => BYTES[*which].0(flow).iter().any(|one| within(ranges, one)),
            Self::Family(family) => flow.family() == *family,
            // All of no bits are set, and none of them, whether the attribute exists or not.
            Self::Status(0, _) => true,
            Self::Status(bits, set) => {
                flow.status.is_some_and(|status| status.bits() & bits == if *set { *bits } else { 0 })
            }
            Self::Mark(value, mask) => flow.mark.unwrap_or(0) & mask == *value,
            Self::AllLabels(0) => true,
            Self::AllLabels(bits) => flow.labels.is_some_and(|labels| labels.0 & u128::from(*bits) == (*bits).into()),
            Self::AnyLabel(bits) => flow.labels.is_some_and(|labels| labels.0 & u128::from(*bits) != 0),
            Self::Helper(name) => flow.helper.as_ref().is_some_and(|helper| &*helper.name == *name),
            Self::Nat(which, prefixes, ports) => {
                let ends = [flow.snat(), flow.dnat()];
                let wanted = [&ends[..1], &ends[1..], &ends[..]][*which];
                wanted.iter().flatten().any(|end| {
                    prefixes.as_ref().is_none_or(|prefixes| inside(prefixes, end.address))
                        && ports.as_ref().is_none_or(|ports| end.port.is_some_and(|port| within(ports, &port)))
                })
            }
            Self::Tuples(tuples) => tuples.iter().any(|tuple| {
                let mut own = flow.original;
                own.zone = None;
                own == *tuple
            }),
            Self::Offloaded => {
                flow.status.is_some_and(|status| status.intersects(Status::OFFLOAD | Status::HW_OFFLOAD))
            }
        }
    }
}

/// The age as conntrack(8) prints it: a difference of whole seconds.
fn age(flow: &Flow) -> Option<u64> {
    let times = flow.times?;
    Some(times.stop.unwrap_or(NOW).seconds().saturating_sub(times.start?.seconds()))
}
