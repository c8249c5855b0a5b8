use core::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::{GreKeys, Layer4, TcpFlags};

/// The figures of the diagram above. With at most 20 bytes in the index and 8 of vacant places, a flow stays below 160.
#[test]
fn record_is_small() {
    let sizes = [size_of::<Option<Record>>(), size_of::<PackedTuples>(), size_of::<PackedTcp>(), size_of::<Rest>()];
    if cfg!(target_arch = "x86_64") {
        assert_eq!(sizes, [128, 32, 7, 208]);
    }
    // Other machines have smaller pointers or align labels of 128 bits to 8.
    assert!(sizes.into_iter().zip([128, 32, 7, 208]).all(|(size, limit)| size <= limit), "{sizes:?}");
}

fn assert_kept(flow: &Flow) {
    let record = Record::new([3, 4], flow, 1, SeenInEvents::FLOW);
    assert_eq!((&record.to_flow(), record.hashes()), (flow, [3, 4]));
    assert_eq!(record.key(Direction::Original), Key::new(&flow.original, flow.zone));
    assert_eq!(record.key(Direction::Reply), Key::new(&flow.reply, flow.zone));

    let bare = Flow { zone: flow.zone, ..Flow::new(flow.original, flow.reply) };
    for (before, after) in [(&bare, flow), (flow, &bare)] {
        let mut record = Record::new([3, 4], before, 1, SeenInEvents::FLOW);
        record.update(after, 2, SeenInEvents::empty());
        assert_eq!(record.to_flow(), *after);
        assert!(record.has_events(), "of the flow before");
        assert_eq!(record.seen_since(2), Some(SeenInEvents::empty()));
    }
}

#[test]
fn update_moves_a_zone_between_tuples_and_flow() {
    let tuple = Tuple::udp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 53).into());
    let of_flow = Flow { zone: Some(3), ..Flow::new(tuple, tuple.inverted().unwrap()) };
    let mut of_tuples = Flow { zone: None, ..of_flow.clone() };
    (of_tuples.original.zone, of_tuples.reply.zone) = (Some(3), Some(3));
    for (before, after) in [(&of_flow, &of_tuples), (&of_tuples, &of_flow)] {
        let mut record = Record::new([3, 4], before, 1, SeenInEvents::FLOW);
        record.update(after, 1, SeenInEvents::FLOW);
        assert_eq!(record.to_flow(), *after);
    }
}

#[test]
fn record_keeps_every_attribute() {
    let tuple = Tuple::tcp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 80).into());
    let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    assert_kept(&flow);
    flow.zone = Some(3);
    flow.id = Some(0);
    flow.status = Some(Status::ASSURED);
    flow.timeout = Some(0);
    flow.mark = Some(0);
    flow.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo { state: Some(TcpState::CLOSE), ..TcpInfo::default() }));
    flow.counters_original = Some(Counters::new(1, 2));
    flow.counters_reply = Some(Counters::new(3, 4));
    flow.times = Some(FlowTimes { start: Some(Timestamp(9)), stop: None });
    flow.synproxy = Some(Synproxy::default());
    assert_kept(&flow);
    flow.helper = Some(Helper::new("ftp"));
    flow.labels = Some(Labels(5));
    flow.security_context = Some("context".into());
    flow.master = Some(tuple);
    flow.sequence_adjustment_original = Some(SequenceAdjustment::default());
    flow.sequence_adjustment_reply = Some(SequenceAdjustment::default());
    assert_kept(&flow);
    flow.protocol_info = Some(ProtocolInfo::Unknown);
    flow.synproxy = Some(Synproxy { initial_sequence: 1, ..Synproxy::default() });
    assert_kept(&flow);
}

#[test]
fn record_keeps_every_part_of_the_tcp_state() {
    let flags = Some(MaskedTcpFlags { flags: TcpFlags::BE_LIBERAL, mask: TcpFlags::all() });
    let tuple = Tuple::tcp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 80).into());
    let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    for parts in 0..32_u8 {
        let has = |part: u8| parts >> part & 1 == 1;
        flow.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo {
            state: has(0).then_some(TcpState::NONE),
            window_scale_original: has(1).then_some(7),
            window_scale_reply: has(2).then_some(200),
            flags_original: flags.filter(|_| has(3)),
            flags_reply: flags.filter(|_| has(4)),
        }));
        assert_kept(&flow);
    }
}

/// Of IPv4, IPv6 and both, translated or not, with all kinds of layer 4 and zones of one direction.
#[test]
fn record_keeps_every_pair_of_tuples() {
    let hosts = [[10, 0, 0, 1], [192, 0, 2, 1]].map(IpAddr::from);
    let hosts = hosts.into_iter().chain([1, 2].map(|number| Ipv6Addr::from(number << 64).into()));
    let kinds = [
        Layer4::None,
        Layer4::Ports { source: 0x0102, destination: 0x0304 },
        Layer4::Gre(GreKeys { source: 0x0102, destination: 0x0304 }),
        Layer4::Icmp { icmp_type: 8, code: 1, id: 0x0203 },
    ];
    let mut tuples = Vec::new();
    for source in hosts {
        for (layer4, protocol) in kinds.into_iter().zip([Protocol::TCP, Protocol::TCP, Protocol::GRE, Protocol(1)]) {
            let mut tuple = Tuple::tcp(([0; 4], 0).into(), ([0; 4], 0).into());
            (tuple.source, tuple.destination, tuple.layer4, tuple.protocol) = (source, source, layer4, protocol);
            tuples.extend([tuple, Tuple { zone: Some(0), ..tuple }]);
        }
    }
    for original in &tuples {
        for reply in &tuples {
            assert_kept(&Flow::new(*original, *reply));
        }
    }
}
