//! The properties that tests and fuzz targets check.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a property that panics does not hold")]

use std::time::Duration;

use super::{
    record::{ExpectationRecord, FlowRecord},
    wire::{Body, HEADER, Message, Messages},
};

/// Whatever the bytes are, reading them ends, and everything that was read is the same after encoding and reading again.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn codec(datagram: &[u8]) {
    let mut messages = 0;
    for message in Messages::new(datagram) {
        messages += 1;
        let Ok(message) = message else { continue };
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        assert_eq!(encoded.len(), message.encoded_len());
        let again = Messages::new(&encoded).next().unwrap().unwrap();
        assert_eq!(again, message);
        match message.body {
            Body::Flow(_, attributes) => flow(attributes),
            Body::Expectation(_, attributes) => expectation(attributes),
            _ => {}
        }
    }
    assert!(messages <= datagram.len() / HEADER + 1);
}

fn flow(attributes: &[u8]) {
    let Ok(record) = FlowRecord::decode(attributes) else { return };
    // A final attribute without a payload is not seen, so that an empty text or bitmap may get lost at the end only.
    let mut again = FlowRecord::decode(&record.encode()).unwrap();
    again.helper = again.helper.or(record.helper.clone().filter(|helper| helper.0.is_empty()));
    again.labels = again.labels.or(record.labels.clone().filter(|labels| labels.0.is_empty()));
    assert_eq!(again, record);

    let created = record.to_new_flow(Duration::from_secs(1));
    assert_eq!(created.is_some(), record.key().is_some());
    if let Some(key) = record.key() {
        assert_eq!(FlowRecord::of_key(&key).key(), Some(key));
        let message = Message {
            sequence: 0,
            hello: false,
            hello_back: false,
            body: Body::Flow(super::wire::Kind::Delete, FlowRecord::of_key(&key).encode()),
        };
        assert!(message.encoded_len() <= 128);
    }
}

fn expectation(attributes: &[u8]) {
    let Ok(record) = ExpectationRecord::decode(attributes) else { return };
    let mut again = ExpectationRecord::decode(&record.encode()).unwrap();
    again.helper = again.helper.or(record.helper.clone().filter(|helper| helper.0.is_empty()));
    again.function = again.function.or(record.function.clone().filter(|function| function.0.is_empty()));
    assert_eq!(again, record);
    if let Some(expectation) = record.to_expectation() {
        let again = ExpectationRecord::new(&expectation).unwrap().to_expectation();
        assert_eq!(again.map(|again| again.tuple), Some(expectation.tuple));
    }
}
