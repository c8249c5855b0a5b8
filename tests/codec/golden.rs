//! Messages recorded from Linux 6.18.44 on x86-64.

use std::net::IpAddr;

use ctnetlink::{
    Counters, Direction, Expectation, Flow, FlowTimes, Labels, Layer4, ProtocolInfo, Status, TcpInfo, TcpState,
    Timestamp, Tuple,
    wire::{Flags, MessageType},
};

use crate::{
    messages::{all_recorded, expectation_bytes, flow_bytes, hex, is_expectation, is_flow, message, recorded},
    nodes::{HEADERS, Node, nodes},
};

fn flow(bytes: &[u8]) -> Flow {
    Flow::decode(&message(bytes)).unwrap()
}

fn expectation(bytes: &[u8]) -> Expectation {
    Expectation::decode(&message(bytes)).unwrap()
}

fn tcp(source: &str, destination: &str) -> Tuple {
    Tuple::tcp(source.parse().unwrap(), destination.parse().unwrap())
}

/// Sorted, because the kernel's order has no meaning.
fn sorted(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.sort_by_key(|node| node.number);
    nodes
}

#[test]
fn recorded_messages_decode() {
    let (flows, rest): (Vec<_>, Vec<_>) = all_recorded().into_iter().partition(|bytes| is_flow(bytes));
    let (expectations, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|bytes| is_expectation(bytes));
    flows.iter().for_each(|bytes| drop(flow(bytes)));
    expectations.iter().for_each(|bytes| drop(expectation(bytes)));
    let types = |bytes: &Vec<u8>| message(bytes).header().message_type;
    for rest in rest.iter().map(types) {
        let known = [
            MessageType::DONE,
            MessageType::CPU_STATISTICS,
            MessageType::TABLE_STATISTICS,
            MessageType::FLOW_GET_ZERO_COUNTERS,
        ];
        assert!(known.contains(&rest), "{rest}");
    }
    assert!(flows.len() > 60 && !expectations.is_empty());
}

#[test]
fn dumped_flows_encode_to_the_same_bytes() {
    for bytes in recorded("vectors-dump").iter().filter(|bytes| is_flow(bytes)) {
        assert_eq!(&flow_bytes(&flow(bytes))[HEADERS..], &bytes[HEADERS..]);
    }
}

#[test]
fn expectations_encode_to_the_same_bytes() {
    let captured = [EXPECTATION_NEW, EXPECTATION_NAT].map(hex);
    for bytes in all_recorded().iter().filter(|bytes| is_expectation(bytes)).chain(&captured) {
        assert_eq!(&expectation_bytes(&expectation(bytes))[HEADERS..], &bytes[HEADERS..]);
    }
}

/// An event has the attributes of a dump in another order: `CTA_ID` before `CTA_STATUS`, `CTA_MARK` near the end.
/// [`Flow::encode`] always uses the order of a dump.
#[test]
fn events_encode_to_the_same_attributes_in_dump_order() {
    let captured = [NEW, UPDATE, DESTROY, RELATED].map(hex);
    for bytes in recorded("vectors-events").iter().filter(|bytes| is_flow(bytes)).chain(&captured) {
        assert_eq!(sorted(nodes(&flow_bytes(&flow(bytes)))), sorted(nodes(bytes)));
    }
}

#[test]
fn tcp_flow_of_a_dump_decodes() {
    let bytes = hex(CLOSE_WAIT);
    let header = message(&bytes).header();
    assert_eq!((header.message_type, header.flags, header.sequence), (MessageType::FLOW_NEW, Flags::MULTI, 1));
    let original = tcp("10.9.0.1:40000", "10.9.0.2:7000");
    let mut expected = Flow::new(original, original.inverted().unwrap());
    expected.status =
        Some(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED | Status::SRC_NAT_DONE | Status::DST_NAT_DONE);
    expected.mark = Some(42);
    expected.id = Some(0x2196_22e6);
    expected.use_count = Some(1);
    expected.timeout = Some(59);
    let flow = flow(&bytes);
    let info = flow.protocol_info.unwrap();
    let info = info.tcp().unwrap();
    assert_eq!(
        (info.state, info.window_scale_original, info.window_scale_reply),
        (Some(TcpState::CLOSE_WAIT), Some(10), Some(10))
    );
    assert_eq!((info.flags_original.unwrap().flags.bits(), info.flags_reply.unwrap().flags.bits()), (0x23, 0x27));
    expected.protocol_info = flow.protocol_info;
    expected.counters_original = Some(Counters::new(5, 273));
    expected.counters_reply = Some(Counters::new(4, 221));
    expected.times = Some(FlowTimes::new(Timestamp(0x18ea_8aea_5495_1b1d), None));
    expected.labels = Some([5].into_iter().collect::<Labels>());
    assert_eq!(flow, expected);
}

#[test]
fn icmpv6_flow_of_a_dump_decodes() {
    let flow = flow(&hex(ICMPV6));
    let [one, two] = ["fd09::1", "fd09::2"].map(|address| address.parse::<IpAddr>().unwrap());
    assert_eq!(flow.original, Tuple::icmp(one, two, 128, 0, 22136));
    assert_eq!(flow.reply, Tuple::icmp(two, one, 129, 0, 22136));
    assert_eq!((flow.timeout, flow.mark, flow.protocol_info), (Some(29), Some(0), None));
    assert!(!flow.is_snat() && !flow.is_dnat());
}

#[test]
fn translated_flow_in_a_zone_decodes() {
    let flow = flow(&hex(ZONE_DNAT));
    assert_eq!(flow.zone, Some(5));
    assert_eq!(flow.original, tcp("10.9.0.1:44230", "10.9.0.2:8080"));
    assert_eq!(flow.reply, tcp("10.9.0.2:8081", "10.9.0.1:44230"));
    assert!(flow.status.unwrap().contains(Status::DST_NAT));
    assert_eq!(flow.tcp_state(), Some(TcpState::SYN_SENT));
    assert_eq!(flow.has_seen_reply(), Some(false));
}

#[test]
fn new_event_has_a_time_and_no_counters() {
    let bytes = hex(NEW);
    assert_eq!(message(&bytes).header().flags, Flags::CREATE | Flags::EXCLUSIVE);
    let flow = flow(&bytes);
    assert_eq!((flow.counters_original, flow.times, flow.use_count), (None, None, None));
    assert_eq!(flow.event_time, Some(Timestamp(0x18ea_8aea_5494_af88)));
    assert_eq!((flow.mark, flow.labels), (Some(42), Some(Labels(1 << 5))));
}

#[test]
fn destroy_event_has_only_the_state() {
    let bytes = hex(DESTROY);
    assert_eq!(message(&bytes).header().message_type, MessageType::FLOW_DELETE);
    let flow = flow(&bytes);
    assert_eq!(flow.protocol_info, Some(ProtocolInfo::Tcp(TcpInfo::new(TcpState::TIME_WAIT))));
    assert!(flow.status.unwrap().contains(Status::DYING));
    let times = FlowTimes::new(Timestamp(0x18ea_8aea_5495_1b1d), Some(Timestamp(0x18ea_8aeb_3b67_9e46)));
    assert_eq!(flow.times, Some(times));
    assert_eq!(flow.timeout, Some(0x77));
    assert_eq!(flow.total_counters(), Some(Counters::new(11, 325 + 273)));
}

#[test]
fn expected_flow_names_its_master() {
    let flow = flow(&hex(RELATED));
    assert_eq!(flow.original, tcp("10.9.0.1:59790", "10.9.0.2:51210"));
    assert_eq!(flow.master, Some(tcp("10.9.0.1:41002", "10.9.0.2:21")));
    assert!(flow.status.unwrap().contains(Status::EXPECTED));
}

#[test]
fn expectation_of_a_helper_decodes() {
    let expectation = expectation(&hex(EXPECTATION_NEW));
    assert_eq!(expectation.tuple, tcp("10.9.0.1:0", "10.9.0.2:51210"));
    assert_eq!(expectation.mask, tcp("255.255.255.255:0", "255.255.255.255:65535"));
    assert_eq!(expectation.master, tcp("10.9.0.1:41000", "10.9.0.2:21"));
    assert_eq!((expectation.timeout, expectation.id), (Some(300), Some(0x171c_64e1)));
    assert_eq!(expectation.helper.as_deref(), Some("ftp"));
    assert_eq!((expectation.zone, expectation.nat, expectation.function.as_deref()), (None, None, None));
}

#[test]
fn expectation_with_nat_decodes() {
    let nat = expectation(&hex(EXPECTATION_NAT)).nat.unwrap();
    assert_eq!(nat.direction, Direction::Reply);
    assert_eq!(nat.tuple.source, IpAddr::from([10, 9, 0, 55]));
    assert_eq!(nat.tuple.layer4, Layer4::Ports { source: 77, destination: 0 });
}

const CLOSE_WAIT: &str = "\
    300100000001020001000000b1e724bd020000003400018014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002009c400000060003001b5800003400028014000180080001000a090002080002000a090001\
    1c0002800500010006000000060002001b580000060003009c400000080003000000018e080008000000002a08000c00\
    219622e608000b0000000001080007000000003b300004802c0001800500010005000000050002000a00000005000300\
    0a000000060004002300000006000500270000001c0009800c00010000000000000000050c0002000000000000000111\
    1c000a800c00010000000000000000040c00020000000000000000dd100014800c00010018ea8aea54951b1d14001600\
    20000000000000000000000000000000";

const ICMPV6: &str = "\
    2c0100000001020001000000b1e724bd0a000000540001802c00018014000300fd090000000000000000000000000001\
    14000400fd09000000000000000000000000000224000280050001003a00000006000700567800000500080080000000\
    0500090000000000540002802c00018014000300fd09000000000000000000000000000214000400fd09000000000000\
    000000000000000124000280050001003a00000006000700567800000500080081000000050009000000000008000300\
    0000018a080008000000000008000c007ac5aab208000b0000000001080007000000001d1c0009800c00010000000000\
    000000010c00020000000000000000341c000a800c00010000000000000000010c000200000000000000003410001480\
    0c00010018ea8aead8722250";

const ZONE_DNAT: &str = "\
    240100000001020001000000b1e724bd020000003400018014000180080001000a090001080002000a0900021c000280\
    050001000600000006000200acc60000060003001f9000003400028014000180080001000a090002080002000a090001\
    1c0002800500010006000000060002001f91000006000300acc60000060012000005000008000300000001a808000800\
    0000000008000c0092013fa708000b00000000010800070000000075300004802c000180050001000100000005000200\
    0a0000000500030000000000060004000300000006000500000000001c0009800c00010000000000000000010c000200\
    000000000000003c1c000a800c00010000000000000000000c0002000000000000000000100014800c00010018ea8aea\
    549d632f";

const NEW: &str = "\
    ec000000000100060000000000000000020000003400018014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002009c400000060003001b5800003400028014000180080001000a090002080002000a090001\
    1c0002800500010006000000060002001b580000060003009c40000008000c00219622e6080003000000018808000700\
    00000078300004802c0001800500010001000000050002000a0000000500030000000000060004000300000006000500\
    000000001400160020000000000000000000000000000000080008000000002a0c001b0018ea8aea5494af88";

const UPDATE: &str = "\
    d8000000000100000000000000000000020000003400018014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002009c400000060003001b5800003400028014000180080001000a090002080002000a090001\
    1c0002800500010006000000060002001b580000060003009c40000008000c00219622e6080003000000018e08000700\
    00069780300004802c0001800500010003000000050002000a000000050003000a000000060004002300000006000500\
    23000000080008000000002a0c001b0018ea8aea5495a8dd";

const DESTROY: &str = "\
    0c0100000201000000000000b1e724bd020000003400018014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002009c400000060003001b5800003400028014000180080001000a090002080002000a090001\
    1c0002800500010006000000060002001b580000060003009c40000008000c00219622e6080003000000038e08000700\
    000000771c0009800c00010000000000000000060c00020000000000000001451c000a800c0001000000000000000005\
    0c00020000000000000001111c0014800c00010018ea8aea54951b1d0c00020018ea8aeb3b679e46100004800c000180\
    0500010007000000080008000000002a0c001b0018ea8aeb3b679f72";

const RELATED: &str = "\
    04010000000100060000000000000000020000003400018014000180080001000a090001080002000a0900021c000280\
    050001000600000006000200e98e000006000300c80a00003400028014000180080001000a090002080002000a090001\
    1c000280050001000600000006000200c80a000006000300e98e000008000c003415e158080003000000018908000700\
    00000078300004802c0001800500010001000000050002000a0000000500030000000000060004000300000006000500\
    0000000034000e8014000180080001000a090001080002000a0900021c000280050001000600000006000200a02a0000\
    06000300001500000c001b0018ea8b15c37233f5";

const EXPECTATION_NEW: &str = "\
    d8000000000200060000000000000000020000003400028014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002000000000006000300c80a0000340003801400018008000100ffffffff08000200ffffffff\
    1c0002800500010006000000060002000000000006000300ffff00003400018014000180080001000a09000108000200\
    0a0900021c000280050001000600000006000200a02800000600030000150000080004000000012c08000500171c64e1\
    080008000000000008000900000000000800060066747000";

const EXPECTATION_NAT: &str = "\
    180100000002020001000000b7306e85020000003400028014000180080001000a090001080002000a0900021c000280\
    0500010006000000060002000000000006000300138e0000340003801400018008000100ffffffff08000200ffffffff\
    1c0002800500010006000000060002000000000006000300ffff00003400018014000180080001000a09000108000200\
    0a0900021c000280050001000600000006000200a0280000060003000015000040000a80080001000000000134000280\
    14000180080001000a09003708000200000000001c000280050001000600000006000200004d00000600030000000000\
    080004000000012b08000500bfabc9a9080008000000000008000900000000000800060066747000";
