//! Properties that hold for any value and any bytes.

use ctnetlink::{
    DecodeErrorKind, Flow, Labels, Prefix, Protocol, Status, Timestamp, Tuple,
    wire::{
        CTA_HELP_INFO, CTA_LABELS, CTA_SEQ_ADJ_ORIG, CTA_SEQADJ_OFFSET_AFTER, CTA_STATUS, Encoder, Flags, MessageType,
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    arbitrary,
    decoders::{decode_every_way, expectation, flow},
    messages::{all_recorded, expectation_bytes, flow_bytes, is_flow, message},
    nodes::{Content, HEADERS, Node, change_nests, nodes, unknown, with_nodes},
};

fn decoded(bytes: &[u8]) -> Flow {
    flow(&message(bytes)).unwrap()
}

/// Every value with its path of attribute numbers.
fn values<'n>(nodes: &'n mut [Node], above: &[u16]) -> Vec<(Vec<u16>, &'n mut Vec<u8>)> {
    let mut found = Vec::new();
    for node in nodes {
        let path = [above, &[node.number]].concat();
        match &mut node.content {
            Content::Value(payload) => found.push((path, payload)),
            Content::Nest(nodes) => found.extend(values(nodes, &path)),
        }
    }
    found
}

/// Values of any length: text, labels, and a helper's data.
fn is_of_any_length(path: &[u16]) -> bool {
    let text = [vec![5, 1], vec![5, CTA_HELP_INFO], vec![19, 1], vec![CTA_LABELS]];
    text.contains(&path.to_vec())
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let encoded = prop_oneof![
        arbitrary::flow().prop_map(|flow| flow_bytes(&flow)),
        arbitrary::expectation().prop_map(|expectation| expectation_bytes(&expectation)),
    ];
    (encoded, vec((any::<Index>(), any::<u8>()), 0..8)).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len() - HEADERS) + HEADERS;
            bytes[place] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn tuple_comes_back_from_its_text(tuple in arbitrary::tuple()) {
        prop_assert_eq!(tuple.to_string().parse::<Tuple>(), Ok(tuple));
    }

    #[test]
    fn flow_round_trips_through_bytes(sent in arbitrary::flow()) {
        prop_assert_eq!(decoded(&flow_bytes(&sent)), sent);
    }

    #[test]
    fn expectation_round_trips_through_bytes(sent in arbitrary::expectation()) {
        prop_assert_eq!(expectation(&message(&expectation_bytes(&sent))).unwrap(), sent);
    }

    #[test]
    fn any_bytes_decode_alike_in_every_way(bytes in vec(any::<u8>(), 0..300)) {
        decode_every_way(&bytes);
    }

    #[test]
    fn mutated_messages_decode_alike_in_every_way(bytes in mutated()) {
        decode_every_way(&bytes);
    }

    #[test]
    fn order_of_attributes_does_not_matter(sent in arbitrary::flow(), seed in any::<u64>()) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        let mut random = seed;
        change_nests(&mut nodes, &mut |nest| nest.sort_by_key(|_| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            random >> 33
        }));
        prop_assert_eq!(decoded(&with_nodes(&bytes, &nodes)), sent);
    }

    /// An unknown attribute takes a nest off the fast path. The slow path returns the same value.
    #[test]
    fn unknown_attributes_are_skipped_anywhere(sent in arbitrary::flow(), place in any::<Index>()) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        change_nests(&mut nodes, &mut |nest| nest.insert(place.index(nest.len() + 1), unknown()));
        prop_assert_eq!(decoded(&with_nodes(&bytes, &nodes)), sent);
    }

    #[test]
    fn last_of_two_attributes_counts(first in arbitrary::flow(), last in arbitrary::flow()) {
        let bytes = flow_bytes(&first);
        let both = with_nodes(&bytes, &[nodes(&bytes), nodes(&flow_bytes(&last))].concat());
        let got = decoded(&both);
        prop_assert_eq!(got.original, last.original);
        prop_assert_eq!(got.reply, last.reply);
        prop_assert_eq!(got.zone, last.zone.or(first.zone));
        prop_assert_eq!(got.status, last.status.or(first.status));
        prop_assert_eq!(got.protocol_info, last.protocol_info.or(first.protocol_info));
        prop_assert_eq!(got.labels, last.labels.or(first.labels));
        prop_assert_eq!(got.helper, last.helper.or(first.helper));
        prop_assert_eq!(got.master, last.master.or(first.master));
        prop_assert_eq!(got.counters_reply, last.counters_reply.or(first.counters_reply));
    }

    #[test]
    fn repeated_value_is_not_an_error(sent in arbitrary::flow()) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        change_nests(&mut nodes, &mut |nest| *nest = [nest.clone(), nest.clone()].concat());
        prop_assert_eq!(decoded(&with_nodes(&bytes, &nodes)), sent);
    }

    /// `CTA_TIMESTAMP_EVENT` is padded with an empty attribute that has the number of `CTA_STATUS`.
    #[test]
    fn misnumbered_pad_is_skipped_anywhere(sent in arbitrary::flow(), place in any::<Index>()) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        nodes.insert(place.index(nodes.len() + 1), Node::value(CTA_STATUS, &[]));
        prop_assert_eq!(decoded(&with_nodes(&bytes, &nodes)), sent);
    }

    #[test]
    fn longer_values_are_accepted(sent in arbitrary::flow(), more in 1..9_usize) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        for (path, payload) in values(&mut nodes, &[]) {
            if !is_of_any_length(&path) {
                payload.resize(payload.len() + more, 0xff);
            }
        }
        prop_assert_eq!(decoded(&with_nodes(&bytes, &nodes)), sent);
    }

    #[test]
    fn short_value_error_names_path_and_byte(sent in arbitrary::flow(), which in any::<Index>()) {
        let bytes = flow_bytes(&sent);
        let mut nodes = nodes(&bytes);
        let mut values = values(&mut nodes, &[]);
        values.retain(|(path, _)| !is_of_any_length(path));
        let (path, payload) = values.swap_remove(which.index(values.len()));
        let expected = payload.len() as u16;
        payload.pop();
        // An empty status is the pad.
        prop_assume!(path != [CTA_STATUS] || !payload.is_empty());
        let error = flow(&message(&with_nodes(&bytes, &nodes))).unwrap_err();
        prop_assert_eq!(error.kind(), DecodeErrorKind::Length { actual: expected - 1, expected });
        prop_assert_eq!(&error.path().iter().map(|(_, number)| number).collect::<Vec<_>>(), &path);
        // Headers stay in place: padding replaces the removed bytes after them.
        let number = path[path.len() - 1];
        prop_assert_eq!(&bytes[error.offset() + 2..error.offset() + 4], &number.to_ne_bytes()[..]);
    }
}

#[test]
fn tuple_of_two_families_is_an_error() {
    let tuple = |ends: [&str; 2]| Tuple::udp(ends[0].parse().unwrap(), ends[1].parse().unwrap());
    let four = tuple(["10.0.0.1:1", "10.0.0.2:2"]);
    let six = tuple(["[fd00::1]:1", "[fd00::2]:2"]);
    let bytes = flow_bytes(&Flow::new(four, four));
    let Content::Nest(six) = nodes(&flow_bytes(&Flow::new(six, six)))[0].content.clone() else { unreachable!() };
    let Content::Nest(addresses) = six[0].content.clone() else { unreachable!() };
    let mut nodes = nodes(&bytes);
    change_nests(&mut nodes, &mut |nest| {
        if nest.iter().all(|node| matches!(&node.content, Content::Value(bytes) if bytes.len() == 4)) {
            nest.extend(addresses.clone());
        }
    });
    let error = flow(&message(&with_nodes(&bytes, &nodes))).unwrap_err();
    assert_eq!(error.to_string(), "CTA_TUPLE_ORIG > CTA_TUPLE_IP: addresses of two families (byte 28)");
}

#[test]
fn truncated_recordings_never_panic() {
    for bytes in all_recorded() {
        for length in 0..bytes.len() {
            decode_every_way(&bytes[..length]);
            // The same with the shortened length in the header.
            if length >= HEADERS {
                let mut shorter = bytes[..length].to_vec();
                shorter[..4].copy_from_slice(&(length as u32).to_ne_bytes());
                decode_every_way(&shorter);
            }
        }
    }
}

#[test]
fn flipped_bits_decode_alike_in_every_way() {
    for bytes in all_recorded() {
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                decode_every_way(&flipped);
            }
        }
    }
}

/// The worst lengths of `nlattr`: shorter than the header, and longer than the message.
#[test]
fn impossible_lengths_end_the_walk_with_an_error() {
    let bytes = all_recorded().into_iter().find(|bytes| is_flow(bytes)).unwrap();
    for length in [0_u16, 3, 4000, u16::MAX] {
        let mut broken = bytes.clone();
        broken[HEADERS..HEADERS + 2].copy_from_slice(&length.to_ne_bytes());
        let error = flow(&message(&broken)).unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::Truncated { .. }), "{error}");
        assert_eq!(error.offset(), HEADERS);
    }
}

/// Linux writes all three parts. A future kernel may replace one, and the rest of the flow must stay readable.
#[test]
fn incomplete_sequence_adjustment_does_not_refuse_the_flow() {
    let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let sent = Flow::new(tuple, tuple.inverted().unwrap());
    let mut buffer = [0; 256];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(MessageType::FLOW_NEW, Flags::empty(), 1, sent.family(), |body| {
        sent.encode(body);
        body.nest(CTA_SEQ_ADJ_ORIG, |nest| {
            nest.u32(CTA_SEQADJ_OFFSET_AFTER, 5);
            nest.u32(99, 7);
        });
    });
    let length = encoder.finish().unwrap();
    let adjustment = decoded(&buffer[..length]).sequence_adjustment_original.unwrap();
    assert_eq!((adjustment.offset_before, adjustment.offset_after), (0, 5));
}

#[test]
fn printed_values_keep_to_the_width() {
    let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    assert_eq!(format!("{tuple:>30}|"), "     tcp 10.0.0.1:1 10.0.0.2:2|");
    assert_eq!(format!("{:<12}|", "10.0.0.0/8".parse::<Prefix>().unwrap()), "10.0.0.0/8  |");
    assert_eq!(format!("{:<19}|", Status::SEEN_REPLY | Status::ASSURED), "SEEN_REPLY,ASSURED |");
    assert_eq!(format!("{:>5}|", [1, 7].into_iter().collect::<Labels>()), "  1,7|");
    assert_eq!(format!("{:^12}|", Timestamp(1_500_000_000)), "  1.500000  |");
    assert_eq!(format!("{:>6}{:<13}|", Protocol::TCP, tuple.source_endpoint()), "   tcp10.0.0.1:1   |");
}
