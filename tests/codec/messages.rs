//! Messages for tests, recorded and encoded.

use ctnetlink::{
    Expectation, Flow,
    wire::{Encoder, Flags, MessageType, Messages, RawMessage},
};

pub(crate) use crate::recordings::{hex, recorded};

/// Every recorded message.
pub(crate) fn all_recorded() -> Vec<Vec<u8>> {
    [recorded("vectors-dump"), recorded("vectors-events")].concat()
}

pub(crate) fn message(bytes: &[u8]) -> RawMessage<'_> {
    Messages::new(bytes).next().unwrap().unwrap()
}

pub(crate) fn is_flow(bytes: &[u8]) -> bool {
    matches!(message(bytes).header().message_type, MessageType::FLOW_NEW | MessageType::FLOW_DELETE)
}

pub(crate) fn is_expectation(bytes: &[u8]) -> bool {
    matches!(message(bytes).header().message_type, MessageType::EXPECTATION_NEW | MessageType::EXPECTATION_DELETE)
}

pub(crate) fn flow_bytes(flow: &Flow) -> Vec<u8> {
    written(MessageType::FLOW_NEW, |body| flow.encode(body))
}

pub(crate) fn expectation_bytes(expectation: &Expectation) -> Vec<u8> {
    written(MessageType::EXPECTATION_NEW, |body| expectation.encode(body))
}

pub(crate) fn written(message_type: MessageType, body: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    // A pattern other than zeros exposes unwritten bytes.
    let mut buffer = vec![0xa5; 4096];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(message_type, Flags::empty(), 0, 2, body);
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}
