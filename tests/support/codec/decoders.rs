//! Decodes messages in every way and compares the results.

use ctnetlink::{
    DecodeError, Expectation, ExpectationRef, Flow, FlowRef,
    wire::{Messages, RawMessage},
};

/// Decodes messages in every way and compares the results.
pub(crate) fn decode_every_way(bytes: &[u8]) {
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = flow(&message);
        let _ = expectation(&message);
        let _ = ctnetlink::wire::Acknowledgement::parse(&message);
    }
}

pub(crate) fn flow(message: &RawMessage<'_>) -> Result<Flow, DecodeError> {
    let view = FlowRef::parse(message);
    let owned = Flow::decode(message);
    assert_eq!(view.map(|view| view.to_flow()), owned);
    if let (Ok(view), Ok(owned)) = (&view, &owned) {
        assert_same_flow(view, owned);
    }
    owned
}

fn assert_same_flow(view: &FlowRef<'_>, flow: &Flow) {
    assert_eq!(view.original().to_tuple(), flow.original);
    assert_eq!(view.reply().to_tuple(), flow.reply);
    assert_eq!(view.zone(), flow.zone);
    assert_eq!(view.status(), flow.status);
    assert_eq!(view.timeout(), flow.timeout);
    assert_eq!(view.mark(), flow.mark);
    assert_eq!(view.protocol_info(), flow.protocol_info);
    assert_eq!(view.counters_original(), flow.counters_original);
    assert_eq!(view.counters_reply(), flow.counters_reply);
    assert_eq!(view.times(), flow.times);
    assert_eq!(view.event_time(), flow.event_time);
    assert_eq!(view.helper().map(Into::into), flow.helper);
    assert_eq!(view.labels(), flow.labels);
    assert_eq!(view.security_context(), flow.security_context.as_deref());
    assert_eq!(view.master().map(|tuple| tuple.to_tuple()), flow.master);
    assert_eq!(view.sequence_adjustment_original(), flow.sequence_adjustment_original);
    assert_eq!(view.sequence_adjustment_reply(), flow.sequence_adjustment_reply);
    assert_eq!(view.synproxy(), flow.synproxy);
    assert_eq!(view.id(), flow.id);
    assert_eq!(view.use_count(), flow.use_count);
    assert_eq!(view.tcp_state(), flow.tcp_state());
    assert_eq!(view.is_assured(), flow.is_assured());
    assert_eq!(view.snat(), flow.snat());
    assert_eq!(view.dnat(), flow.dnat());
    assert_eq!(view.total_counters(), flow.total_counters());
    assert_eq!(without_age(&view.to_string()), without_age(&flow.to_string()));
}

/// Removes the age from a printed flow, since each printing reads the clock.
fn without_age(printed: &str) -> String {
    printed.split(' ').filter(|word| !word.starts_with("delta-time=")).collect::<Vec<_>>().join(" ")
}

pub(crate) fn expectation(message: &RawMessage<'_>) -> Result<Expectation, DecodeError> {
    let view = ExpectationRef::parse(message);
    let owned = Expectation::decode(message);
    assert_eq!(view.map(|view| view.to_expectation()), owned);
    owned
}
