//! Filters against the real kernel: dumps, deletes and updates reach exactly the matching flows.

pub mod sockets;

use std::collections::BTreeSet;

use ctnetlink::{
    BulkReport, Filter, Flow, FlowKey, FlowUpdate, NatRange, NewFlow, SctpInfo, SctpState, Status, Tuple,
    filter::{Capabilities, KernelFilter},
    request::UpdateFlow,
};

use crate::{
    cases,
    lab::Lab,
    mixed_table::mixed_table,
    samples::{create, endpoint, tcp_flow, udp_flow, udp6_flow},
};

cases! {
    planned_dumps_return_what_userspace_selects: "nft";
    delete_by_a_filter_leaves_exactly_the_other_flows;
    flush_by_a_filter_leaves_exactly_the_other_flows;
    update_by_a_filter_changes_exactly_the_matching_flows;
    probing_capabilities_has_no_side_effect;
    deleting_unreplied_flows_leaves_replied_flows;
    deleting_unassured_flows_leaves_assured_flows;
    set_and_unset_status_bits_are_combined;
    timeout_is_compared_and_never_deletes_everything;
    gre_keys_are_compared;
    sctp_verification_tags_are_compared;
    translated_ipv6_addresses_are_compared;
    translations_are_combined_with_other_terms;
    icmp_flows_do_not_count_as_translated;
    ipv6_address_selects_that_address_only;
    ports_of_sctp_are_compared;
    zones_of_one_direction_are_compared;
    delete_refuses_a_filter_that_matches_everything;
    flow_in_a_zone_is_updated_by_a_filter;
    flows_answered_during_an_update_are_updated;
    error_of_a_filtered_delete_contains_its_report;
}

/// Terms that match some flows of the table, but not all.
const TERMS: &[&str] = &[
    "family ipv4",
    "family ipv6",
    "proto tcp",
    "proto udp",
    "proto sctp",
    "proto gre",
    "proto icmp",
    "proto icmpv6",
    "proto 50",
    "src 10.0.1.1",
    "src 10.0.0.0/16",
    "dst 10.9.0.2",
    "src fd00::1",
    "dst fd00:1::/64",
    "reply-src 10.9.0.3",
    "reply-dst 192.0.2.1",
    "addr 10.9.0.1",
    "sport 1100",
    "sport 1000-1200",
    "dport 22",
    "dport 53,80",
    "port 443",
    "reply-port-src 81",
    "srckey 1008",
    "dstkey 80",
    "icmp-type 8",
    "icmp-id 1009",
    "tcp-state ESTABLISHED",
    "state ESTABLISHED",
    "assured",
    "unreplied",
    "status SEEN_REPLY",
    "status !ASSURED",
    "mark 0",
    "mark 1",
    "mark 0x10/0xf0",
    "zone 0",
    "zone 1",
    "orig-zone 4",
    "reply-zone 5",
    "any-zone 4",
    "label 1",
    "any-label 1,2",
    "src-nat",
    "dst-nat",
    "any-nat 192.0.2.1",
    "dst-nat port 81",
    "timeout >= 30000",
    "timeout < 20000",
    "orig-vtag 7",
    "reply-vtag 7",
    "offloaded",
    "helper ftp",
    "any",
    "none",
];

/// A few hundred filters of one to four terms, the same in every run.
fn filters() -> Vec<Filter> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut texts: Vec<String> = TERMS.iter().flat_map(|term| [(*term).into(), format!("not ({term})")]).collect();
    for _ in 0..250 {
        let mut text = String::new();
        for place in 0..=next(3) + 1 {
            let operator = ["", "", "not "][next(3)];
            let joiner = if place == 0 { "" } else { [" and ", " and ", " or "][next(3)] };
            text += &format!("{joiner}{operator}{}", TERMS[next(TERMS.len())]);
        }
        texts.push(text);
    }
    texts.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

fn keys<'f>(flows: impl IntoIterator<Item = &'f Flow>) -> BTreeSet<String> {
    flows.into_iter().map(|flow| format!("{:?} {:?} {:?}", flow.original, flow.zone, flow.id)).collect()
}

/// Compares two sets of flows, and prints only the differences.
fn assert_same(found: &BTreeSet<String>, expected: &BTreeSet<String>, filter: &Filter) {
    let (more, less): (Vec<_>, Vec<_>) = (found.difference(expected).collect(), expected.difference(found).collect());
    let plan = filter.plan(&Capabilities::linux(6, 18));
    assert!(more.is_empty() && less.is_empty(), "{filter}\n{plan}\ntoo many: {more:#?}\ntoo few: {less:#?}");
}

fn planned_dumps_return_what_userspace_selects(lab: &Lab) {
    lab.allow_labels();
    let mut client = lab.client();
    mixed_table(&mut client, 3000);
    let all = lab.flows();
    assert!(all.len() > 2000);
    let (mut narrowed, mut matched) = (0, 0);
    for filter in filters() {
        let expected = keys(all.iter().filter(|flow| filter.matches(*flow)));
        let planned: Vec<Flow> = client.dump_matching(&filter).unwrap().map(Result::unwrap).collect();
        assert_same(&keys(&planned), &expected, &filter);
        assert_eq!(planned.len(), expected.len(), "{filter}: each once");
        matched += usize::from(!expected.is_empty() && expected.len() < all.len());
        let plan = filter.plan(&client.capabilities().unwrap());
        narrowed += usize::from(!plan.dumps().iter().any(KernelFilter::is_everything));
    }
    // 149 on Linux 6.18; a kernel without filters by zone narrows fewer.
    assert!(matched > 150 && narrowed > 75, "{matched} filters find some, {narrowed} are narrowed in the kernel");
}

fn delete_by_a_filter_leaves_exactly_the_other_flows(lab: &Lab) {
    let mut client = lab.client();
    for (round, filter) in filters().iter().enumerate().filter(|(round, _)| round % 20 == 0) {
        if filter.is_everything() {
            continue;
        }
        client.delete_all().unwrap();
        mixed_table(&mut client, 300);
        let before = lab.flows();
        let (matching, others): (Vec<_>, Vec<_>) = before.iter().partition(|flow| filter.matches(*flow));
        let report = client.delete_matching(filter).unwrap();
        let expected = matching.len() as u64;
        assert_eq!((report.matched(), report.changed(), report.failed()), (expected, expected, 0), "{round}: {filter}");
        assert_same(&keys(&lab.flows()), &keys(others), filter);
    }
}

fn flush_by_a_filter_leaves_exactly_the_other_flows(lab: &Lab) {
    let mut client = lab.client();
    let capabilities = client.capabilities().unwrap();
    let (mut in_kernel, mut planned) = (0, 0);
    for filter in filters().iter().step_by(6) {
        if filter.is_everything() {
            continue;
        }
        client.delete_all().unwrap();
        mixed_table(&mut client, 120);
        let others: Vec<Flow> = lab.flows().into_iter().filter(|flow| !filter.matches(flow)).collect();
        let report = client.delete_matching_uncounted(filter).unwrap();
        in_kernel += usize::from(report.is_none());
        planned += usize::from(filter.plan(&capabilities).flush().is_some());
        assert_same(&keys(&lab.flows()), &keys(&others), filter);
    }
    assert_eq!(in_kernel, planned, "the kernel does every flush that it can");
    // Before Linux 6.12, a flush does not compare tuples, so few of these filters are flushes.
    assert!(in_kernel > if capabilities.flush_tuple_filter { 5 } else { 0 }, "{in_kernel} flushes were the kernel's");
}

fn update_by_a_filter_changes_exactly_the_matching_flows(lab: &Lab) {
    let mut client = lab.client();
    mixed_table(&mut client, 600);
    let filter: Filter = "proto tcp and dport 22,443 or unreplied and src fd00::/16".parse().unwrap();
    let expected = keys(lab.flows().iter().filter(|flow| filter.matches(*flow)));
    let update = FlowUpdate::new().mark(4711).add_status(Status::FIXED_TIMEOUT);
    let report = client.update_matching(&filter, &update).unwrap();
    assert_eq!((report.changed(), report.failed()), (expected.len() as u64, 0), "{:?}", report.failures());
    let flows = lab.flows();
    assert_eq!(keys(flows.iter().filter(|flow| flow.mark == Some(4711))), expected);
    assert!(
        flows
            .iter()
            .filter(|flow| flow.mark == Some(4711))
            .all(|flow| flow.status.unwrap().contains(Status::FIXED_TIMEOUT))
    );
}

fn probing_capabilities_has_no_side_effect(lab: &Lab) {
    let mut client = lab.client();
    mixed_table(&mut client, 100);
    let before = keys(&lab.flows());
    let capabilities = client.capabilities().unwrap();
    assert_eq!(keys(&lab.flows()), before);
    // The kernel has what its release promises. It may have more, if features were backported.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap(), numbers.next().unwrap());
    let promised = Capabilities::linux(major, minor);
    assert!(capabilities.dump_tuple_filter || !promised.dump_tuple_filter);
    assert!(capabilities.flush_tuple_filter || !promised.flush_tuple_filter);
    assert!(capabilities.status_filter || !promised.status_filter);
    assert!(capabilities.zone_filter || !promised.flush_tuple_filter);
    assert!(capabilities.mark_filter || !promised.status_filter);
}

/// Creates flows, deletes by a filter, and returns the source ports of the flows that are left.
fn left_after(lab: &Lab, flows: &[NewFlow], filter: &str) -> Vec<u16> {
    let mut client = lab.client();
    for flow in flows {
        client.create(flow).unwrap();
    }
    client.delete_matching(&filter.parse().unwrap()).unwrap();
    let mut left: Vec<u16> = lab.flows().iter().filter_map(|flow| flow.original.source_port()).collect();
    left.sort_unstable();
    left
}

/// conntrack(8) deletes the whole table on `-D -u UNREPLIED`.
fn deleting_unreplied_flows_leaves_replied_flows(lab: &Lab) {
    assert_eq!(left_after(lab, &[tcp_flow(1), udp_flow(2), udp6_flow(3)], "unreplied"), [1]);
}

/// conntrack(8) deletes the whole table on `-D -u '!ASSURED'`.
fn deleting_unassured_flows_leaves_assured_flows(lab: &Lab) {
    let mut seen = udp_flow(2);
    seen.status = Status::SEEN_REPLY;
    assert_eq!(left_after(lab, &[tcp_flow(1), seen], "not assured"), [1]);
}

/// `conntrack -L -u 'SEEN_REPLY,!ASSURED'` never lists a flow.
fn set_and_unset_status_bits_are_combined(lab: &Lab) {
    let mut seen = udp_flow(2);
    seen.status = Status::SEEN_REPLY;
    assert_eq!(left_after(lab, &[tcp_flow(1), seen, udp_flow(3)], "status SEEN_REPLY,!ASSURED"), [1, 3]);
}

/// `conntrack -D -t N` deletes everything, or compares for equality.
fn timeout_is_compared_and_never_deletes_everything(lab: &Lab) {
    let mut short = udp_flow(2);
    short.timeout = 50;
    assert_eq!(left_after(lab, &[udp_flow(1), short], "timeout < 100"), [1]);
}

/// `conntrack -D -p gre --srckey 1` deletes all GRE flows.
fn gre_keys_are_compared(lab: &Lab) {
    let mut client = lab.client();
    for key in [1, 2] {
        let tuple = Tuple::gre("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), key, 9);
        client.create(&NewFlow::untranslated(tuple, 60).unwrap()).unwrap();
    }
    client.delete_matching(&"proto gre and srckey 1".parse().unwrap()).unwrap();
    assert_eq!(lab.flows().len(), 1);
}

fn sctp_verification_tags_are_compared(lab: &Lab) {
    let mut client = lab.client();
    for port in [1, 2] {
        let tuple = Tuple::sctp(endpoint("10.1.0.1", port), endpoint("10.1.0.2", 9));
        let mut flow = NewFlow::untranslated(tuple, 60).unwrap();
        flow.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 0x1234_5678 + u32::from(port), 1).into());
        client.create(&flow).unwrap();
    }
    client.delete_matching(&"orig-vtag 0x12345679".parse().unwrap()).unwrap();
    assert_eq!(lab.flows().iter().map(|flow| flow.original.source_port()).collect::<Vec<_>>(), [Some(2)]);
}

/// conntrack(8) ignores IPv6 addresses in `-n`, `-g` and `-j`.
fn translated_ipv6_addresses_are_compared(lab: &Lab) {
    let translated = |number, to: &str| {
        let mut flow = udp6_flow(number);
        flow.snat = Some(NatRange::address(to.parse().unwrap()));
        flow
    };
    assert_eq!(left_after(lab, &[translated(1, "fd00::77"), translated(2, "fd00::78")], "src-nat fd00::77"), [2]);
}

/// `conntrack -L -j ADDRESS -p tcp` never lists a flow.
fn translations_are_combined_with_other_terms(lab: &Lab) {
    let mut translated = tcp_flow(1);
    translated.snat = Some(NatRange::address("192.0.2.5".parse().unwrap()));
    let mut other = udp_flow(2);
    other.snat = Some(NatRange::address("192.0.2.5".parse().unwrap()));
    assert_eq!(left_after(lab, &[translated, other], "any-nat 192.0.2.5 and proto tcp"), [2]);
}

/// conntrack(8) lists ICMP flows as translated, since their types differ.
fn icmp_flows_do_not_count_as_translated(lab: &Lab) {
    let mut client = lab.client();
    let echo = Tuple::icmp("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), 8, 0, 77);
    client.create(&NewFlow::untranslated(echo, 60).unwrap()).unwrap();
    assert_eq!(client.delete_matching(&"any-nat".parse().unwrap()).unwrap().matched(), 0);
}

/// The kernel selects every address except the given one if it is an IPv6 address.
fn ipv6_address_selects_that_address_only(lab: &Lab) {
    let mut other = udp6_flow(2);
    other.original.source = "fd00::5".parse().unwrap();
    other.reply = other.original.inverted().unwrap();
    assert_eq!(left_after(lab, &[udp6_flow(1), other, udp_flow(3)], "src fd00::5"), [1, 3]);
}

/// The kernel ignores the ports of protocols other than TCP and UDP.
fn ports_of_sctp_are_compared(lab: &Lab) {
    let sctp = |port| {
        let tuple = Tuple::sctp(endpoint("10.1.0.1", port), endpoint("10.1.0.2", port + 1));
        NewFlow::untranslated(tuple, 60).unwrap()
    };
    assert_eq!(left_after(lab, &[sctp(1), sctp(2)], "proto sctp and dport 2"), [2]);
}

/// The kernel ignores the zone in a filter's tuple.
fn zones_of_one_direction_are_compared(lab: &Lab) {
    let mut flows = [udp_flow(1), udp_flow(2), udp_flow(3), udp_flow(4)];
    flows[1].original = flows[1].original.in_zone(4);
    flows[2].zone = Some(4);
    flows[3].reply = flows[3].reply.in_zone(4);
    let source = "proto udp and src 10.1.0.1";
    assert_eq!(left_after(lab, &flows, &format!("{source} and orig-zone 4")), [1, 4]);
    lab.client().delete_all().unwrap();
    assert_eq!(left_after(lab, &flows, &format!("{source} and zone 4")), [1, 2, 4]);
}

fn delete_refuses_a_filter_that_matches_everything(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1)).unwrap();
    assert!(client.delete_matching(&Filter::everything()).is_err());
    assert!(client.delete_matching_uncounted(&Filter::everything()).is_err());
    assert_eq!(lab.flows().len(), 1);
}

/// conntrack(8) cannot update a flow in a zone.
fn flow_in_a_zone_is_updated_by_a_filter(lab: &Lab) {
    let mut client = lab.client();
    let mut flow = udp_flow(1);
    flow.zone = Some(9);
    client.create(&flow).unwrap();
    let report = client.update_matching(&"zone 9".parse().unwrap(), &FlowUpdate::new().mark(5)).unwrap();
    assert_eq!(report.changed(), 1);
    assert_eq!(client.get(FlowKey::original(flow.original).in_zone(9)).unwrap().unwrap().mark, Some(5));
}

/// The kernel refuses a change of status bits with EBUSY if a reply arrived after the flow was read.
fn flows_answered_during_an_update_are_updated(lab: &Lab) {
    let mut client = lab.client();
    let flows: Vec<NewFlow> = (1..=20_000).map(udp_flow).collect();
    create(&mut client, flows.iter().cloned());
    let mut other = lab.client();
    let answers = move || {
        let answered = FlowUpdate::new().add_status(Status::SEEN_REPLY);
        let mut batch = other.batch();
        for flow in flows.iter().rev() {
            let key = FlowKey::original(flow.original);
            batch.push(&UpdateFlow::new(key, &answered).with_current_status(Status::CONFIRMED)).unwrap();
        }
        batch.finish().unwrap();
    };
    let answering = std::thread::spawn(answers);
    let update = FlowUpdate::new().add_status(Status::FIXED_TIMEOUT).mark(8);
    let report = client.update_matching(&"proto udp".parse().unwrap(), &update).unwrap();
    answering.join().unwrap();
    assert_eq!((report.changed(), report.failed()), (20_000, 0), "{:?}", report.failures());
    assert!(lab.flows().iter().all(|flow| flow.mark == Some(8)));
}

fn error_of_a_filtered_delete_contains_its_report(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let mut client = lab.client();
    client.capabilities().unwrap();
    lab.without_capabilities(move || {
        let error = client.delete_matching(&"proto udp".parse().unwrap()).unwrap_err();
        assert!(error.is_permission_denied());
        assert_eq!(error.bulk_report().map(BulkReport::matched), Some(0));
        assert!(error.to_string().contains("CAP_NET_ADMIN"));
    });
}
