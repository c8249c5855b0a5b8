//! Takes messages apart and reassembles them with other attributes.

/// The size of both headers.
pub(crate) const HEADERS: usize = 20;
const NESTED: u16 = 1 << 15;

/// An attribute, as a value or a nest.
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

/// Returns the attributes of a message. The kernel's flag distinguishes nests from values.
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

/// Returns the message with other attributes.
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

/// Returns an attribute with an unknown number.
pub(crate) fn unknown() -> Node {
    Node::value(1000, &[1, 2, 3])
}

/// Changes the top level and every nest.
pub(crate) fn change_nests(nodes: &mut Vec<Node>, change: &mut impl FnMut(&mut Vec<Node>)) {
    for node in nodes.iter_mut() {
        if let Content::Nest(nodes) = &mut node.content {
            change_nests(nodes, change);
        }
    }
    change(nodes);
}
