//! Reads a line with the flags extended, id and labels.

use std::iter::Peekable;

use ctnetlink::{Counters, Expectation, Flow, Helper, Labels, Protocol, Status, Tuple, format::LabelMap};

use super::{layer4, number, state, state_alone};

type Words<'a> = Peekable<std::str::SplitWhitespace<'a>>;

/// The values of a flow that a line contains.
pub(crate) fn carried(flow: &Flow) -> Flow {
    let mut flow = flow.clone();
    flow.protocol_info = state_alone(flow.original.protocol, flow.protocol_info);
    let status = flow.status.unwrap_or(Status::SEEN_REPLY);
    let shown = [Status::HW_OFFLOAD, Status::OFFLOAD, Status::ASSURED].into_iter().find(|bit| status.contains(*bit));
    flow.status = Some((status & Status::SEEN_REPLY) | shown.unwrap_or_default());
    flow.helper = flow.helper.map(|helper| Helper::new(&helper.name));
    (flow.times, flow.master, flow.synproxy, flow.sequence_adjustment_original) = (None, None, None, None);
    flow
}

/// The values of an expectation that a line contains.
pub(crate) fn carried_of_expectation(expectation: &Expectation) -> Expectation {
    let mut expectation = expectation.clone();
    (expectation.id, expectation.nat, expectation.function) = (None, None, None);
    expectation.flags = expectation.flags.filter(|flags| !flags.is_empty());
    expectation
}

pub(crate) fn flow(line: &str, labels: &LabelMap) -> Flow {
    let (line, label_names) = match line.split_once(" labels") {
        Some((line, names)) => (line, Some(names)),
        None => (line, None),
    };
    let mut words = line.split_whitespace().peekable();
    let _family = (words.next(), words.next());
    let (_name, protocol) = (words.next(), Protocol(words.next().unwrap().parse().unwrap()));
    let timeout = words.next_if(|word| word.parse::<u32>().is_ok()).map(|word| word.parse().unwrap());
    let state_name = words.next_if(|word| !word.starts_with("src="));
    let (original, counters_original) = direction(protocol, "zone-orig", &mut words);
    let is_unreplied = words.next_if_eq(&"[UNREPLIED]").is_some();
    let (reply, counters_reply) = direction(protocol, "zone-reply", &mut words);
    let mut flow = Flow::new(original, reply);
    (flow.counters_original, flow.counters_reply) = (counters_original, counters_reply);
    flow.timeout = timeout;
    flow.protocol_info = state_name.map(|name| state(protocol, name));
    let mut status = if is_unreplied { Status::empty() } else { Status::SEEN_REPLY };
    if let Some(flag) = words.next_if(|word| word.starts_with('[')) {
        status |= flag.trim_matches(['[', ']']).parse().unwrap();
    }
    flow.status = Some(status);
    flow.mark = value("mark", &mut words).map(|mark| mark.parse().unwrap());
    flow.security_context = value("secctx", &mut words).map(Into::into);
    flow.zone = value("zone", &mut words).map(|zone| zone.parse().unwrap());
    let _age = value("delta-time", &mut words);
    flow.helper = value("helper", &mut words).map(Helper::new);
    flow.use_count = value("use", &mut words).map(|count| count.parse().unwrap());
    flow.id = value("id", &mut words).map(|id| id.parse().unwrap());
    flow.labels = label_names.map(|names| read_labels(names, labels));
    assert_eq!(words.next(), None);
    flow
}

pub(crate) fn expectation(line: &str) -> Expectation {
    let mut words = line.split_whitespace().peekable();
    let timeout = words.next_if(|word| !word.starts_with("proto=")).map(|word| word.parse().unwrap());
    let protocol = Protocol(value("proto", &mut words).unwrap().parse().unwrap());
    let expected = tuple(protocol, ["src", "dst"], &mut words);
    let mask = tuple(protocol, ["mask-src", "mask-dst"], &mut words);
    let master = tuple(protocol, ["master-src", "master-dst"], &mut words);
    let mut expectation = Expectation::new(master, expected, mask);
    expectation.timeout = timeout;
    expectation.zone = value("zone", &mut words).map(|zone| zone.parse().unwrap());
    expectation.flags = words.next_if(|word| !word.contains('=')).map(|flags| flags.parse().unwrap());
    expectation.class = value("class", &mut words).map(|class| class.parse().unwrap());
    expectation.helper = value("helper", &mut words).map(Into::into);
    assert_eq!(words.next(), None);
    expectation
}

fn value<'a>(name: &str, words: &mut Words<'a>) -> Option<&'a str> {
    let is_named = |word: &&str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    words.next_if(is_named).map(|word| &word[name.len() + 1..])
}

fn tuple(protocol: Protocol, [source, destination]: [&str; 2], words: &mut Words<'_>) -> Tuple {
    let mut address = |name| value(name, words).unwrap().parse().unwrap();
    let mut tuple = Tuple::new(protocol, address(source), address(destination));
    tuple.layer4 = layer4(protocol, |name| number(value(name, words).unwrap()));
    tuple
}

fn direction(protocol: Protocol, zone: &str, words: &mut Words<'_>) -> (Tuple, Option<Counters>) {
    let mut tuple = tuple(protocol, ["src", "dst"], words);
    tuple.zone = value(zone, words).map(|zone| zone.parse().unwrap());
    let packets = value("packets", words).map(|packets| packets.parse().unwrap());
    let bytes = value("bytes", words).map(|bytes| bytes.parse().unwrap());
    (tuple, packets.zip(bytes).map(|(packets, bytes)| Counters::new(packets, bytes)))
}

/// The names after `labels=`. Without names, the equals sign is missing.
fn read_labels(names: &str, labels: &LabelMap) -> Labels {
    let names = names.strip_prefix('=').unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(|name| labels.bit(name).unwrap()).collect()
}
