//! Messages to test with: recorded, encoded, taken apart and put together in another way.

use ctnetlink::{
    Expectation, Flow,
    wire::{Encoder, Flags, Message, MessageType, Messages},
};

/// Bytes of both headers.
pub(crate) const HEADERS: usize = 20;
const NESTED: u16 = 1 << 15;

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

/// An attribute taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) number: u16,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Value(Vec<u8>),
    Nest(Vec<Node>),
}

impl Node {
    pub(crate) fn value(number: u16, payload: &[u8]) -> Self {
        Self { number, content: Content::Value(payload.to_vec()) }
    }
}

/// The attributes of a message, told from values by the flag that the kernel sets on nests.
pub(crate) fn nodes(bytes: &[u8]) -> Vec<Node> {
    read(&bytes[HEADERS..])
}

fn read(mut bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let payload = &bytes[4..length];
        let content = if kind & NESTED == 0 { Content::Value(payload.to_vec()) } else { Content::Nest(read(payload)) };
        nodes.push(Node { number: kind & !NESTED, content });
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    nodes
}

/// The message again, with other attributes.
pub(crate) fn with_nodes(bytes: &[u8], nodes: &[Node]) -> Vec<u8> {
    let mut message = bytes[..HEADERS].to_vec();
    write(nodes, &mut message);
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn write(nodes: &[Node], bytes: &mut Vec<u8>) {
    for node in nodes {
        let start = bytes.len();
        let flag = if matches!(node.content, Content::Nest(_)) { NESTED } else { 0 };
        bytes.extend([0; 2]);
        bytes.extend((node.number | flag).to_ne_bytes());
        match &node.content {
            Content::Value(payload) => bytes.extend(payload),
            Content::Nest(nodes) => write(nodes, bytes),
        }
        let length = (bytes.len() - start) as u16;
        bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}
