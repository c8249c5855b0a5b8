//! Text, compared with the output of conntrack(8).

use ctnetlink::{
    Flow, Labels, SctpInfo, SctpState, Timestamp,
    format::{LabelMap, Sender, Text},
};

use crate::recordings::{data, dumped_expectations, dumped_flows, expectation_events, flow_events, time_of_listing};

const LABELS: &str = "3 label-three\n";

/// Tables were listed some seconds before they were dumped, so timeouts and ages differ by as much.
const SECONDS_APART: u64 = 3;

/// Compares a printed line with the recorded line, except for some seconds.
fn assert_same(printed: &str, recorded: &str) {
    let (mut ours, mut theirs) = (printed.split(' '), recorded.split(' '));
    loop {
        let (our, their) = (ours.next(), theirs.next());
        if our.is_none() && their.is_none() {
            return;
        }
        let both = seconds(our).zip(seconds(their));
        let close = both.is_some_and(|(our, their)| our.abs_diff(their) <= SECONDS_APART);
        assert!(our == their || close, "\n printed {printed}\nrecorded {recorded}");
    }
}

/// A timeout (the only bare number) or an age.
fn seconds(word: Option<&str>) -> Option<u64> {
    let word = word?;
    word.strip_prefix("delta-time=").unwrap_or(word).parse().ok()
}

fn assert_lists_as(printed: &[String], recorded: &str) {
    let recorded: Vec<_> = recorded.lines().collect();
    assert_eq!(printed.len(), recorded.len());
    for (printed, recorded) in printed.iter().zip(recorded) {
        assert_same(printed, recorded);
    }
}

#[test]
fn dumped_flows_match_conntrack() {
    let text = Text::new().now(time_of_listing());
    let lines: Vec<_> = dumped_flows().iter().map(|flow| text.flow(flow).to_string()).collect();
    assert_lists_as(&lines, data!("list-default.txt"));
}

#[test]
fn dumped_flows_match_conntrack_with_every_flag() {
    let labels = LabelMap::parse(LABELS);
    let text = Text::new().extended(true).id(true).kernel_timestamps(true).labels(&labels).now(time_of_listing());
    let lines: Vec<_> = dumped_flows().iter().map(|flow| text.flow(flow).to_string()).collect();
    assert_lists_as(&lines, data!("list-all-flags.txt"));
}

#[test]
fn display_of_a_flow_is_the_plain_form() {
    for flow in dumped_flows() {
        assert_same(&flow.to_string(), &Text::new().flow(&flow).to_string());
    }
}

/// The values of a recorded line that the message lacks: the time of reading, and the name of the program.
struct Circumstances<'a> {
    timestamp: Option<Timestamp>,
    program: Option<&'a str>,
}

impl<'a> Circumstances<'a> {
    fn of(line: &'a str) -> Self {
        let time = line.strip_prefix('[').and_then(|line| line.split_once("]\t")?.0.split_once('.'));
        let timestamp = time.map(|(seconds, microseconds)| {
            let [seconds, microseconds]: [u64; 2] = [seconds, microseconds].map(|number| number.parse().unwrap());
            Timestamp(seconds * 1_000_000_000 + microseconds * 1000)
        });
        Self { timestamp, program: line.split(" progname=").nth(1) }
    }

    fn apply<'b>(&'b self, text: Text<'b>, port_id: u32) -> Text<'b> {
        let text = self.timestamp.map_or(text, |timestamp| text.timestamp(timestamp));
        if port_id == 0 { text } else { text.sender(Sender { port_id, program: self.program }) }
    }
}

fn assert_events_print(text: Text<'_>, recorded: &str) {
    let events = flow_events();
    assert_eq!(events.len(), recorded.lines().count());
    for (event, line) in events.iter().zip(recorded.lines()) {
        let circumstances = Circumstances::of(line);
        let text = circumstances.apply(text, event.port_id).event(event.kind);
        assert_eq!(text.flow(&event.flow).to_string(), line);
    }
}

#[test]
fn events_match_conntrack() {
    assert_events_print(Text::new(), data!("events-default.txt"));
}

#[test]
fn events_match_conntrack_with_every_flag() {
    let labels = LabelMap::parse(LABELS);
    let text = Text::new().extended(true).id(true).kernel_timestamps(true).labels(&labels);
    assert_events_print(text, data!("events-all-flags.txt"));
}

#[test]
fn expectations_match_conntrack() {
    let lines: Vec<_> = dumped_expectations().iter().map(ToString::to_string).collect();
    assert_lists_as(&lines, data!("expect.txt"));
}

#[test]
fn expectation_events_match_conntrack() {
    let recorded: Vec<_> = data!("events-expect.txt").lines().collect();
    let events = expectation_events();
    assert_eq!(events.len(), recorded.len());
    for ((kind, expectation), line) in events.iter().zip(recorded) {
        assert_eq!(Text::new().event(*kind).expectation(expectation).to_string(), line);
    }
}

/// The first dumped flow, changed.
fn changed(change: impl FnOnce(&mut Flow)) -> Flow {
    let mut flow = dumped_flows().remove(0);
    change(&mut flow);
    flow
}

#[test]
fn state_without_a_name_prints_as_none() {
    for state in [10, 255] {
        let flow = changed(|flow| flow.protocol_info = Some(SctpInfo::new(SctpState(state), 0, 0).into()));
        assert!(flow.to_string().contains(" NONE src="));
    }
}

#[test]
fn labels_without_names_print_as_a_bare_word() {
    let labels = LabelMap::parse(LABELS);
    let flow = changed(|flow| flow.labels = Some(Labels(1 << 7)));
    assert!(Text::new().labels(&labels).flow(&flow).to_string().ends_with(" use=1 labels"));
    assert!(Text::new().flow(&flow).to_string().ends_with(" use=1"));
}

#[test]
fn flow_that_begins_in_the_future_has_age_zero() {
    let flow = dumped_flows().remove(0);
    assert!(Text::new().now(Timestamp(0)).flow(&flow).to_string().contains(" delta-time=0 "));
}

#[test]
fn dates_are_in_the_time_zone_of_the_caller() {
    let flow = dumped_flows().remove(0);
    let text = Text::new().kernel_timestamps(true).utc_offset_seconds(-(2 * 3600 + 24 * 60)).flow(&flow).to_string();
    assert!(text.contains(" [start=Sun Nov 22 23:59:41 2026] "), "{text}");
}
