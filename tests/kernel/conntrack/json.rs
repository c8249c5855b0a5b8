//! `-o json`: each line is an object that deserializes into the entry.

use ctnetlink::{Expectation, Flow};
use nix::sys::signal::Signal;

use super::{
    events::{Listener, happen},
    listings::expect,
    side_by_side::{SideBySide, fill},
};
use crate::{cases, lab::Lab};

cases! {
    json_flows_round_trip: Json;
    json_events_have_their_kind: Json;
    json_expectations_round_trip: Json;
}

fn read<T: serde::de::DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The flow without the values that change from one listing to the next.
fn timeless(mut flow: Flow) -> Flow {
    (flow.timeout, flow.use_count) = (None, None);
    flow
}

fn listed(lab: &Lab, matches: impl Fn(&Flow) -> bool) -> Vec<Flow> {
    lab.flows().into_iter().filter(matches).map(timeless).collect()
}

fn printed(lines: &str) -> Vec<Flow> {
    lines.lines().map(|line| timeless(read(line))).collect()
}

fn json_flows_round_trip(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let run = |line: &str| {
        let result = programs.ours(&format!("{line} -o json"));
        assert_eq!(result.status, Some(0), "{line}: {result:?}");
        printed(&result.stdout)
    };
    let is_udp = |flow: &Flow| flow.original.protocol == ctnetlink::Protocol::UDP;
    assert_eq!(run("-L"), listed(lab, |_| true));
    let ssh = run("-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22");
    assert_eq!(ssh, listed(lab, |flow| flow.original.destination_port() == Some(22)));
    let updated = run("-U -p udp -m 77");
    assert!(updated.len() > 1 && updated.iter().all(|flow| flow.mark == Some(77)));
    let udp = listed(lab, is_udp);
    assert_same(updated, udp.clone());
    assert_same(run("-D -p udp"), udp);
    assert_eq!(listed(lab, is_udp), []);
}

/// Compares flows in any order, which depends on the dumps.
fn assert_same(mut ours: Vec<Flow>, mut theirs: Vec<Flow>) {
    ours.sort_by_key(|flow| flow.id);
    theirs.sort_by_key(|flow| flow.id);
    assert_eq!(ours, theirs);
}

fn json_events_have_their_kind(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -o json");
    happen(lab);
    let (status, lines, _) = listener.end(Signal::SIGINT);
    assert_eq!(status, Some(0));
    let kinds: Vec<&str> = lines.iter().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["new", "update", "destroy"].repeat(3), "{lines:?}");
    for three in lines.chunks(3) {
        let flows: Vec<Flow> = three.iter().map(|line| read(line)).collect();
        assert!(flows.iter().all(|flow| flow.original == flows[0].original && flow.id == flows[0].id), "{three:?}");
        assert_eq!(flows[1].mark, Some(7));
    }
}

fn json_expectations_round_trip(lab: &Lab) {
    expect(lab, ["10.9.0.1", "10.9.0.2"], 1);
    let result = SideBySide::new(lab).ours("-L expect -o json");
    let expectations: Vec<Expectation> = result.stdout.lines().map(read).collect();
    assert_eq!(expectations.len(), 1);
    assert_eq!(expectations[0].tuple.destination_port(), Some(5001));
}
