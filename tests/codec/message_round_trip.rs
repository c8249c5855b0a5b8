//! `Message` values, encoded and decoded again.

use ctnetlink::{
    CpuStatistics, Errno, ExpectationStatistics, Family, Filter, Flow, FlowKey, FlowUpdate, Message, NewFlow,
    TableStatistics,
    filter::Capabilities,
    request::{DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlushFlows, GetFlow, Table},
    wire::{Acknowledgement, Encoder, Messages},
};
use proptest::prelude::*;

use crate::arbitrary;

/// The flow, without attributes that the kernel refuses in a create request.
fn creatable(flow: &Flow) -> NewFlow {
    let mut new = NewFlow::from(flow);
    let zone = new.reply.zone;
    new.reply = new.original;
    new.reply.zone = zone;
    if new.zone.is_some() {
        (new.original.zone, new.reply.zone) = (None, None);
    }
    // Arbitrary flows may have tuples of two families.
    let is_ipv4 = new.original.source.is_ipv4();
    for range in [&mut new.snat, &mut new.dnat] {
        *range = range.filter(|range| range.first_address.is_none_or(|address| address.is_ipv4() == is_ipv4));
    }
    new.helper = new.helper.filter(|helper| helper.name.len() <= 15);
    new.status &= ctnetlink::Status::SEEN_REPLY | ctnetlink::Status::ASSURED;
    new
}

fn round_trip(message: &Message) -> Message {
    let mut buffer = vec![0xa5; 8192];
    let mut encoder = Encoder::new(&mut buffer);
    message.encode(7, &mut encoder);
    let length = encoder.finish().unwrap();
    let wire = Messages::new(&buffer[..length]).next().unwrap().unwrap();
    assert_eq!(wire.header().sequence, 7);
    Message::decode(&wire).unwrap()
}

proptest! {
    #[test]
    fn messages_of_flows_come_back(flow in arbitrary::flow(), zone in any::<Option<u16>>(), id in any::<u32>()) {
        let mut key = FlowKey::original(flow.original);
        key.zone = zone.filter(|_| flow.original.zone.is_none());
        let new = creatable(&flow);
        let update = FlowUpdate::new().mark_bits(id, 0xff).timeout(id);
        for message in [
            Message::Flow(flow.clone()),
            Message::FlowDestroyed(flow.clone()),
            Message::CreateFlow(new),
            Message::UpdateFlow { key, update },
            Message::GetFlow(GetFlow::new(key)),
            Message::GetFlow(GetFlow::new(key).and_zero_counters()),
            Message::DeleteFlow(DeleteFlow::new(key.with_id(id))),
        ] {
            prop_assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn messages_of_expectations_come_back(expectation in arbitrary::expectation(), or_update in any::<bool>()) {
        let key = ExpectationKey::from(&expectation);
        let master = DumpExpectations::of_master(expectation.master).in_zone(3);
        for message in [
            Message::Expectation(expectation.clone()),
            Message::ExpectationDestroyed(expectation.clone()),
            Message::CreateExpectation { expectation, or_update },
            Message::GetExpectation(key),
            Message::DeleteExpectation(key),
            Message::DumpExpectations(master),
        ] {
            prop_assert_eq!(round_trip(&message), message);
        }
    }
}

#[test]
fn other_messages_round_trip() {
    let mut cpu = CpuStatistics::default();
    (cpu.cpu, cpu.found, cpu.chain_too_long) = (3, Some(1), Some(2));
    let mut global = TableStatistics::default();
    global.entries = Some(5);
    let mut expectations = ExpectationStatistics::default();
    (expectations.cpu, expectations.create) = (1, Some(9));
    for message in [
        Message::DumpFlows(DumpFlows::new().of_table(Table::Dying)),
        Message::DumpFlows(DumpFlows::new().of_table(Table::Unconfirmed).of_family(Family::IPV6)),
        Message::DumpFlows(DumpFlows::new().and_zero_counters()),
        Message::FlushFlows(FlushFlows::all()),
        Message::FlushFlows(FlushFlows::of_family(Family::IPV6)),
        Message::GetTableStatistics,
        Message::DumpCpuStatistics,
        Message::DumpExpectationStatistics,
        Message::DeleteExpectationsOf("ftp".into()),
        Message::FlushExpectations,
        Message::DumpExpectations(DumpExpectations::all()),
        Message::CpuStatistics(cpu),
        Message::TableStatistics(global),
        Message::ExpectationStatistics(expectations),
        Message::Acknowledgement(Acknowledgement::new(Errno::EEXIST)),
        Message::Done(Errno(0)),
        Message::Overrun,
        Message::Noop,
    ] {
        assert_eq!(round_trip(&message), message);
    }
}

/// A dump or flush that loses its filter selects every flow.
#[test]
fn filter_of_a_dump_round_trips() {
    for text in [
        "mark 5/0xff",
        "status ASSURED,!SEEN_REPLY",
        "family ipv4 and proto tcp and dport 22 and src 10.0.0.1",
        "family ipv6 and proto icmpv6 and icmp-type 128",
        "any-zone 3",
        "family ipv4 and reply-src 10.0.0.1",
    ] {
        let filter: Filter = text.parse().unwrap();
        for dump in filter.plan(&Capabilities::linux(6, 18)).dumps() {
            let message = Message::DumpFlows(DumpFlows::new().matching(*dump));
            assert_eq!(round_trip(&message), message, "{text}");
        }
    }
}

/// A delete without the name would flush all expectations.
#[cfg(feature = "packet-core")]
#[test]
fn only_values_that_the_kernel_refuses_fail_to_encode() {
    use netlink_packet_core::NetlinkSerializable;
    let message = Message::DeleteExpectationsOf("f\0tp".into());
    let mut payload = vec![0; message.buffer_len()];
    message.serialize(&mut payload);
    let header = [5_u16, 4].map(u16::to_ne_bytes).concat();
    assert_eq!(payload, [[0; 4].as_slice(), &header, &[0; 4]].concat());
}
