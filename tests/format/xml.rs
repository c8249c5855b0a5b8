//! XML, compared with the output of conntrack(8).

use ctnetlink::{
    Flow, Protocol, Status, Timestamp,
    format::{LabelMap, Xml},
};

use crate::recordings::{data, dumped_expectations, flow_events};

/// The timestamp of a recorded line, in whole seconds.
fn timestamp(line: &str) -> Timestamp {
    let number = |name: &str| -> u64 { between(line, &format!("<{name}>"), &format!("</{name}>")).parse().unwrap() };
    assert_eq!([number("day"), number("month"), number("year"), number("wday")], [23, 11, 2026, 2]);
    const DAY: u64 = 1_795_392_000;
    Timestamp((DAY + number("hour") * 3600 + number("min") * 60 + number("sec")) * 1_000_000_000)
}

fn between<'a>(line: &'a str, begin: &str, end: &str) -> &'a str {
    line.split(begin).nth(1).unwrap().split(end).next().unwrap()
}

/// A recorded line with the errors of conntrack(8) corrected.
fn corrected(line: &str, flow: &Flow) -> String {
    let line = line.split(" [USERSPACE]").next().unwrap().to_owned();
    let line = match flow.sctp_state() {
        Some(state) => line.replace(between(&line, "<state>", "</state>"), state.name().unwrap()),
        None => line,
    };
    if !flow.original.protocol.is_icmp() {
        return line;
    }
    let id = if flow.original.protocol == Protocol::ICMP { 4660 } else { 17185 };
    let types = if flow.original.protocol == Protocol::ICMP { [8, 0] } else { [128, 129] };
    let numbers = types.map(|icmp_type| format!("<type>{icmp_type}</type><code>0</code><id>{id}</id></layer4>"));
    line.replacen("></layer4>", &format!(">{}", numbers[0]), 1).replacen(
        "\"></layer4>",
        &format!("\">{}", numbers[1]),
        1,
    )
}

#[test]
fn events_match_conntrack_except_for_its_defects() {
    let labels = LabelMap::parse("3 label-three\n");
    let recorded = data!("events.xml");
    let recorded = recorded.strip_prefix(Xml::FLOWS_BEGIN).unwrap().strip_suffix(Xml::FLOWS_END).unwrap();
    let events = flow_events();
    assert_eq!(events.len(), recorded.lines().count());
    for (event, line) in events.iter().zip(recorded.lines()) {
        let xml = Xml::new().event(event.kind).kernel_timestamps(true).labels(&labels).timestamp(timestamp(line));
        assert_eq!(xml.flow(&event.flow).to_string(), corrected(line, &event.flow));
    }
}

#[test]
fn expectations_match_conntrack() {
    let mut document = Xml::EXPECTATIONS_BEGIN.to_owned();
    for expectation in &mut dumped_expectations() {
        // The recorded line was printed earlier than the dump.
        expectation.timeout = Some(293);
        document += &format!("{}\n", Xml::new().expectation(expectation));
    }
    document += Xml::EXPECTATIONS_END;
    assert_eq!(document, data!("expect.xml"));
}

#[test]
fn text_is_escaped_and_unprintable_characters_replaced() {
    let mut expectation = dumped_expectations().remove(0);
    expectation.helper = Some("a&<b>\r\u{1}\u{ffff}é\"".into());
    let element = Xml::new().expectation(&expectation).to_string();
    let name = between(&element, "<helper-name>", "</helper-name>");
    assert_eq!(name, "a&amp;&lt;b&gt;&#13;\u{fffd}\u{fffd}é\"");
}

#[test]
fn offloaded_flows_are_marked() {
    let mut flow = flow_events().remove(0).flow;
    flow.status = Some(Status::SEEN_REPLY | Status::OFFLOAD | Status::HW_OFFLOAD);
    assert!(Xml::new().flow(&flow).to_string().contains("<offload/><hw-offload/></meta>"));
}
