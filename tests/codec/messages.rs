//! Messages to test with: recorded, and encoded.

use ctnetlink::{
    Expectation, Flow,
    wire::{Encoder, Flags, Message, MessageType, Messages},
};

/// The messages of a recording.
pub(crate) fn recorded(name: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| hex(line["hex"].as_str().unwrap())).collect()
}

/// Every recorded message.
pub(crate) fn all_recorded() -> Vec<Vec<u8>> {
    [recorded("vectors-dump"), recorded("vectors-events")].concat()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

pub(crate) fn message(bytes: &[u8]) -> Message<'_> {
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
    // What is not written shows.
    let mut buffer = vec![0xa5; 4096];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(message_type, Flags::empty(), 0, 2, body);
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}
