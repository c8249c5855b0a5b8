//! Messages that a kernel sent, as they were recorded: `tests/data/vectors-*.jsonl`.
#![allow(dead_code)] // Some have no bytes of their own to read, or look for none.

/// The messages of a recording, in its order.
pub(crate) fn recorded(name: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| hex(line["hex"].as_str().unwrap())).collect()
}

/// The bytes that digits stand for, whatever lies between them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
