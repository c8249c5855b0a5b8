//! The properties that tests and fuzz targets check.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a property that panics does not hold")]

use std::time::Duration;

use super::{
    node::{Mode, Settings},
    record::{ExpectationRecord, FlowRecord},
    simulation::{Faults, World},
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
    // Decoding ignores a final attribute without a payload, so an empty text or bitmap may be lost at the end.
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
    let created = record.to_expectation();
    assert_eq!(created.is_some(), record.key().is_some());
    if let Some(mut expectation) = created {
        // Messages always carry the flags.
        expectation.flags.get_or_insert_default();
        assert_eq!(ExpectationRecord::of_key(&record.key().unwrap()).key(), record.key());
        assert_eq!(ExpectationRecord::new(&expectation).unwrap().to_expectation(), Some(expectation));
    }
}

/// Two ends of a link, driven by the bytes: flows and expectations change, datagrams are delivered, lost, repeated or
/// reordered, time passes, and bytes of a stranger arrive.
///
/// Nothing panics, and memory stays within the entries that exist. Without a stranger, the tables are equal in the end.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn link(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next();
    let Some(options) = next() else { return };
    let has_expectations = options & 8 != 0;
    let settings = |first_sequence| Settings {
        resend_queue: if options & 1 == 0 { 131_072 } else { 16 },
        in_flight: if options & 1 == 0 { 4096 } else { 4 },
        window: if options & 2 == 0 { 300 } else { u32::from(options >> 4) },
        external: 4096,
        expectations: if has_expectations { 4096 } else { 0 },
        ..Settings::new(if options & 4 == 0 { Mode::FtFw } else { Mode::NoTrack }, first_sequence)
    };
    let mut world = World::new(settings, Faults::default(), u64::from(options));
    let mut has_stranger = false;
    while let Some(step) = next() {
        let end = usize::from(step & 1);
        match step >> 1 & 7 {
            0..=2 => {
                let (number, value) = (u16::from(next().unwrap_or(0)), (step < 0xc0).then_some(u32::from(step)));
                if has_expectations && number & 1 != 0 {
                    world.ends[end].change_expectation(number, value);
                } else {
                    world.ends[end].change(number, value);
                }
            }
            3 => world.run(Duration::from_millis(u64::from(step >> 4) * 10 + 1)),
            4 => world.run(Duration::from_millis(1)),
            5 => world.faults.loss = u64::from(step >> 4) * 7,
            6 => {
                (world.faults.duplicates, world.faults.reordered) =
                    (u64::from(step >> 4) * 6, u64::from(step >> 5) * 12)
            }
            _ => {
                has_stranger = true;
                let length = usize::from(next().unwrap_or(0));
                let datagram: Vec<u8> = std::iter::from_fn(&mut next).take(length).collect();
                let now = world.now;
                world.ends[end].node.receive(&datagram, now);
            }
        }
    }
    world.faults = Faults::default();
    if options & 4 != 0 {
        // Without acknowledgements, only a table that is sent again makes up for losses, and not for ends.
        world.run(Duration::from_millis(10));
    } else {
        world.run(Duration::from_secs(if has_stranger { 1 } else { 30 }));
        assert!(has_stranger || world.is_synchronized(), "{:#?}", world.ends);
    }
    for end in &world.ends {
        assert!(end.node.entries() < 4096 + 4096 + 4 * 256 + 3 * 1024, "{}", end.node.entries());
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[track_caller]
    fn replay(target: &str, property: fn(&[u8])) {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let files = |folder| fs::read_dir(fuzz.join(folder).join(target)).into_iter().flatten();
        let inputs: Vec<_> =
            ["corpus", "regressions"].into_iter().flat_map(files).map(|input| input.unwrap().path()).collect();
        assert!(inputs.len() >= 50, "{} inputs: the corpus is missing", inputs.len());
        inputs.iter().for_each(|input| property(&fs::read(input).unwrap()));
    }

    #[test]
    fn kept_datagrams_still_pass() {
        replay("conntrackd_codec", super::codec);
    }

    #[test]
    fn kept_histories_still_pass() {
        replay("conntrackd_link", super::link);
    }
}
