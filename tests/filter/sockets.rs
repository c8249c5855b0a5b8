//! Programs for event sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ctnetlink::{
    Filter, Flow, Prefix, Protocol, Tuple,
    filter::{AddressSet, Capabilities, NumberSet, SocketFilter},
    wire::{Flags, MessageType},
};
use proptest::{prelude::*, sample::select};

use crate::{bpf, flows::flows, messages::encoded, recordings::recorded, specs::specs};

fn event(flow: &Flow) -> Vec<u8> {
    encoded(flow, MessageType::FLOW_NEW, Flags::CREATE | Flags::EXCLUSIVE)
}

fn tcp(source: &str, destination: &str) -> Flow {
    let tuple = Tuple::tcp(source.parse().unwrap(), destination.parse().unwrap());
    Flow::new(tuple, tuple.inverted().unwrap())
}

fn compiled(filter: &Filter) -> SocketFilter {
    let program = SocketFilter::new(filter);
    bpf::check(program.instructions());
    program
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn programs_pass_every_match_and_exact_ones_nothing_else(
        spec in specs(), flow in flows(),
        kind in select(vec![
            (MessageType::FLOW_NEW, Flags::CREATE | Flags::EXCLUSIVE),
            (MessageType::FLOW_NEW, Flags::empty()),
            (MessageType::FLOW_DELETE, Flags::empty()),
        ]),
    ) {
        let program = compiled(&spec.build());
        let passes = bpf::passes(program.instructions(), &encoded(&flow, kind.0, kind.1));
        prop_assert!(passes || !spec.holds(&flow), "{}: {flow:?}", spec.build());
        prop_assert!(!program.is_exact() || passes == spec.holds(&flow), "{}: {flow:?}", spec.build());
    }

    #[test]
    fn each_kind_of_event_has_its_own_filter(new in specs(), update in specs(), destroy in specs(), flow in flows()) {
        let program = SocketFilter::per_event(&new.build(), &update.build(), &destroy.build());
        bpf::check(program.instructions());
        for (spec, message_type, flags) in [
            (&new, MessageType::FLOW_NEW, Flags::CREATE),
            (&update, MessageType::FLOW_NEW, Flags::empty()),
            (&destroy, MessageType::FLOW_DELETE, Flags::empty()),
        ] {
            let passes = bpf::passes(program.instructions(), &encoded(&flow, message_type, flags));
            prop_assert!(passes || !spec.holds(&flow));
            prop_assert!(!program.is_exact() || passes == spec.holds(&flow));
        }
    }
}

#[test]
fn recorded_events_pass_as_in_userspace() {
    let (mut passed, mut dropped) = (0, 0);
    for bytes in recorded("vectors-events") {
        let message = crate::messages::message(&bytes);
        let Ok(flow) = Flow::decode(&message) else { continue };
        for text in ["proto tcp", "dport 22,53,80", "unreplied", "addr 10.0.0.0/8", "state ESTABLISHED", "not mark 0"] {
            let filter: Filter = text.parse().unwrap();
            let program = compiled(&filter);
            assert!(program.is_exact(), "{text}");
            let passes = bpf::passes(program.instructions(), &bytes);
            assert_eq!(passes, filter.matches(&flow), "{text}: {flow:?}");
            if passes { passed += 1 } else { dropped += 1 }
        }
    }
    assert!(passed > 10 && dropped > 10, "{passed} passed, {dropped} dropped");
}

#[test]
fn messages_other_than_flow_events_pass() {
    let program = compiled(&Filter::nothing());
    let flow = tcp("10.0.0.1:1", "10.0.0.2:2");
    let pass = |message_type, flags| bpf::passes(program.instructions(), &encoded(&flow, message_type, flags));
    assert!(!pass(MessageType::FLOW_NEW, Flags::CREATE));
    assert!(!pass(MessageType::FLOW_NEW, Flags::empty()));
    assert!(!pass(MessageType::FLOW_DELETE, Flags::empty()));
    assert!(pass(MessageType::EXPECTATION_NEW, Flags::CREATE));
    assert!(pass(MessageType::EXPECTATION_DELETE, Flags::empty()));
    assert!(pass(MessageType::DONE, Flags::MULTI));
    assert!(pass(MessageType::ERROR, Flags::empty()));
    // An entry of a dump: the same datagram may contain others.
    assert!(pass(MessageType::FLOW_NEW, Flags::MULTI));
}

#[test]
fn ports_and_reply_tuples_are_compared() {
    let program = compiled(&"dport 80 and reply-src 10.0.0.9".parse().unwrap());
    assert!(program.is_exact());
    let mut flow = tcp("10.0.0.1:1000", "192.0.2.1:80");
    assert!(!bpf::passes(program.instructions(), &event(&flow)));
    flow.reply.source = [10, 0, 0, 9].into();
    assert!(bpf::passes(program.instructions(), &event(&flow)));
}

#[test]
fn large_set_that_fits_is_exact() {
    let addresses: AddressSet = (0..1000_u32).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number * 3)).collect();
    let program = compiled(&Filter::source(addresses));
    assert!(program.is_exact());
    for (source, passes) in
        [("10.0.0.0:1", true), ("10.0.0.1:1", false), ("10.0.11.181:1", true), ("10.0.11.182:1", false)]
    {
        assert_eq!(bpf::passes(program.instructions(), &event(&tcp(source, "192.0.2.1:1"))), passes, "{source}");
    }
}

#[test]
fn set_that_does_not_fit_is_compared_coarsely() {
    let ipv4 = (0..20_000_u32).map(|number| Prefix::from(Ipv4Addr::from_bits(0x0a00_0000 + number * 3)));
    let ipv6 = (0..20_000_u128).map(|number| Prefix::from(Ipv6Addr::from_bits((0xfd00 << 112) + number * 3)));
    let addresses: AddressSet = ipv4.chain(ipv6).collect();
    let program = compiled(&Filter::source(addresses.clone()));
    assert!(!program.is_exact());
    let pass = |program: &SocketFilter, source: &str, destination: &str| {
        bpf::passes(program.instructions(), &event(&tcp(source, destination)))
    };
    assert!(pass(&program, "10.0.0.3:1", "192.0.2.1:1"));
    assert!(pass(&program, "[fd00::3]:1", "[2001:db8::1]:1"));
    assert!(!pass(&program, "192.0.2.1:1", "192.0.2.1:1"));
    assert!(!pass(&program, "[2001:db8::1]:1", "[2001:db8::1]:1"));
    // The negation of a coarse comparison would drop events that match.
    let negated = compiled(&!Filter::source(addresses));
    assert!(pass(&negated, "10.0.0.1:1", "192.0.2.1:1"));
    assert!(pass(&negated, "[fd00::1]:1", "[2001:db8::1]:1"));
}

#[test]
fn programs_respect_the_requested_length() {
    let addresses: AddressSet = (0..1000_u32).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number * 3)).collect();
    let filter = Filter::source(addresses) & Filter::destination_port(22);
    for longest in [0, 20, 100, 300, 1000, 4096, 100_000] {
        let program = SocketFilter::per_event_within(longest, &filter, &filter, &filter);
        bpf::check(program.instructions());
        assert!(program.instructions().len() <= longest.max(32), "{longest}: {}", program.instructions().len());
        assert!(bpf::passes(program.instructions(), &event(&tcp("10.0.0.3:1", "10.0.0.2:22"))));
        let other = event(&tcp("10.0.0.3:1", "10.0.0.2:23"));
        assert_eq!(bpf::passes(program.instructions(), &other), longest < 300, "{longest}");
        assert_eq!(program.is_exact(), longest >= 4096, "{longest}");
    }
}

#[test]
fn only_the_condition_that_is_too_long_is_left_out() {
    let marks = Filter::any_of((0..5000).map(Filter::mark));
    let program = compiled(&(marks.clone() & Filter::destination_port(22)));
    assert!(!program.is_exact());
    assert!(bpf::passes(program.instructions(), &event(&tcp("10.0.0.1:1", "10.0.0.2:22"))));
    assert!(!bpf::passes(program.instructions(), &event(&tcp("10.0.0.1:1", "10.0.0.2:23"))));
    let program = compiled(&marks);
    assert!(!program.is_exact());
    assert!(bpf::passes(program.instructions(), &event(&tcp("10.0.0.1:1", "10.0.0.2:23"))));
}

#[test]
fn jumps_over_more_than_255_instructions_arrive() {
    let either: Vec<Filter> = (0..100).map(|port| Filter::source_port(2 * port) & Filter::mark(port.into())).collect();
    let filter = Filter::any_of(either) & Filter::protocol(Protocol::TCP);
    let program = compiled(&filter);
    assert!(program.is_exact());
    for port in 0..250_u16 {
        let mut flow = tcp(&format!("10.0.0.1:{port}"), "10.0.0.2:1");
        flow.mark = Some(u32::from(port) / 2);
        assert_eq!(bpf::passes(program.instructions(), &event(&flow)), filter.matches(&flow), "{port}");
    }
}

#[test]
fn large_set_of_tuples_is_compared_by_parts() {
    let tuple = |number: u16| {
        let source = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)));
        Tuple::tcp((source, number).into(), "192.0.2.1:80".parse().unwrap())
    };
    let filter = Filter::tuples((0..1000).map(|number| tuple(2 * number)));
    let program = compiled(&filter);
    assert!(!program.is_exact());
    let flow = |tuple: Tuple| Flow::new(tuple, tuple.inverted().unwrap());
    assert!(bpf::passes(program.instructions(), &event(&flow(tuple(10)))));
    assert!(!bpf::passes(program.instructions(), &event(&flow(tuple(11)))));
}

#[test]
fn large_set_of_tuples_with_and_without_ports_passes_both() {
    let ports =
        (0..1000).map(|port| Tuple::tcp(SocketAddr::from(([10, 0, 0, 1], port)), "10.0.0.2:2".parse().unwrap()));
    let queries = (0..1000).map(|id| Tuple::icmp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 8, 0, id));
    let program = compiled(&Filter::tuples(ports.chain(queries)));
    let query = Tuple::icmp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 8, 0, 5);
    assert!(bpf::passes(program.instructions(), &event(&Flow::new(query, query.inverted().unwrap()))));
    assert!(bpf::passes(program.instructions(), &event(&tcp("10.0.0.1:5", "10.0.0.2:2"))));
    assert!(!bpf::passes(program.instructions(), &event(&tcp("10.0.0.1:5", "10.0.0.3:2"))));
}

#[test]
fn absence_of_ports_is_left_to_userspace() {
    let tuple = Tuple::new(Protocol::SCTP, [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let ported = Tuple::sctp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let flow = Flow::new(ported, ported.inverted().unwrap());
    for filter in [Filter::tuples([tuple]), !Filter::tuples([tuple])] {
        let program = compiled(&filter);
        assert!(!program.is_exact());
        assert!(bpf::passes(program.instructions(), &event(&flow)) || !filter.matches(&flow));
        assert!(!filter.plan(&Capabilities::linux(6, 18)).is_exact());
    }
}

#[test]
fn programs_of_any_length_jump_correctly() {
    let events: Vec<_> = (0..700_u16).map(|port| event(&tcp(&format!("10.0.0.1:{port}"), "10.0.0.2:1"))).collect();
    for count in 50..350_u16 {
        let program = compiled(&!Filter::source_port((0..count).map(|number| 2 * number).collect::<NumberSet<u16>>()));
        for (port, event) in events.iter().take(usize::from(2 * count)).enumerate() {
            assert_eq!(bpf::passes(program.instructions(), event), port % 2 == 1, "{count} ports, port {port}");
        }
    }
}
