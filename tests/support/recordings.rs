//! Messages recorded from a kernel: `tests/data/vectors-*.jsonl`.
//!
//! The recordings were made on x86-64. The headers of netlink messages and attributes, and labels, are in the byte order
//! of the machine, so they are converted for a big-endian one.
#![allow(dead_code, clippy::panic)] // Not every test uses all of it, and a test that panics fails.

/// Returns the messages of a recording, in order.
pub(crate) fn recorded(name: &str) -> Vec<Vec<u8>> {
    let text = match name {
        "vectors-dump" => include_str!("../data/vectors-dump.jsonl"),
        "vectors-events" => include_str!("../data/vectors-events.jsonl"),
        _ => panic!("there is no recording {name}"),
    };
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| hex(line["hex"].as_str().unwrap())).collect()
}

/// Parses a recorded message from hexadecimal digits, ignoring everything between them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let mut message: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    if cfg!(target_endian = "big") {
        reverse_message(&mut message);
    }
    message
}

/// Converts a little-endian message of ctnetlink.
fn reverse_message(message: &mut [u8]) {
    const NETLINK_HEADER: [usize; 5] = [4, 2, 2, 4, 4];
    const NETFILTER_HEADER: usize = 4;
    let (header, body) = message.split_at_mut(NETLINK_HEADER.iter().sum());
    let mut rest = header;
    for size in NETLINK_HEADER {
        let (field, after) = rest.split_at_mut(size);
        field.reverse();
        rest = after;
    }
    reverse_attributes(&mut body[NETFILTER_HEADER..], true);
}

fn reverse_attributes(mut attributes: &mut [u8], outermost: bool) {
    const NESTED: u16 = 0x8000;
    const LABELS: [u16; 2] = [22, 23];
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_le_bytes([attributes[0], attributes[1]]));
        let kind = u16::from_le_bytes([attributes[2], attributes[3]]);
        let (attribute, after) = attributes.split_at_mut(length.next_multiple_of(4).min(attributes.len()));
        attribute[..2].reverse();
        attribute[2..4].reverse();
        let value = &mut attribute[4..length];
        if kind & NESTED != 0 {
            reverse_attributes(value, false);
        } else if outermost && LABELS.contains(&kind) {
            value.chunks_mut(size_of::<usize>()).for_each(<[u8]>::reverse);
        }
        attributes = after;
    }
}
