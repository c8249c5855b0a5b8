//! The recorded messages, decoded, and the recorded lines.

use ctnetlink::{
    EventKind, Expectation, Flow, Timestamp,
    wire::{Messages, RawMessage},
};

use crate::recorded::recorded;

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("../data/", $name))
    };
}
pub(crate) use data;

/// A recorded event of a flow.
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) flow: Flow,
    pub(crate) port_id: u32,
}

/// The flows of the dump, in its order.
pub(crate) fn dumped_flows() -> Vec<Flow> {
    read("vectors-dump", |message| Flow::decode(message).ok())
}

/// The expectations of the dump.
pub(crate) fn dumped_expectations() -> Vec<Expectation> {
    read("vectors-dump", |message| Expectation::decode(message).ok())
}

/// The events of flows, in the order in which they arrived.
pub(crate) fn flow_events() -> Vec<Event> {
    read("vectors-events", |message| {
        let flow = Flow::decode(message).ok()?;
        let header = message.header();
        Some(Event { kind: kind(message), flow, port_id: header.port })
    })
}

/// The events of expectations.
pub(crate) fn expectation_events() -> Vec<(EventKind, Expectation)> {
    read("vectors-events", |message| Some((kind(message), Expectation::decode(message).ok()?)))
}

/// The approximate time at which the table was listed, derived from the recorded ages.
pub(crate) fn time_of_listing() -> Timestamp {
    Timestamp(1_795_400_629_000_000_000)
}

fn kind(message: &RawMessage<'_>) -> EventKind {
    ctnetlink::EventRef::parse(message).unwrap().kind().unwrap()
}

fn read<T>(recording: &str, value: impl Fn(&RawMessage<'_>) -> Option<T>) -> Vec<T> {
    let messages = recorded(recording).into_iter();
    messages.filter_map(|bytes| value(&Messages::new(&bytes).next().unwrap().unwrap())).collect()
}
