//! The IPFIX exporter without sockets: records and messages, read by an independent decoder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/ipfix_decoder.rs"]
mod decoder;

use std::{process::Command, time::Duration};

use ctnetlink::{Counters, EventKind, EventRef, Flow, FlowTimes, Status, Timestamp, Tuple, wire::Messages};
use ctnetlink_tools::ipfix::{Exporter, LEAST_MESSAGE, Moment, Observation, Settings, TEMPLATES, Totals};
use decoder::{Decoder, Record};
use proptest::prelude::*;
use serde_json::Value;

const EVENTS: &str = include_str!("data/ipfix-nat-events.jsonl");
const RECORDED_TEMPLATES: &str = include_str!("data/ipfix-templates.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn at(seconds: f64) -> Moment {
    let steady = Duration::from_secs_f64(seconds);
    Moment { steady, wall: Timestamp(1_700_000_000_000_000_000 + steady.as_nanos() as u64) }
}

/// An exporter, and everything that it has sent.
struct Session {
    exporter: Exporter,
    settings: Settings,
    sent: Vec<Vec<u8>>,
}

impl Session {
    fn new(settings: Settings) -> Self {
        Self { exporter: Exporter::new(settings, at(0.0)), settings, sent: Vec::new() }
    }

    fn observe(&mut self, kind: EventKind, flow: &Flow, now: Moment) {
        let observation = Observation { kind, flow, by_program: false, received: now.wall };
        self.exporter.observe(&observation, now, |message| self.sent.push(message.to_vec()));
    }

    fn advance(&mut self, now: Moment) {
        self.exporter.advance(now, |message| self.sent.push(message.to_vec()));
    }

    fn finish(&mut self, now: Moment) {
        self.exporter.finish(now, |message| self.sent.push(message.to_vec()));
    }

    /// Decodes everything that was sent.
    fn decode(&self) -> Decoder {
        let mut decoder = Decoder { next_sequence: Some(0), ..Decoder::default() };
        for message in &self.sent {
            assert!(message.len() <= self.settings.message_size, "{} octets", message.len());
            decoder.message(message);
        }
        decoder
    }

    fn records(&self) -> Vec<Record> {
        self.decode().records
    }
}

fn translated() -> Flow {
    let original = Tuple::tcp("10.0.0.1:40000".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
    let mut flow =
        Flow::new(original, Tuple::tcp("192.0.2.1:80".parse().unwrap(), "203.0.113.1:1024".parse().unwrap()));
    flow.id = Some(7);
    flow.counters_original = Some(Counters::new(1, 60));
    flow.counters_reply = Some(Counters::new(2, 150));
    flow
}

fn plain() -> Flow {
    let original = Tuple::udp("[fd00::1]:40000".parse().unwrap(), "[fd00::2]:53".parse().unwrap());
    Flow::new(original, original.inverted().unwrap())
}

/// The messages of a live kernel: translations of both families, ICMP, a zone, deleted by a program.
#[test]
fn recorded_events_become_the_expected_records() {
    let mut compared = 0;
    for line in EVENTS.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let netlink = bytes(expected["netlink"].as_str().unwrap());
        let message = Messages::new(&netlink).next().unwrap().unwrap();
        let event = EventRef::parse(&message).unwrap();
        let (kind, event) = event.flow().unwrap();
        let by_program = event.port_id.is_some();
        let received = Timestamp(expected["received_ns"].as_u64().unwrap());
        let observation = Observation { kind, flow: &event.flow, by_program, received };
        let mut session = Session::new(Settings::default());
        session.exporter.observe(&observation, at(0.0), |message| session.sent.push(message.to_vec()));
        let templates = session.sent.len();
        session.finish(at(0.0));
        let record = expected["record"].as_str().unwrap_or_default();
        assert_eq!(observation.template().map(|template| u64::from(template.id)), expected["template"].as_u64());
        if record.is_empty() {
            assert_eq!(session.sent.len(), templates);
        } else {
            // After the header of the message and of the set.
            assert_eq!(session.sent[templates][20..], bytes(record), "{line}");
        }
        compared += 1;
    }
    assert_eq!(compared, 18);
}

/// They were accepted by nfdump, pmacct, tshark and libfixbuf.
#[test]
fn templates_equal_the_recorded_templates() {
    let mut recorded = Decoder::default();
    recorded.message(&bytes(RECORDED_TEMPLATES));
    let mut session = Session::new(Settings::default());
    session.advance(at(0.0));
    let ours = session.decode();
    for id in [256, 257, 258, 259, 260, 261, 264] {
        assert_eq!(ours.templates[&id], recorded.templates[&id], "template {id}");
    }
    assert_eq!(ours.templates.len(), TEMPLATES.len() + 1);
}

#[test]
fn flow_without_counters_sends_no_zeros() {
    let mut session = Session::new(Settings::default());
    let mut uncounted = translated();
    (uncounted.counters_original, uncounted.counters_reply) = (None, None);
    for flow in [&translated(), &uncounted, &plain()] {
        session.observe(EventKind::Destroy, flow, at(0.0));
    }
    session.finish(at(0.0));
    let records = session.records();
    assert_eq!(records.iter().map(|record| record.template).collect::<Vec<_>>(), [257, 262, 266]);
    let counters = [(0, 1), (0, 2), (29305, 1), (29305, 2)];
    assert_eq!(counters.map(|element| records[0].values[&element]), [60, 1, 150, 2]);
    assert!(counters.iter().all(|element| !records[1].values.contains_key(element)));
}

/// nfdump dates a record without them to 1970.
#[test]
fn every_record_has_a_begin_and_an_end() {
    let mut session = Session::new(Settings::default());
    let mut timed = translated();
    timed.times = Some(FlowTimes::new(Timestamp(5_000_000), Some(Timestamp(9_000_000))));
    session.observe(EventKind::New, &translated(), at(0.5));
    session.observe(EventKind::Destroy, &timed, at(0.5));
    session.observe(EventKind::Destroy, &translated(), at(0.5));
    session.finish(at(0.5));
    let now = u128::from(at(0.5).wall.0 / 1_000_000);
    let times: Vec<_> =
        session.records().iter().map(|record| (record.values[&(0, 152)], record.values[&(0, 153)])).collect();
    assert_eq!(times, [(now, now), (5, 9), (now, now)]);
}

#[test]
fn flow_translated_to_itself_is_a_session() {
    let mut session = Session::new(Settings::default());
    session.observe(EventKind::New, &plain(), at(0.0));
    let mut flow = plain();
    flow.status = Some(Status::SRC_NAT);
    session.observe(EventKind::New, &flow, at(0.0));
    session.finish(at(0.0));
    assert_eq!(session.records().len(), 1);
    assert_eq!(session.records()[0].values[&(0, 297)], 5);
}

#[test]
fn nat_only_leaves_out_plain_flows() {
    let mut session = Session::new(Settings { nat_only: true, ..Settings::default() });
    session.observe(EventKind::Destroy, &plain(), at(0.0));
    session.observe(EventKind::Destroy, &translated(), at(0.0));
    session.finish(at(0.0));
    assert_eq!(session.records().len(), 1);
    assert_eq!(session.exporter.totals().records, 1);
}

#[test]
fn record_is_sent_within_a_second() {
    let mut session = Session::new(Settings::default());
    session.observe(EventKind::New, &translated(), at(0.25));
    assert_eq!(session.exporter.deadline(), at(1.25).steady);
    session.advance(at(1.24));
    assert!(session.records().is_empty());
    session.advance(at(1.25));
    assert_eq!(session.records().len(), 1);
}

#[test]
fn templates_are_repeated() {
    let mut session = Session::new(Settings::default());
    for tenth in 0..1250 {
        session.observe(EventKind::New, &translated(), at(f64::from(tenth) / 10.0));
    }
    session.finish(at(125.0));
    let decoder = session.decode();
    assert_eq!((decoder.template_messages, decoder.records.len()), (3, 1250));
}

#[test]
fn templates_are_hastened_once() {
    let mut session = Session::new(Settings::default());
    session.advance(at(0.0));
    session.exporter.hasten_templates(at(3.0));
    session.exporter.hasten_templates(at(3.5));
    for second in [3.9, 4.0, 4.5, 63.9, 64.0] {
        session.advance(at(second));
    }
    assert_eq!(session.decode().template_messages, 3);
}

#[test]
fn help_is_printed_and_wrong_options_are_refused() {
    let ipfix = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ipfix")).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), text)
    };
    let (status, [help, errors]) = ipfix(&["--help"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for option in ["--domain", "--filter", "--nat-only", "--message-size", "--template-interval", "--receive-buffer"] {
        assert!(help.contains(option), "{option}");
    }
    for (arguments, expected) in [
        (&[][..], "expected at least one collector"),
        (&["--message-size", "100", "127.0.0.1:1"], "100 is not within 512 to 8972"),
        (&["--filter", "prot tcp", "127.0.0.1:1"], "did you mean `proto`?"),
        (&["--colour"], "--colour"),
        (&["127.0.0.1"], "collector 127.0.0.1"),
    ] {
        let (status, [_, errors]) = ipfix(arguments);
        assert!(status == Some(2) && errors.contains(expected), "{arguments:?}: {errors}");
    }
}

#[test]
fn collector_that_starts_late_understands_the_messages_after_the_templates() {
    let mut session = Session::new(Settings::default());
    for second in 0..100 {
        session.observe(EventKind::New, &translated(), at(f64::from(second)));
    }
    session.finish(at(100.0));
    let mut late = Decoder::default();
    let is_template = |message: &Vec<u8>| message[16..18] == [0, 2];
    let from = session.sent.iter().rposition(is_template).unwrap();
    assert!(from > 0);
    session.sent[from..].iter().for_each(|message| late.message(message));
    assert!(late.records.len() >= 30);
}

#[test]
fn loss_is_reported_at_once_and_then_every_ten_seconds() {
    let mut session = Session::new(Settings { statistics_interval: None, ..Settings::default() });
    session.observe(EventKind::New, &translated(), at(0.0));
    for tenth in 0..=150 {
        session.exporter.lose(2, at(f64::from(tenth) / 10.0));
        session.advance(at(f64::from(tenth) / 10.0));
    }
    session.finish(at(15.0));
    let records = session.records();
    let lost: Vec<u128> =
        records.iter().filter(|record| record.template == 264).map(|record| record.values[&(0, 166)]).collect();
    assert_eq!(lost, [2, 202, 302]);
    let last = &records.last().unwrap().values;
    assert_eq!((last[&(0, 149)], last[&(0, 42)]), (1, 1));
}

#[test]
fn statistics_are_sent_from_time_to_time() {
    let mut session = Session::new(Settings { domain: 9, ..Settings::default() });
    session.advance(at(599.0));
    assert!(session.records().is_empty());
    session.advance(at(600.0));
    session.advance(at(1200.0));
    session.finish(at(1200.0));
    let statistics = session.records();
    assert_eq!(statistics.len(), 2);
    assert_eq!(statistics[0].values[&(0, 149)], 9);
}

#[derive(Clone, Debug)]
enum Step {
    Event { is_new: bool, is_translated: bool, is_counted: bool, id: u32 },
    Wait(f64),
    Lose(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (any::<bool>(), any::<bool>(), any::<bool>(), any::<u32>())
            .prop_map(|(is_new, is_translated, is_counted, id)| Step::Event { is_new, is_translated, is_counted, id }),
        3 => (0.0..40.0).prop_map(Step::Wait),
        1 => (1..100_u64).prop_map(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The decoder checks lengths, sequence numbers, and that a template precedes its records.
    #[test]
    fn every_record_arrives_once_in_order(
        size in LEAST_MESSAGE..9000,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let settings = Settings { message_size: size, ..Settings::default() };
        let mut session = Session::new(settings);
        let (mut now, mut expected, mut lost) = (0.0, Vec::new(), 0);
        for step in steps {
            match step {
                Step::Event { is_new, is_translated, is_counted, id } => {
                    let mut flow = if is_translated { translated() } else { plain() };
                    flow.id = Some(id);
                    flow.counters_original = is_counted.then(|| Counters::new(1, 60));
                    let kind = if is_new { EventKind::New } else { EventKind::Destroy };
                    session.observe(kind, &flow, at(now));
                    if is_translated || !is_new {
                        expected.push(u128::from(id));
                    }
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    session.advance(at(now));
                }
                Step::Lose(count) => {
                    lost += count;
                    session.exporter.lose(count, at(now));
                }
            }
        }
        session.finish(at(now));
        let decoder = session.decode();
        let (statistics, flows): (Vec<_>, Vec<_>) =
            decoder.records.into_iter().partition(|record| record.template == 264);
        let ids: Vec<u128> = flows.iter().map(|record| record.values[&(0, 148)]).collect();
        prop_assert_eq!(&ids, &expected);
        let reported = statistics.last().map_or(0, |record| record.values[&(0, 166)]);
        prop_assert_eq!(reported, u128::from(lost));
        let Totals { records, messages, .. } = session.exporter.totals();
        prop_assert_eq!((records, messages), (ids.len() as u64, session.sent.len() as u64));
    }
}
