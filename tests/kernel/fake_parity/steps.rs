//! Random steps: requests whose tuples, zones and values often clash.

use std::net::IpAddr;

use ctnetlink::{
    DccpInfo, Direction, Expectation, ExpectationFlags, ExpectationNat, Family, FlowKey, FlowUpdate, Helper, Labels,
    MaskedLabels, MaskedMark, MaskedTcpFlags, NatRange, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState,
    SequenceAdjustment, Status, Synproxy, TcpFlags, TcpInfo, TcpState, Tuple,
    request::{ExpectationKey, Table},
};
use proptest::{
    option,
    prelude::*,
    sample::{select, subsequence},
};

use super::world::{Id, Key, Step};

pub(super) fn address(last: u8, is_v4: bool) -> IpAddr {
    if is_v4 { IpAddr::from([10, 0, 0, last]) } else { format!("fd00::{last}").parse().unwrap() }
}

/// Tuples of few addresses and ports, which therefore clash often.
pub(super) fn tuple() -> BoxedStrategy<Tuple> {
    let ports = || select(vec![1000_u16, 2000]);
    let protocols = select(vec![6_u8, 17, 132, 136, 47, 50, 33, 1]);
    let types = || select(vec![0_u8, 8, 3, 128, 129]);
    (any::<bool>(), 1..3_u8, 1..4_u8, protocols, (ports(), ports()), types())
        .prop_map(|(is_v4, source, destination, protocol, (source_port, destination_port), icmp_type)| {
            let (source, destination) = (address(source, is_v4), address(destination, is_v4));
            match Protocol(protocol) {
                Protocol::ICMP => Tuple::icmp(source, destination, icmp_type, 0, source_port),
                Protocol::GRE => Tuple::gre(source, destination, source_port, destination_port),
                Protocol(50) => Tuple::new(Protocol(50), source, destination),
                other => Tuple::with_ports(other, (source, source_port).into(), (destination, destination_port).into()),
            }
        })
        .boxed()
}

/// TCP and UDP over IPv4.
pub(super) fn usual_tuple() -> BoxedStrategy<Tuple> {
    (1..3_u8, 2..4_u8, any::<bool>(), select(vec![1000_u16, 2000]))
        .prop_map(|(source, destination, is_tcp, from)| {
            let protocol = if is_tcp { Protocol::TCP } else { Protocol::UDP };
            Tuple::with_ports(protocol, (address(source, true), from).into(), (address(destination, true), 2000).into())
        })
        .boxed()
}

pub(super) fn any_tuple() -> BoxedStrategy<Tuple> {
    prop_oneof![1 => tuple(), 4 => usual_tuple()].boxed()
}

pub(super) fn zone() -> BoxedStrategy<Option<u16>> {
    prop_oneof![12 => Just(None), 1 => Just(Some(0)), 3 => Just(Some(7)), 1 => Just(Some(8))].boxed()
}

pub(super) fn status() -> BoxedStrategy<Status> {
    let bits = vec![
        Status::SEEN_REPLY,
        Status::ASSURED,
        Status::FIXED_TIMEOUT,
        Status::HELPER,
        Status::OFFLOAD,
        Status::EXPECTED,
        Status::DYING,
    ];
    prop_oneof![
        3 => subsequence(vec![Status::SEEN_REPLY, Status::ASSURED], 0..=2).prop_map(|bits| bits.into_iter().collect()),
        1 => subsequence(bits, 0..=2).prop_map(|bits| bits.into_iter().collect()),
    ]
    .boxed()
}

pub(super) fn protocol_info() -> BoxedStrategy<ProtocolInfo> {
    let flags = || {
        option::of((any::<u8>(), any::<u8>()).prop_map(|(flags, mask)| MaskedTcpFlags {
            flags: TcpFlags::from_bits_retain(flags),
            mask: TcpFlags::from_bits_retain(mask),
        }))
    };
    let scale = || option::of(0..17_u8);
    let tcp = (option::of(0..12_u8), scale(), scale(), flags(), flags()).prop_map(|(state, original, reply, a, b)| {
        let mut info = TcpInfo::default();
        info.state = state.map(TcpState);
        (info.window_scale_original, info.window_scale_reply) = (original, reply);
        (info.flags_original, info.flags_reply) = (a, b);
        ProtocolInfo::from(info)
    });
    let sctp = (option::weighted(0.9, 0..11_u8), option::weighted(0.9, any::<u32>())).prop_map(|(state, tag)| {
        let mut info = SctpInfo::default();
        info.state = state.map(SctpState);
        (info.verification_tag_original, info.verification_tag_reply) = (tag, Some(3));
        ProtocolInfo::from(info)
    });
    prop_oneof![4 => tcp, 1 => sctp, 1 => Just(DccpInfo::default().into())].boxed()
}

pub(super) fn helper() -> BoxedStrategy<Helper> {
    select(vec!["ftp", "tftp", "sip", "irc", "", "nothing"]).prop_map(Helper::new).boxed()
}

pub(super) fn range() -> BoxedStrategy<NatRange> {
    let address = prop_oneof![Just(None), (1..5_u8).prop_map(Some)];
    (address, option::of(select(vec![1000_u16, 2000, 3000])))
        .prop_map(|(last, port)| {
            let mut range = match last {
                Some(last) => NatRange::address(IpAddr::from([10, 0, 0, last])),
                None => NatRange::keep_address(),
            };
            if let Some(port) = port {
                range = range.port(port);
            }
            range
        })
        .boxed()
}

pub(super) fn rarely<S: Strategy + 'static>(strategy: S) -> BoxedStrategy<Option<S::Value>>
where
    S::Value: Clone,
{
    option::weighted(0.15, strategy).boxed()
}

pub(super) fn adjustment() -> BoxedStrategy<SequenceAdjustment> {
    (any::<u32>(), any::<i32>())
        .prop_map(|(correction_position, offset)| SequenceAdjustment {
            correction_position,
            offset_before: offset,
            offset_after: -(offset / 2),
        })
        .boxed()
}

pub(super) fn synproxy() -> BoxedStrategy<Synproxy> {
    any::<u32>()
        .prop_map(|number| Synproxy { initial_sequence: number, initial_timestamp: 2, timestamp_offset: 3 })
        .boxed()
}

pub(super) fn labels() -> BoxedStrategy<Labels> {
    select(vec![0_u128, 1, 1 << 64, u128::MAX]).prop_map(Labels).boxed()
}

pub(super) fn new_flow() -> BoxedStrategy<NewFlow> {
    let tuples = prop_oneof![
        5 => any_tuple().prop_map(|original| (original, original.inverted().unwrap_or(original))),
        1 => (any_tuple(), any_tuple()),
        2 => usual_tuple().prop_map(|original| {
            let mut reply = original.inverted().unwrap();
            reply.source = address(3, true);
            (original, reply)
        }),
    ];
    let zones = (zone(), rarely(1..9_u16), rarely(1..9_u16));
    let usual = (select(vec![100_u32, 600, 5000, 90_000_000]), status(), option::of(0..3_u32), any::<bool>());
    let rest = (rarely(protocol_info()), rarely(helper()), rarely(labels()), rarely(usual_tuple()));
    let nat = (rarely(range()), rarely(range()));
    let odd = (rarely(adjustment()), rarely(adjustment()), rarely(synproxy()));
    (tuples, zones, usual, rest, nat, odd)
        .prop_map(|(tuples, zones, usual, rest, nat, odd)| {
            let (original, reply) = tuples;
            let (zone, original_zone, reply_zone) = zones;
            let (timeout, status, mark, or_update) = usual;
            let mut flow = NewFlow::new(original, reply, timeout);
            flow.zone = zone;
            if zone.unwrap_or(0) == 0 {
                flow.original.zone = original_zone;
                flow.reply.zone = reply_zone;
            }
            (flow.status, flow.mark, flow.or_update) = (status, mark, or_update);
            (flow.protocol_info, flow.helper, flow.labels, flow.master) = rest;
            (flow.snat, flow.dnat) = nat;
            (flow.sequence_adjustment_original, flow.sequence_adjustment_reply, flow.synproxy) = odd;
            flow
        })
        .boxed()
}

pub(super) fn key() -> BoxedStrategy<Key> {
    let direction = prop_oneof![3 => Just(Direction::Original), 1 => Just(Direction::Reply)];
    let id = prop_oneof![3 => Just(Id::None), 2 => Just(Id::Right), 1 => Just(Id::Wrong)];
    (any_tuple(), direction, zone(), rarely(1..9_u16), id)
        .prop_map(|(tuple, direction, zone, own, id)| {
            let mut key = match direction {
                Direction::Original => FlowKey::original(tuple),
                Direction::Reply => FlowKey::reply(tuple.inverted().unwrap_or(tuple)),
            };
            (key.zone, key.tuple.zone) = (zone, own.filter(|_| zone.is_none()));
            Key(key, id)
        })
        .boxed()
}

pub(super) fn update() -> BoxedStrategy<FlowUpdate> {
    let usual = (option::of((0..4_u32, select(vec![u32::MAX, 1, 0]))), option::of(select(vec![100_u32, 600])));
    let rest = (rarely(status()), rarely((labels(), labels())), rarely(protocol_info()), rarely(helper()));
    let odd = (rarely(adjustment()), rarely(adjustment()), rarely(synproxy()));
    (usual, rest, odd)
        .prop_map(|((mark, timeout), (status, labels, info, helper), odd)| {
            let mut update = FlowUpdate::new();
            update.mark = mark.map(|(mark, mask)| MaskedMark { mark, mask });
            (update.timeout, update.status) = (timeout, status);
            update.labels = labels.map(|(labels, mask)| MaskedLabels { labels, mask });
            (update.protocol_info, update.helper) = (info, helper);
            (update.sequence_adjustment_original, update.sequence_adjustment_reply, update.synproxy) = odd;
            update
        })
        .boxed()
}

pub(super) const FILTERS: &[&str] = &[
    "proto tcp",
    "proto udp and dport 1000",
    "src 10.0.0.1",
    "src 10.0.0.1 and reply-src 10.0.0.3 and proto tcp and sport 2000",
    "dst 10.0.0.3 and proto 50",
    "mark 1",
    "mark 2/2",
    "assured",
    "not assured and mark 0",
    "zone 7",
    "zone 7 and proto udp",
    "family ipv6",
    "family ipv6 and proto udp",
    "proto icmp",
    "not mark 1",
];

pub(super) fn flow_step() -> BoxedStrategy<Step> {
    let family = || select(vec![Family::UNSPEC, Family::IPV4, Family::IPV6]);
    let table = select(vec![Table::Conntrack, Table::Dying, Table::Unconfirmed]);
    prop_oneof![
        12 => new_flow().prop_map(Step::Create),
        6 => (key(), update()).prop_map(|(key, update)| Step::Update(key, update)),
        3 => key().prop_map(Step::Get),
        1 => key().prop_map(Step::GetAndZero),
        4 => key().prop_map(Step::Delete),
        3 => select(FILTERS).prop_map(Step::DumpMatching),
        1 => (table, family(), any::<bool>()).prop_map(|(table, family, zero)| Step::DumpTable(table, family, zero)),
        1 => select(FILTERS).prop_map(Step::DeleteMatching),
        1 => family().prop_map(Step::FlushFamily),
        2 => Just(Step::Statistics),
    ]
    .boxed()
}

pub(super) fn step() -> BoxedStrategy<Step> {
    let command = prop_oneof![
        3 => new_flow().prop_map(Step::Create),
        1 => (key(), update()).prop_map(|(key, update)| Step::Update(key, update)),
        1 => key().prop_map(Step::Delete),
    ];
    prop_oneof![20 => flow_step(), 1 => proptest::collection::vec(command, 0..6).prop_map(Step::Batch)].boxed()
}

/// A flow that may be a master, mostly with a helper.
pub(super) fn master() -> BoxedStrategy<NewFlow> {
    let helper = prop_oneof![4 => Just("ftp"), 1 => Just("sip"), 1 => Just("irc")];
    (master_tuple(), option::weighted(0.8, helper), zone(), 0..3_u32)
        .prop_map(|(tuple, helper, zone, mark)| {
            let mut flow = NewFlow::untranslated(tuple, 600).unwrap();
            (flow.zone, flow.mark, flow.helper) = (zone, Some(mark), helper.map(Helper::new));
            flow
        })
        .boxed()
}

pub(super) fn master_tuple() -> BoxedStrategy<Tuple> {
    (any::<bool>(), select(vec![1000_u16, 2000]))
        .prop_map(|(is_v4, port)| Tuple::tcp((address(1, is_v4), port).into(), (address(2, is_v4), 21).into()))
        .boxed()
}

pub(super) fn expected_tuple() -> BoxedStrategy<Tuple> {
    (any::<bool>(), select(vec![0_u16, 5000]), select(vec![4000_u16, 4001]))
        .prop_map(|(is_v4, from, to)| Tuple::tcp((address(2, is_v4), from).into(), (address(1, is_v4), to).into()))
        .boxed()
}

pub(super) fn expectation() -> BoxedStrategy<Expectation> {
    let masks = (any::<bool>(), any::<bool>());
    let flags = rarely(0..12_u32);
    let rest = (flags, rarely(0..4_u32), rarely(select(vec!["ftp", "sip", "nothing", "0123456789abcdef"])));
    let nat = rarely((any::<bool>(), expected_tuple()));
    let function = rarely(select(vec!["nat-follow-master", "unknown"]));
    let odd = (zone(), nat, function, rarely(Just(1000_u32)));
    (master_tuple(), expected_tuple(), masks, rest, odd)
        .prop_map(|(master, tuple, masks, rest, odd)| {
            let (flags, class, helper) = rest;
            let (zone, nat, function, timeout) = odd;
            let is_v4 = tuple.source.is_ipv4();
            let ones = if is_v4 { IpAddr::from([0xff; 4]) } else { IpAddr::from([0xff; 16]) };
            let none = if is_v4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            let source = if masks.0 { ones } else { none };
            let mask = Tuple::tcp((source, if masks.1 { 0xffff } else { 0 }).into(), (ones, 0xffff).into());
            let mut expectation = Expectation::new(master, tuple, mask);
            expectation.flags = flags.map(ExpectationFlags::from_bits_retain);
            (expectation.class, expectation.helper) = (class, helper.map(Into::into));
            (expectation.zone, expectation.timeout) = (zone, timeout);
            expectation.function = function.map(Into::into);
            expectation.nat = nat.map(|(is_reply, tuple)| ExpectationNat {
                direction: if is_reply { Direction::Reply } else { Direction::Original },
                tuple,
            });
            expectation
        })
        .boxed()
}

pub(super) fn expectation_step() -> BoxedStrategy<Step> {
    let id = || prop_oneof![3 => Just(Id::None), 2 => Just(Id::Right), 1 => Just(Id::Wrong)];
    let key = || {
        (expected_tuple(), zone()).prop_map(|(tuple, zone)| {
            let key = ExpectationKey::new(tuple);
            zone.map_or(key, |zone| key.in_zone(zone))
        })
    };
    let no_helper = FlowUpdate::new().remove_helper();
    prop_oneof![
        4 => master().prop_map(Step::Create),
        8 => expectation().prop_map(Step::CreateExpectation),
        2 => (key(), id()).prop_map(|(key, id)| Step::GetExpectation(key, id)),
        2 => (key(), id()).prop_map(|(key, id)| Step::DeleteExpectation(key, id)),
        2 => (master_tuple(), zone()).prop_map(|(master, zone)| Step::ExpectationsOf(master, zone)),
        1 => select(vec!["ftp", "sip", "nothing"]).prop_map(Step::DeleteExpectationsOf),
        1 => Just(Step::FlushExpectations),
        2 => master_tuple().prop_map(|tuple| Step::Delete(Key(FlowKey::original(tuple), Id::None))),
        1 => master_tuple()
            .prop_map(move |tuple| Step::Update(Key(FlowKey::original(tuple), Id::None), no_helper.clone())),
    ]
    .boxed()
}
