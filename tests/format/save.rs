//! Saved lines, compared with the output of conntrack(8).

use std::collections::BTreeMap;

use ctnetlink::{
    EventKind, Flow, Labels, SctpInfo, SctpState, Status, Tuple,
    format::{LabelMap, Save},
};

use crate::{
    readers::save::options,
    recordings::{data, dumped_flows, flow_events},
};

/// The options of a recorded line, with those that conntrack(8) leaves out.
fn corrected(line: &str, flow: &Flow) -> BTreeMap<String, String> {
    let (_, mut options) = options(line.split(" [USERSPACE]").next().unwrap());
    // conntrack(8) prints the bytes of a tag in the byte order of the host. The recording is little-endian.
    for tag in ["--orig-vtag", "--reply-vtag"] {
        if let Some(value) = options.get_mut(tag) {
            let bytes = value.parse::<u32>().unwrap().to_le_bytes();
            *value = u32::from_ne_bytes(bytes).to_string();
        }
    }
    let mut add = |name: &str, value: String| options.insert(name.into(), value);
    if let Some(mark) = flow.mark.filter(|mark| *mark != 0) {
        add("-m", mark.to_string());
    }
    if flow.original.protocol.to_string() == "dccp" {
        for name in ["--sport", "--dport", "--reply-port-src", "--reply-port-dst"] {
            add(name, "0".into());
        }
        add("--state", "OPEN".into());
        add("--role", "client".into());
    }
    if let Some(end) = flow.snat() {
        add("-n", end.to_string());
        options.remove("-q");
    }
    if let Some(end) = flow.dnat() {
        options.insert("-g".into(), end.to_string());
        options.remove("-r");
    }
    options
}

#[test]
fn dumped_flows_match_conntrack_plus_the_options_it_loses() {
    let recorded: Vec<_> = data!("list-save.txt").lines().collect();
    let flows = dumped_flows();
    assert_eq!(flows.len(), recorded.len());
    for (flow, recorded) in flows.iter().zip(recorded) {
        let line = Save::new().flow(flow).to_string();
        let (command, mut printed) = options(&line);
        let mut expected = corrected(recorded, flow);
        // The table was saved some seconds before it was dumped.
        let timeouts = [printed.remove("-t"), expected.remove("-t")].map(|time| time.unwrap().parse::<u32>().unwrap());
        assert!(timeouts[0].abs_diff(timeouts[1]) <= 3);
        assert_eq!((command.as_str(), printed), ("-A", expected));
    }
}

#[test]
fn new_flows_match_conntrack_plus_the_options_it_loses() {
    for (event, recorded) in flow_events().iter().zip(data!("events-save.txt").lines()) {
        if event.kind == EventKind::New {
            let line = Save::new().event(event.kind).flow(&event.flow).to_string();
            assert_eq!(options(&line), ("-A".into(), corrected(recorded, &event.flow)), "{line}");
        }
    }
}

fn flow() -> Flow {
    let original = Tuple::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let reply = Tuple::udp("10.0.0.2:2".parse().unwrap(), "10.0.0.9:77".parse().unwrap());
    let mut flow = Flow::new(original, reply);
    flow.timeout = Some(30);
    flow.status = Some(Status::SEEN_REPLY);
    flow
}

fn printed(kind: EventKind, flow: &Flow) -> String {
    Save::new().event(kind).flow(flow).to_string()
}

#[test]
fn delete_contains_only_values_that_never_change() {
    assert_eq!(
        printed(EventKind::Destroy, &flow()),
        "-D -w 0 -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.9 -p udp --sport 1 --dport 2 --reply-port-src 2 \
         --reply-port-dst 77"
    );
    let mut zoned = flow();
    zoned.reply.zone = Some(5);
    assert!(printed(EventKind::Destroy, &zoned).starts_with("-D --reply-zone 5 -s"));
}

#[test]
fn delete_of_a_flow_without_ports_contains_none() {
    let dccp = dumped_flows().into_iter().find(|flow| flow.original.protocol.0 == 33).unwrap();
    assert!(printed(EventKind::Destroy, &dccp).ends_with(" -p dccp"));
}

#[test]
fn update_contains_the_reply_tuple_not_a_translation() {
    assert_eq!(
        printed(EventKind::Update, &flow()),
        "-U -t 30 -u SEEN_REPLY -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.9 -p udp --sport 1 --dport 2 \
         --reply-port-src 2 --reply-port-dst 77"
    );
}

#[test]
fn update_that_would_match_other_flows_is_an_add() {
    let mut zoned = flow();
    zoned.zone = Some(3);
    assert!(printed(EventKind::Update, &zoned).starts_with("-A -t 30 -u SEEN_REPLY -w 3 "));
    let mut marked = flow();
    marked.mark = Some(3);
    assert!(printed(EventKind::Update, &marked).starts_with("-A -t 30 -u SEEN_REPLY -m 3 "));
}

#[test]
fn expected_flow_is_saved_without_the_expected_bit() {
    let mut expected = flow();
    expected.status = Some(Status::EXPECTED);
    assert!(printed(EventKind::New, &expected).starts_with("-A -t 30 -u UNSET "));
}

#[test]
fn offloaded_flow_is_saved_with_every_required_option() {
    let original = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "[fd00::1]:2".parse().unwrap());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.status = Some(Status::OFFLOAD);
    let line = printed(EventKind::New, &flow);
    assert!(line.starts_with("-A -t 30 ") && line.ends_with(" --state ESTABLISHED"), "{line}");
}

#[test]
fn tags_are_saved_in_the_byte_order_of_the_host() {
    let original = Tuple::sctp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 0x1234_5678, 1).into());
    let (_, options) = options(&Save::new().flow(&flow).to_string());
    let read: u32 = options["--orig-vtag"].parse().unwrap();
    assert_eq!(read.to_ne_bytes(), [0x12, 0x34, 0x56, 0x78]);
}

#[test]
fn states_that_crash_conntrack_are_saved_as_none() {
    let original = Tuple::sctp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut flow = Flow::new(original, original.inverted().unwrap());
    flow.protocol_info = Some(SctpInfo::new(SctpState::HEARTBEAT_SENT, 1, 1).into());
    assert_eq!(options(&Save::new().flow(&flow).to_string()).1["--state"], "NONE");
}

#[test]
fn labels_are_saved_on_request() {
    let map = LabelMap::parse("3 three\n5 five b\n");
    let mut flow = flow();
    flow.labels = Some(Labels(1 << 3 | 1 << 5 | 1 << 7));
    assert!(!Save::new().flow(&flow).to_string().contains("label"));
    assert!(Save::new().labels(&map).flow(&flow).to_string().ends_with(" --label-add \"three,five b\""));
    flow.labels = Some(Labels(1 << 7));
    assert!(!Save::new().labels(&map).flow(&flow).to_string().contains("label"));
}
