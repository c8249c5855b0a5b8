//! Messages recorded from a kernel: `tests/data/vectors-*.jsonl`.
#![allow(dead_code)] // Not every test uses all of it.

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

/// Parses hexadecimal digits, ignoring everything between them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
