//! Every type that holds a flow reads the same through `AnyFlow`.

use std::collections::BTreeSet;

use ctnetlink::{
    AnyFlow, Event, Filter, Flow, FlowRef, FlowTable, FlowTimes, Timestamp, Tuple,
    events::FlowEvent,
    wire::{Encoder, Flags, MessageType, Messages},
};
use proptest::{
    prop_assert_eq, proptest,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use crate::arbitrary;

/// A flow built only from the accessors.
fn rebuilt(source: &impl AnyFlow) -> Flow {
    let mut flow = Flow::new(source.original(), source.reply());
    flow.zone = source.zone();
    flow.status = source.status();
    flow.mark = source.mark();
    flow.security_context = source.security_context().map(Into::into);
    flow.id = source.id();
    flow.use_count = source.use_count();
    flow.master = source.master();
    flow.timeout = source.timeout();
    flow.protocol_info = source.protocol_info();
    flow.counters_original = source.counters_original();
    flow.counters_reply = source.counters_reply();
    flow.times = source.times();
    flow.helper = source.helper().map(Into::into);
    flow.labels = source.labels();
    flow.sequence_adjustment_original = source.sequence_adjustment_original();
    flow.sequence_adjustment_reply = source.sequence_adjustment_reply();
    flow.synproxy = source.synproxy();
    flow.event_time = source.event_time();
    flow
}

/// The getters that follow from attributes.
fn derived(flow: &impl AnyFlow) -> String {
    let now = Timestamp(u64::MAX);
    let states = (flow.tcp_state(), flow.sctp_state(), flow.dccp_state());
    let status = (flow.has_seen_reply(), flow.is_assured(), flow.is_offloaded());
    let nat = (flow.snat(), flow.dnat(), flow.is_snat(), flow.is_dnat());
    let name = flow.helper_name().map(str::to_owned);
    let rest = (flow.total_counters(), flow.duration(now), flow.family(), flow.protocol());
    format!("{states:?} {status:?} {nat:?} {name:?} {rest:?}")
}

fn with_view<R>(flow: &Flow, read: impl FnOnce(&FlowRef<'_>) -> R) -> R {
    let mut buffer = vec![0; 70_000];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(MessageType::FLOW_NEW, Flags::empty(), 1, flow.family(), |body| flow.encode(body));
    let length = encoder.finish().unwrap();
    let message = Messages::new(&buffer[..length]).next().unwrap().unwrap();
    read(&FlowRef::parse(&message).unwrap())
}

proptest! {
    #[test]
    fn values_and_views_read_the_same(flow in arbitrary::flow()) {
        prop_assert_eq!(rebuilt(&flow), flow.clone());
        prop_assert_eq!(AnyFlow::to_flow(&flow), flow.clone());
        with_view(&flow, |view| {
            prop_assert_eq!(rebuilt(view), flow.clone());
            prop_assert_eq!(AnyFlow::to_flow(view), flow.clone());
            prop_assert_eq!(derived(view), derived(&flow));
            Ok(())
        })?;
    }

    #[test]
    fn table_keeps_every_attribute(flow in arbitrary::flow()) {
        let mut kept = flow;
        // The table keeps no dying flow, and these attributes change with every message.
        (kept.status, kept.use_count, kept.event_time) = (None, None, None);
        let start = kept.times.and_then(|times| times.start).filter(|start| start.0 != 0);
        kept.times = start.map(|start| FlowTimes::new(start, None));
        let mut table = FlowTable::new();
        table.apply(&Event::New(FlowEvent::new(kept.clone())), &mut Vec::new());
        let flows: Vec<Flow> = table.iter().map(|entry| entry.to_flow()).collect();
        prop_assert_eq!(flows, [kept]);
    }

    #[test]
    fn table_entries_read_as_their_value(flow in arbitrary::flow()) {
        let mut table = FlowTable::new();
        let mut flow = flow;
        flow.status = None;
        table.apply(&Event::New(FlowEvent::new(flow)), &mut Vec::new());
        for entry in table.iter() {
            let value = entry.to_flow();
            prop_assert_eq!(rebuilt(&entry), value.clone());
            prop_assert_eq!(derived(&entry), derived(&value));
            let filter: Filter = "proto tcp and (dport < 1024 or age < 7) or src-nat or mark 1".parse().unwrap();
            let now = Timestamp(1 << 62);
            prop_assert_eq!(filter.matches_at(&entry, now), filter.matches_at(&value, now));
        }
    }
}

/// Without every attribute, the properties would not notice a copy that leaves an attribute out.
#[test]
fn arbitrary_flows_have_every_attribute() {
    let absent = |flow: &Flow| -> BTreeSet<String> {
        let text = format!("{flow:#?}");
        let fields = text.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(": None,"));
        fields.filter(|name| !name.starts_with(' ')).map(str::to_owned).collect()
    };
    let mut runner = TestRunner::deterministic();
    let mut never = absent(&Flow::new(tuple(), tuple()));
    assert!(never.len() > 15, "{never:?}");
    for _ in 0..256 {
        never = &never & &absent(&arbitrary::flow().new_tree(&mut runner).unwrap().current());
    }
    assert!(never.is_empty(), "no generated flow has {never:?}");
}

fn tuple() -> Tuple {
    Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())
}
