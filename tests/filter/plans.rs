//! Plans, executed by a model of the kernel.

use ctnetlink::{Filter, Flow, Status, Tuple, filter::Capabilities};
use proptest::prelude::*;

use crate::{
    flows::entries,
    kernel::{Request, dumps_return_the_matches, flushes_delete_the_matches},
    messages::NOW,
    specs::specs,
};

fn capabilities() -> impl Strategy<Value = Capabilities> {
    any::<[bool; 6]>().prop_map(|[mark, family, dump, status, zone, flush]| {
        let mut capabilities = Capabilities::none();
        capabilities.mark_filter = mark;
        capabilities.flush_family = family;
        capabilities.dump_tuple_filter = dump;
        capabilities.status_filter = status;
        capabilities.zone_filter = zone;
        capabilities.flush_tuple_filter = flush;
        capabilities
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn planned_dumps_select_each_matching_flow_once(
        spec in specs(), (flow, zone) in entries(), known in prop_oneof![capabilities(), Just(Capabilities::linux(6, 18))],
    ) {
        let filter = spec.build();
        dumps_return_the_matches(&filter.plan(&known), &known, (&flow, zone), filter.matches_at(&flow, NOW));
    }

    #[test]
    fn planned_flushes_delete_exactly_the_matching_flows(
        spec in specs(), (flow, zone) in entries(), known in prop_oneof![capabilities(), Just(Capabilities::linux(6, 18))],
    ) {
        let filter = spec.build();
        flushes_delete_the_matches(&filter.plan(&known), &known, (&flow, zone), filter.matches_at(&flow, NOW));
    }
}

fn words(text: &str, capabilities: &Capabilities) -> (Vec<String>, bool, bool) {
    let filter: Filter = text.parse().unwrap();
    let plan = filter.plan(capabilities);
    (plan.dumps().iter().map(ToString::to_string).collect(), plan.is_exact(), plan.flush().is_some())
}

#[test]
fn plans_print_the_selected_flows() {
    let new = Capabilities::linux(6, 18);
    for (text, dumps, exact, flush) in [
        ("any", vec!["all families"], true, false),
        ("none", vec![], true, false),
        ("family ipv6", vec!["ipv6"], true, true),
        ("unreplied", vec!["all families, status !SEEN_REPLY"], true, true),
        ("not assured and not unreplied", vec!["all families, status SEEN_REPLY,!ASSURED"], true, true),
        ("mark 0x10/0xff and mark 0x100/0x100", vec!["all families, mark 0x110/0x1ff"], true, true),
        ("mark 1 or mark 3", vec!["all families, mark 0x1/0xfffffffd"], false, false),
        ("src 10.0.0.1", vec!["ipv4, original source 10.0.0.1"], true, true),
        ("src 10.0.0.0/8", vec!["ipv4"], false, false),
        ("src 10.0.0.1,fd00::1", vec!["ipv4, original source 10.0.0.1", "ipv6"], false, false),
        (
            "proto udp and dport 53",
            vec![
                "ipv4, protocol udp, original destination port 53",
                "ipv6, protocol udp, original destination port 53",
            ],
            true,
            true,
        ),
        ("proto udp,tcp and dport 53", vec!["all families"], false, false),
        (
            "proto icmp and icmp-type 8",
            vec!["ipv4, protocol icmp, original type 8", "ipv6, protocol icmp, original type 8"],
            true,
            true,
        ),
        ("zone 5", vec!["all families, zone 5 in either direction"], false, false),
        ("any-zone 5", vec!["all families, zone 5 in either direction"], true, true),
        ("src 10.0.0.1 and src 10.0.0.2", vec![], true, false),
        ("src 10.0.0.1 and dst fd00::1", vec![], true, false),
        ("src-nat 192.0.2.1", vec!["ipv4, reply destination 192.0.2.1"], false, false),
        (
            "tuple tcp 10.0.0.1:1 10.0.0.2:2",
            vec![
                "ipv4, protocol tcp, original source 10.0.0.1, original destination 10.0.0.2, \
                  original source port 1, original destination port 2",
            ],
            true,
            true,
        ),
    ] {
        let expected = (dumps.iter().map(ToString::to_string).collect(), exact, flush);
        assert_eq!(words(text, &new), expected, "{text}");
    }
}

#[test]
fn each_field_of_a_tuple_has_its_flag() {
    let known = Capabilities::linux(6, 18);
    for (text, flags) in [
        ("src 10.0.0.1", (0x1, 0)),
        ("dst 10.0.0.1", (0x2, 0)),
        ("reply-src 10.0.0.1 and reply-dst 10.0.0.2", (0, 0x3)),
        ("proto 50", (0x8, 0)),
        ("proto tcp and sport 1", (0x18, 0)),
        ("proto udp and dport 1 and reply-port-src 2", (0x28, 0x18)),
        ("proto tcp and reply-port-dst 2", (0x8, 0x28)),
        ("proto icmp and icmp-type 8", (0x48, 0)),
        ("proto icmp and icmp-code 1", (0x88, 0)),
        ("proto icmp and icmp-id 1", (0x108, 0)),
        ("proto icmpv6 and icmp-type 128", (0x208, 0)),
        ("proto icmpv6 and icmp-code 1", (0x408, 0)),
        ("proto icmpv6 and icmp-id 1", (0x808, 0)),
    ] {
        let filter: Filter = text.parse().unwrap();
        let plan = filter.plan(&known);
        for dump in plan.dumps() {
            assert_eq!(Request::receive(dump, &known, true).flags(), flags, "{text}");
        }
        assert!(plan.is_exact(), "{text}");
    }
}

#[test]
fn ipv6_addresses_are_never_sent() {
    assert_eq!(words("src fd00::1", &Capabilities::linux(6, 18)), (vec!["ipv6".into()], false, false));
}

#[test]
fn ports_of_sctp_are_never_sent() {
    let (dumps, exact, flush) = words("family ipv4 and proto sctp and dport 80", &Capabilities::linux(6, 18));
    assert_eq!((dumps, exact, flush), (vec!["ipv4, protocol sctp".into()], false, false));
}

#[test]
fn old_kernels_get_only_what_they_understand() {
    assert_eq!(words("zone 0", &Capabilities::linux(6, 7)), (vec!["all families".into()], false, false));
    assert_eq!(words("assured", &Capabilities::linux(5, 14)), (vec!["all families".into()], false, false));
    assert_eq!(words("src 10.0.0.1", &Capabilities::linux(5, 7)), (vec!["ipv4".into()], false, false));
    // Linux 6.12 added flushes by fields of tuples, and Linux 5.2 flushes by family.
    assert!(!words("src 10.0.0.1", &Capabilities::linux(6, 11)).2);
    assert!(words("src 10.0.0.1", &Capabilities::linux(6, 12)).2);
    assert!(!words("family ipv6", &Capabilities::linux(5, 1)).2);
}

#[test]
fn unreplied_flushes_only_unreplied_flows() {
    let filter: Filter = "unreplied".parse().unwrap();
    let tuple = Tuple::tcp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
    flow.mark = Some(0);
    let known = Capabilities::linux(6, 18);
    let plan = filter.plan(&known);
    let flushes = plan.flush().unwrap();
    assert_eq!(flushes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["all families, status !SEEN_REPLY"]);
    for (status, is_unreplied) in [(Status::CONFIRMED, true), (Status::CONFIRMED | Status::SEEN_REPLY, false)] {
        flow.status = Some(status);
        assert_eq!(filter.matches(&flow), is_unreplied);
        flushes_delete_the_matches(&plan, &known, (&flow, 0), is_unreplied);
    }
}

#[test]
fn filter_that_matches_everything_is_never_a_flush() {
    for text in ["any", "mark 0/0", "src 0.0.0.0/0,::/0", "not none"] {
        assert!(!words(text, &Capabilities::linux(6, 18)).2, "{text}");
    }
    let is_everything = |text: &str| text.parse::<Filter>().unwrap().is_everything();
    for text in ["mark 0/0", "not none", "any or assured", "not (none and assured)", "mark 0/0 and any"] {
        assert!(is_everything(text), "{text}");
    }
    // Conditions that happen to hold for every flow.
    for text in ["src 0.0.0.0/0,::/0", "proto 0-255", "any-zone 0-65535", "assured or not assured"] {
        assert!(!is_everything(text), "{text}");
    }
}
