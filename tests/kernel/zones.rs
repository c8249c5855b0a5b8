//! Flows that share tuples: zones on one direction, NAT, and a tuple that is one flow's original and another's reply.

use std::collections::BTreeMap;

use ctnetlink::{Client, Filter, Flow, FlowKey, FlowUpdate, NatRange, NewFlow, Protocol, Tuple};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{cases, lab::Lab, samples::endpoint};

cases! {
    bulk_update_spares_the_reverse_flow;
    bulk_delete_reaches_its_flow_beside_a_reverse_flow;
    get_finds_its_flow_beside_a_reverse_flow;
    delete_by_original_tuple_spares_the_reverse_flow;
    original_key_does_not_name_a_flow_by_its_replies;
    reply_key_does_not_name_a_flow_by_its_original_tuple;
    stale_flow_is_not_updated;
    zone_of_aimed_keys_hides_no_flow;
    create_or_update_takes_the_reverse_flow_for_its_own;
    requests_reach_the_flow_they_name;
    vanished_counts_only_flows_that_vanished;
}

fn udp(source: &str, destination: &str, timeout: u32) -> NewFlow {
    let original = Tuple::udp(endpoint(source, 500), endpoint(destination, 500));
    NewFlow::untranslated(original, timeout).unwrap()
}

/// Flows A (mark 1) and B (mark 2): A's original tuple is B's reply tuple, and a lookup by it finds B, the newer one.
/// A's reply tuple differs from B's original one by a translation, or by a zone.
fn pairs() -> [[NewFlow; 2]; 2] {
    let mut b = udp("10.0.0.2", "10.0.0.1", 600);
    b.original = b.original.in_zone(2);
    b.mark = Some(2);
    let mut translated = udp("10.0.0.1", "10.0.0.2", 600);
    translated.mark = Some(1);
    let mut zoned = translated.clone();
    translated.snat = Some(NatRange::address("192.0.2.1".parse().unwrap()));
    zoned.reply = zoned.reply.in_zone(3);
    [[translated, b.clone()], [zoned, b]]
}

fn each_pair(lab: &Lab, check: impl Fn(&mut Client, &Flow, &Flow)) {
    let mut client = lab.client();
    for [a, b] in pairs() {
        client.delete_all().unwrap();
        client.create(&a).unwrap();
        client.create(&b).unwrap();
        let [a, b] = [a, b].map(|new| lab.flow(new.original));
        assert_eq!(b.reply, a.original);
        check(&mut client, &a, &b);
    }
}

fn in_zone(key: FlowKey, zone: Option<u16>) -> FlowKey {
    zone.map_or(key, |zone| key.in_zone(zone))
}

fn marks(client: &mut Client) -> Vec<u32> {
    let mut marks: Vec<u32> = client.dump().unwrap().map(|flow| flow.unwrap().mark.unwrap()).collect();
    marks.sort_unstable();
    marks
}

fn bulk_update_spares_the_reverse_flow(lab: &Lab) {
    each_pair(lab, |client, _, _| {
        let report = client.update_matching(&Filter::mark(1), &FlowUpdate::new().mark(99)).unwrap();
        assert_eq!((report.changed(), report.vanished()), (1, 0));
        assert_eq!(marks(client), [2, 99]);
    });
}

fn bulk_delete_reaches_its_flow_beside_a_reverse_flow(lab: &Lab) {
    each_pair(lab, |client, _, _| {
        let report = client.delete_matching(&Filter::mark(1)).unwrap();
        assert_eq!((report.changed(), report.vanished()), (1, 0));
        assert_eq!(marks(client), [2]);
    });
}

fn get_finds_its_flow_beside_a_reverse_flow(lab: &Lab) {
    each_pair(lab, |client, a, b| {
        for flow in [a, b] {
            let found = client.get(flow).unwrap().map(|flow| flow.id);
            assert_eq!(found, Some(flow.id));
            let zeroed = client.get_and_zero_counters(flow).unwrap().map(|flow| flow.id);
            assert_eq!(zeroed, Some(flow.id));
        }
        let by_tuple = client.get(FlowKey::original(a.original)).unwrap().unwrap();
        assert_eq!(by_tuple.id, a.id);
    });
}

fn delete_by_original_tuple_spares_the_reverse_flow(lab: &Lab) {
    each_pair(lab, |client, a, _| {
        client.delete(FlowKey::original(a.original)).unwrap();
        assert_eq!(marks(client), [2]);
        assert!(client.delete(FlowKey::original(a.original)).unwrap_err().is_not_found());
        assert_eq!(marks(client), [2]);
    });
}

/// The kernel finds a flow by its reply tuple in place of the original one.
fn original_key_does_not_name_a_flow_by_its_replies(lab: &Lab) {
    key_names_no_flow(lab, |new| FlowKey::original(new.reply));
}

fn reply_key_does_not_name_a_flow_by_its_original_tuple(lab: &Lab) {
    key_names_no_flow(lab, |new| FlowKey::reply(new.original));
}

fn key_names_no_flow(lab: &Lab, key: fn(&NewFlow) -> FlowKey) {
    let mut client = lab.client();
    for zone in [None, Some(7)] {
        let mut new = udp("10.0.0.1", "10.0.0.2", 600);
        new.zone = zone;
        client.create(&new).unwrap();
        let key = in_zone(key(&new), zone);
        assert_eq!(client.get(key).unwrap(), None);
        assert!(client.update(key, &FlowUpdate::new().mark(9)).unwrap_err().is_not_found());
        assert!(client.delete(key).unwrap_err().is_not_found());
        assert_eq!(marks(&mut client), [0]);
        client.delete_all().unwrap();
    }
}

/// The kernel does not compare the identifier of an update.
fn stale_flow_is_not_updated(lab: &Lab) {
    let mut client = lab.client();
    let new = udp("10.0.0.1", "10.0.0.2", 600);
    client.create(&new).unwrap();
    let mut stale = lab.flow(new.original);
    stale.id = stale.id.map(|id| id ^ 1);
    assert!(client.update(&stale, &FlowUpdate::new().mark(5)).unwrap_err().is_not_found());
    assert_eq!(marks(&mut client), [0]);
}

/// As documented at `NewFlow::or_update`.
fn create_or_update_takes_the_reverse_flow_for_its_own(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp("10.0.0.1", "10.0.0.2", 600)).unwrap();
    let mut reverse = udp("10.0.0.2", "10.0.0.1", 600);
    reverse.mark = Some(5);
    assert!(client.create(&reverse).unwrap_err().is_already_exists());
    client.create(&reverse.or_update()).unwrap();
    assert_eq!(marks(&mut client), [5]);
}

/// A request in the default zone carries 0xc7e1 as the zone of the direction that it does not name.
fn zone_of_aimed_keys_hides_no_flow(lab: &Lab) {
    let mut client = lab.client();
    let zone = Some(0xc7e1);
    for zones in [[zone, None, None], [None, zone, None], [None, None, zone]] {
        for snat in [None, Some(NatRange::address("192.0.2.1".parse().unwrap()))] {
            client.delete_all().unwrap();
            let mut flow = udp("10.0.0.1", "10.0.0.2", 600);
            let mut others = [udp("10.0.0.2", "10.0.0.1", 600), udp("10.0.0.1", "10.0.0.2", 600)];
            (flow.mark, flow.snat) = (Some(1), snat);
            client.create(&flow).unwrap();
            for other in &mut others {
                [other.original.zone, other.reply.zone, other.zone] = zones;
                let created = client.create(other);
                assert!(created.map_or_else(|error| error.is_already_exists(), |()| true));
            }
            for flow in client.dump().unwrap().map(Result::unwrap).collect::<Vec<_>>() {
                let original = in_zone(FlowKey::original(flow.original), flow.zone);
                let reply = in_zone(FlowKey::reply(flow.reply), flow.zone);
                for key in [FlowKey::from(&flow), original, reply] {
                    let found = client.get(key).unwrap().and_then(|found| found.id);
                    assert_eq!(found, flow.id, "{flow:?} by {key:?}");
                    client.update(key, &FlowUpdate::new().timeout(500)).unwrap();
                }
            }
        }
    }
}

/// A flow out of so few tuples that they repeat.
fn any_flow() -> impl Strategy<Value = NewFlow> {
    let zone = || select(vec![None, None, None, Some(2), Some(3), Some(0)]);
    let tuple = (0..2_u8, 0..2_u16, 0..2_u16, select(vec![Protocol::UDP, Protocol(50), Protocol::ICMP]));
    let host = || select(vec![None, None, None, Some(1_u8), Some(2)]);
    (tuple, zone(), 0..4_u8, host(), host()).prop_map(
        |((side, from, to, protocol), zone, direction, translated, redirected)| {
            let ends = if side == 0 { ["10.0.0.1", "10.0.0.2"] } else { ["10.0.0.2", "10.0.0.1"] };
            let original = match protocol {
                Protocol::UDP => Tuple::udp(endpoint(ends[0], 500 + from), endpoint(ends[1], 500 + to)),
                Protocol::ICMP => {
                    // A reply can be the original tuple of a flow too, so that requests and replies share tuples.
                    let icmp_type = if to == 0 { 8 } else { 0 };
                    Tuple::icmp(ends[0].parse().unwrap(), ends[1].parse().unwrap(), icmp_type, 0, from)
                }
                _ => Tuple::new(protocol, ends[0].parse().unwrap(), ends[1].parse().unwrap()),
            };
            let mut flow = NewFlow::untranslated(original, 600).unwrap();
            match direction {
                0 => flow.original.zone = zone,
                1 => flow.reply.zone = zone,
                _ => flow.zone = zone,
            }
            if let Some(host) = translated {
                flow.snat = Some(NatRange::address([10, 0, 0, host].into()));
            }
            if let Some(host) = redirected {
                flow.dnat = Some(NatRange::address([10, 0, 0, host].into()));
            }
            flow
        },
    )
}

fn any_term() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..16_u32).prop_map(|mark| format!("mark {mark}")),
        (1..8_u32).prop_map(|bit| format!("mark {bit}/{bit}")),
        select(vec![
            "src 10.0.0.1",
            "dst 10.0.0.1",
            "reply-dst 10.0.0.1",
            "proto udp",
            "proto 50",
            "sport 500",
            "dport 501",
            "zone 0",
            "zone 2",
            "orig-zone 2",
            "reply-zone 3",
            "any-zone 2,3",
            "src-nat",
        ])
        .prop_map(Into::into),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let term = || (any_term(), any::<bool>()).prop_map(|(term, not)| if not { format!("not {term}") } else { term });
    let joiner = select(vec![" and ", " or "]);
    (term(), proptest::option::of((joiner, term()))).prop_map(|(first, rest)| {
        let text = rest.map_or(first.clone(), |(joiner, second)| format!("{first}{joiner}{second}"));
        text.parse().unwrap()
    })
}

/// Returns the flows of the table by mark. Each flow has a different mark.
fn table(client: &mut Client) -> BTreeMap<u32, Flow> {
    client.dump().unwrap().map(|flow| flow.unwrap()).map(|flow| (flow.mark.unwrap(), flow)).collect()
}

fn fill(client: &mut Client, flows: &[NewFlow]) -> BTreeMap<u32, Flow> {
    client.delete_all().unwrap();
    let mut batch = client.batch();
    for (mark, flow) in (1..).zip(flows) {
        let mut flow = flow.clone();
        flow.mark = Some(mark);
        batch.push(&flow).unwrap();
    }
    // The kernel refuses flows that clash with an earlier flow.
    batch.finish().unwrap();
    table(client)
}

/// A bit that no flow's mark has at first.
const TOUCHED: u32 = 0x100;

/// The number of generated tables. `CTNETLINK_CASES` in the environment overrides it.
fn cases() -> u32 {
    std::env::var("CTNETLINK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

/// In any table, a request changes exactly the flows that it names.
fn requests_reach_the_flow_they_name(lab: &Lab) {
    let mut client = lab.client();
    let flows = proptest::collection::vec(any_flow(), 2..24);
    let filters = proptest::collection::vec(any_filter(), 6);
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let client = std::cell::RefCell::new(&mut client);
    let result = runner.run(&(flows, filters), |(flows, filters)| {
        let client = &mut **client.borrow_mut();
        for filter in &filters {
            let before = fill(client, &flows);
            let matched: Vec<u32> =
                before.values().filter(|flow| filter.matches(*flow)).map(|f| f.mark.unwrap()).collect();
            let report = client.update_matching(filter, &FlowUpdate::new().mark_bits(TOUCHED, TOUCHED)).unwrap();
            prop_assert_eq!((report.changed() as usize, report.vanished()), (matched.len(), 0), "{}", filter);
            let after = table(client);
            let touched: Vec<u32> =
                after.keys().filter(|mark| **mark & TOUCHED != 0).map(|mark| mark & !TOUCHED).collect();
            prop_assert_eq!(touched, matched, "updated by {}", filter);

            let before = fill(client, &flows);
            let report = client.delete_matching(filter).unwrap();
            let (gone, kept): (Vec<&Flow>, Vec<&Flow>) = before.values().partition(|flow| filter.matches(*flow));
            prop_assert_eq!((report.changed() as usize, report.vanished()), (gone.len(), 0), "{}", filter);
            let left: Vec<u32> = table(client).into_keys().collect();
            prop_assert_eq!(
                left,
                kept.iter().map(|flow| flow.mark.unwrap()).collect::<Vec<_>>(),
                "deleted by {}",
                filter
            );
        }
        one_by_one(client, &flows)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Gets, updates and deletes each flow by each of its keys, and checks that no other flow changes.
fn one_by_one(client: &mut Client, flows: &[NewFlow]) -> Result<(), TestCaseError> {
    let mut expected = fill(client, flows);
    for (mark, flow) in expected.clone() {
        let original = in_zone(FlowKey::original(flow.original), flow.zone);
        let reply = in_zone(FlowKey::reply(flow.reply), flow.zone);
        for key in [FlowKey::from(&flow), original, reply] {
            let found = client.get(key).unwrap().and_then(|flow| flow.mark);
            prop_assert_eq!(found, Some(mark), "{:?} got by {:?}", flow, key);
            client.update(key, &FlowUpdate::new().mark(mark | TOUCHED)).unwrap();
            let touched: Vec<u32> = table(client).into_keys().filter(|mark| mark & TOUCHED != 0).collect();
            prop_assert_eq!(touched, [mark | TOUCHED], "{:?} updated by {:?}", flow, key);
            client.update(&flow, &FlowUpdate::new().mark(mark)).unwrap();
        }
        let key = [FlowKey::from(&flow), original, reply][mark as usize % 3];
        client.delete(key).unwrap();
        expected.remove(&mark);
        let left: Vec<u32> = table(client).into_keys().collect();
        prop_assert_eq!(left, expected.keys().copied().collect::<Vec<_>>(), "deleted by {:?}", key);
        prop_assert_eq!(client.get(key).unwrap(), None);
        prop_assert!(client.update(key, &FlowUpdate::new().mark(77)).unwrap_err().is_not_found());
        prop_assert!(client.delete(key).unwrap_err().is_not_found());
        prop_assert_eq!(table(client).len(), expected.len());
    }
    Ok(())
}

/// While another client deletes flows, each flow is either deleted by this client or counted as vanished.
fn vanished_counts_only_flows_that_vanished(lab: &Lab) {
    let mut client = lab.client();
    for round in 0..20_u16 {
        let mut flows = Vec::new();
        for port in 1..=400_u16 {
            for [mut a, mut b] in pairs() {
                for flow in [&mut a, &mut b] {
                    let ports = |tuple: Tuple| {
                        let new = Tuple::udp((tuple.source, port).into(), (tuple.destination, port).into());
                        tuple.zone.map_or(new, |zone| new.in_zone(zone))
                    };
                    (flow.original, flow.reply) = (ports(flow.original), ports(flow.reply));
                }
                flows.extend([a, b]);
            }
        }
        fill(&mut client, &flows);
        client.update_matching(&Filter::everything(), &FlowUpdate::new().mark(1)).unwrap();
        let flows: Vec<Flow> = client.dump().unwrap().map(Result::unwrap).collect();
        let mut other = lab.client();
        let theirs = flows.clone();
        let thief = std::thread::spawn(move || {
            let victims = theirs.iter().skip(usize::from(round % 3)).step_by(3);
            victims.filter(|flow| other.delete(*flow).is_ok()).count()
        });
        let report = client.delete_matching(&Filter::mark(1)).unwrap();
        let stolen = thief.join().unwrap();
        assert!(report.vanished() as usize <= stolen, "{report:?}, {stolen} stolen");
        assert_eq!((report.matched(), report.failed()), (report.changed() + report.vanished(), 0));
        assert_eq!(report.changed() as usize + stolen, flows.len(), "{report:?}, {stolen} stolen");
        assert_eq!(client.dump().unwrap().count(), 0);
    }
}
