//! Bulk operations on random tables, against the fake kernel in many versions.

use ctnetlink::{
    Client, ErrorKind, Filter, Flow, FlowUpdate, Helper, Labels, NatRange, NewFlow, ProtocolInfo, Status, TcpInfo,
    TcpState, Tuple,
    fake::FakeKernel,
    filter::{Capabilities, Plan},
    request::DumpFlows,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};

use crate::{
    flows::{addresses4, bits, pairs, tuples},
    kernel::Request,
    spec::Spec,
    specs::specs,
};

/// Versions of Linux. Each of the features that filters use came with one of them or shortly before.
const RELEASES: [(u32, u32); 8] = [(4, 19), (5, 4), (5, 10), (5, 15), (6, 1), (6, 6), (6, 12), (6, 18)];

/// A flow in some zone, which applies to both directions or to one.
fn new_flows() -> impl Strategy<Value = NewFlow> {
    let zone = (0_u16..3, select(vec![(true, true), (true, false), (false, true)]));
    let status = vec![Status::SEEN_REPLY, Status::ASSURED, Status::FIXED_TIMEOUT];
    let status = subsequence(status, 0..=3).prop_map(|bits| bits.into_iter().collect::<Status>());
    let translations = (option::weighted(0.2, addresses4()), option::weighted(0.2, addresses4()));
    let rest = (
        option::weighted(0.3, 0_u8..10),
        option::weighted(0.2, select(vec!["ftp", "sip"])),
        option::weighted(0.3, any::<u8>()),
    );
    (pairs(), zone, 1_u32..6, (status, bits()), translations, rest).prop_map(
        |((original, reply), (zone, (is_original, is_reply)), timeout, (status, mark), (snat, dnat), rest)| {
            let named = |is_named: bool| (is_named && zone != 0).then_some(zone);
            let mut flow = NewFlow::new(original, reply, timeout);
            flow.zone = named(is_original && is_reply);
            flow.original.zone = named(is_original && !is_reply);
            flow.reply.zone = named(is_reply && !is_original);
            (flow.status, flow.mark) = (status, Some(mark));
            if original.source.is_ipv4() {
                (flow.snat, flow.dnat) = (snat.map(NatRange::address), dnat.map(NatRange::address));
            }
            flow.protocol_info = rest.0.map(|state| ProtocolInfo::from(TcpInfo::new(TcpState(state))));
            flow.helper = rest.1.map(Helper::new);
            flow.labels = rest.2.map(|bits| Labels(bits.into()));
            flow
        },
    )
}

/// Creates the flows that the kernel accepts: others clash, or lack what their protocol needs.
fn fill(kernel: &FakeKernel, flows: &[NewFlow], packets: &[(Tuple, u8)]) {
    for flow in flows {
        let _ = kernel.insert(flow);
    }
    for (tuple, bytes) in packets {
        let _ = kernel.packet(tuple, u64::from(*bytes));
    }
}

fn of_release((major, minor): (u32, u32)) -> FakeKernel {
    FakeKernel::builder().linux(major, minor).accounting(true).labels(true).entries_per_datagram(3).build()
}

fn sorted(mut flows: Vec<Flow>) -> Vec<Flow> {
    flows.sort_by_key(|flow| (flow.id, flow.original));
    flows
}

/// Splits the table into the flows that the naive evaluation selects, and the others.
fn split(kernel: &FakeKernel, spec: &Spec) -> (Vec<Flow>, Vec<Flow>) {
    sorted(kernel.flows()).into_iter().partition(|flow| spec.holds(flow))
}

#[derive(Clone, Debug)]
enum Action {
    Dump,
    Update { mark: u32, mask: u32, status: Status },
    Delete,
    Flush,
}

fn actions() -> impl Strategy<Value = Action> {
    let statuses = select(vec![Status::empty(), Status::SEEN_REPLY, Status::ASSURED]);
    let update =
        (bits(), bits(), statuses).prop_map(|(mark, mask, status)| Action::Update { mark: mark & mask, mask, status });
    prop_oneof![4 => Just(Action::Dump), 2 => update, 1 => Just(Action::Delete), 2 => Just(Action::Flush)]
}

fn take(kernel: &FakeKernel, client: &mut Client, action: &Action, spec: &Spec) {
    let filter = spec.build();
    let (selected, others) = split(kernel, spec);
    let is_refused = |error: ctnetlink::Error| {
        assert!(filter.is_everything() && error.kind() == ErrorKind::MatchesEverything, "{filter}: {error}");
        assert_eq!(split(kernel, spec), (selected.clone(), others.clone()), "a refused filter changes nothing");
    };
    let count = selected.len() as u64;
    match action {
        Action::Dump => {
            let dumped = client.dump_matching(&filter).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
            assert_eq!(sorted(dumped), selected, "{filter}");
        }
        Action::Update { mark, mask, status } => {
            let update = FlowUpdate::new().mark_bits(*mark, *mask).add_status(*status);
            let report = client.update_matching(&filter, &update).unwrap();
            assert_eq!((report.matched(), report.changed()), (count, count), "{filter}: {report:?}");
            let mut expected = selected;
            for flow in &mut expected {
                flow.mark = flow.mark.map(|old| old & !mask | mark);
                flow.status = flow.status.map(|old| old | *status);
            }
            expected.extend(others);
            assert_eq!(sorted(kernel.flows()), sorted(expected), "{filter}");
        }
        Action::Delete => match client.delete_matching(&filter) {
            Ok(report) => {
                assert!(!filter.is_everything(), "{filter}");
                assert_eq!((report.matched(), report.changed()), (count, count), "{filter}: {report:?}");
                assert_eq!(sorted(kernel.flows()), others, "{filter}");
            }
            Err(error) => is_refused(error),
        },
        Action::Flush => match client.delete_matching_uncounted(&filter) {
            Ok(report) => {
                assert!(!filter.is_everything(), "{filter}");
                assert!(report.is_none_or(|report| report.changed() == count), "{filter}");
                assert_eq!(sorted(kernel.flows()), others, "{filter}");
            }
            Err(error) => is_refused(error),
        },
    }
}

/// Capabilities of this release, without some of them: the client may know less than the kernel.
fn known((major, minor): (u32, u32), missing: [bool; 6]) -> Capabilities {
    let mut known = Capabilities::linux(major, minor);
    known.mark_filter &= !missing[0];
    known.flush_family &= !missing[1];
    known.dump_tuple_filter &= !missing[2];
    known.status_filter &= !missing[3];
    known.zone_filter &= !missing[4];
    known.flush_tuple_filter &= !missing[5];
    known
}

/// The number of the flow's zone, whichever directions it applies to.
fn zone(flow: &Flow) -> u16 {
    flow.zone.or(flow.original.zone).or(flow.reply.zone).unwrap_or(0)
}

/// Dumps as planned, and compares each dump with the model that all other tests of filters use.
fn dump_as_planned(kernel: &FakeKernel, client: &mut Client, plan: &Plan<'_>, known: &Capabilities) -> Vec<Flow> {
    let mut all = Vec::new();
    for dump in plan.dumps() {
        let flows = client.dump_with(&DumpFlows::new().matching(*dump)).unwrap();
        let dumped = sorted(flows.map(|flow| flow.unwrap()).collect());
        let request = Request::receive(dump, known, known.dump_tuple_filter);
        let mut selected = sorted(kernel.flows());
        selected.retain(|flow| request.selects(flow, zone(flow)));
        assert_eq!(dumped, selected, "{plan}");
        all.extend(dumped);
    }
    sorted(all)
}

/// The planned dumps contain each matching flow once, and other flows only if the plan is not exact.
fn check_plan(kernel: &FakeKernel, client: &mut Client, known: &Capabilities, spec: &Spec) {
    let filter: Filter = spec.build();
    let plan = filter.plan(known);
    let (selected, _) = split(kernel, spec);
    let mut dumped = dump_as_planned(kernel, client, &plan, known);
    if !plan.is_exact() {
        dumped.retain(|flow| spec.holds(flow));
    }
    assert_eq!(dumped, selected, "{plan}");
}

fn packets() -> impl Strategy<Value = Vec<(Tuple, u8)>> {
    vec((tuples(), 0_u8..3), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bulk_operations_reach_exactly_the_matching_flows(
        release in select(RELEASES.to_vec()),
        flows in vec(new_flows(), 0..16),
        packets in packets(),
        actions in vec((actions(), specs()), 8),
    ) {
        let kernel = of_release(release);
        fill(&kernel, &flows, &packets);
        let mut client = kernel.client();
        for (action, spec) in &actions {
            take(&kernel, &mut client, action, spec);
            fill(&kernel, &flows, &[]);
        }
    }

    #[test]
    fn planned_dumps_on_every_kernel_select_the_matching_flows(
        release in select(RELEASES.to_vec()),
        missing in prop_oneof![Just([false; 6]), any::<[bool; 6]>()],
        flows in vec(new_flows(), 0..16),
        specs in vec(specs(), 8),
    ) {
        let kernel = of_release(release);
        let mut client = kernel.client();
        let known = known(release, missing);
        fill(&kernel, &flows, &[]);
        for spec in &specs {
            check_plan(&kernel, &mut client, &known, spec);
        }
    }
}
