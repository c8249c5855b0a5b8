//! Compares the codec with recorded datagrams of conntrackd 1.4.7, and with its verdicts on malformed datagrams.

use super::{
    property,
    record::{ExpectationRecord, FlowRecord},
    wire::{Body, Malformed, Message, Messages},
};

const VALID: &str = include_str!("../../tests/data/conntrackd.txt");
const MALFORMED: &str = include_str!("../../tests/data/conntrackd-malformed.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_start_matches('-').as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn lines(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter(|line| !line.starts_with('#'))
}

fn decoded(message: &Message<&[u8]>) -> Result<Message<Vec<u8>>, Malformed> {
    let body = match message.body {
        Body::Flow(kind, attributes) => Body::Flow(kind, FlowRecord::decode(attributes)?.encode()),
        Body::Expectation(kind, attributes) => Body::Expectation(kind, ExpectationRecord::decode(attributes)?.encode()),
        Body::Acknowledge(range) => Body::Acknowledge(range),
        Body::Missing(range) => Body::Missing(range),
        Body::Resync => Body::Resync,
        Body::Alive => Body::Alive,
    };
    Ok(Message { sequence: message.sequence, hello: message.hello, hello_back: message.hello_back, body })
}

#[test]
fn recorded_datagrams_encode_to_the_same_bytes() {
    let (mut datagrams, mut flows, mut expectations) = (0, 0, 0);
    for line in lines(VALID) {
        let datagram = bytes(line.rsplit(' ').next().unwrap());
        let mut again = Vec::new();
        for message in Messages::new(&datagram) {
            let message = message.unwrap_or_else(|error| panic!("{error:?}: {line}"));
            flows += usize::from(matches!(message.body, Body::Flow(..)));
            expectations += usize::from(matches!(message.body, Body::Expectation(..)));
            decoded(&message).unwrap_or_else(|error| panic!("{error:?}: {line}")).encode(&mut again);
        }
        assert_eq!(again, datagram, "{line}");
        datagrams += 1;
    }
    assert_eq!(datagrams, 217);
    assert_eq!((flows, expectations), (398, 3));
}

/// Every recorded flow can be created, except GRE and UDP-Lite flows, whose keys and ports conntrackd does not send.
#[test]
fn recorded_flows_become_flows_to_create() {
    let mut refused = Vec::new();
    for line in lines(VALID) {
        let datagram = bytes(line.rsplit(' ').next().unwrap());
        for message in Messages::new(&datagram) {
            if let Body::Flow(_, attributes) = message.unwrap().body {
                let record = FlowRecord::decode(attributes).unwrap();
                if record.to_new_flow(std::time::Duration::ZERO).is_none() {
                    refused.push(record.protocol);
                }
            }
        }
    }
    refused.dedup();
    assert!(refused.iter().all(|protocol| matches!(protocol, Some(47 | 136))), "{refused:?}");
}

#[test]
fn malformed_datagrams_get_the_verdict_of_conntrackd() {
    let mut datagrams = 0;
    for line in lines(MALFORMED) {
        let mut fields = line.splitn(5, ' ');
        let mut field = || fields.next().unwrap();
        let (error, theirs, ours, datagram) = (field(), field(), field(), bytes(field()));
        let (mut errors, mut accepted, mut usable) = (Vec::new(), 0, 0);
        for message in Messages::new(&datagram) {
            match message.and_then(|message| decoded(&message).map(|_| message.body)) {
                Ok(Body::Flow(_, attributes)) => {
                    accepted += 1;
                    usable += u32::from(FlowRecord::decode(attributes).unwrap().key().is_some());
                }
                Ok(Body::Expectation(_, attributes)) => {
                    accepted += 1;
                    usable += u32::from(ExpectationRecord::decode(attributes).unwrap().to_expectation().is_some());
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        let name = |error: &Malformed| match error {
            Malformed::Truncated => "truncated",
            Malformed::Size => "size",
            Malformed::Version => "version",
            Malformed::Header { .. } => "header",
            Malformed::Payload => "payload",
        };
        assert!(errors.len() <= 1, "{errors:?}: {line}");
        assert_eq!(errors.first().map_or("none", name), error, "{line}");
        assert_eq!((accepted, usable), (theirs.parse().unwrap(), ours.parse().unwrap()), "{line}");
        datagrams += 1;
    }
    assert_eq!(datagrams, 61);
}

#[test]
fn recorded_and_malformed_datagrams_hold_the_codec_property() {
    for line in lines(VALID) {
        property::codec(&bytes(line.rsplit(' ').next().unwrap()));
    }
    for line in lines(MALFORMED) {
        property::codec(&bytes(line.split(' ').nth(3).unwrap()));
    }
}
