//! Requests for single flows: get, create, update and delete.

use ctnetlink::{
    Client, Errno, Error, Expectation, Family, Filter, Flow, FlowKey, FlowRef, FlowUpdate, NatRange, NewFlow, Status,
    Synproxy, TcpFlags, TcpInfo, TcpState, Tuple,
    request::{DumpExpectations, DumpFlows, GetFlow, Table, UpdateFlow},
    sysctl,
};

use crate::{
    cases,
    lab::Lab,
    samples::{create, endpoint, expectation, tcp_flow, udp_flow, udp6_flow},
};

cases! {
    created_flow_has_the_requested_attributes;
    get_finds_a_flow_by_either_tuple;
    requests_reach_a_flow_in_its_zone_only;
    requests_reach_a_flow_with_a_zone_in_one_direction;
    creating_twice_fails_unless_updates_are_allowed;
    nat_of_a_created_flow_changes_its_reply_tuple;
    nat_picks_a_port_from_its_range;
    related_flow_names_its_master;
    unsupported_create_fails_with_the_reason;
    dumped_flows_can_be_updated_and_deleted: "nft", "ip";
    delete_spares_a_new_flow_with_the_same_tuple;
    delete_with_a_wrong_identifier_deletes_nothing;
    delete_family_spares_the_other_family;
    zeroed_counters_are_returned_once: "nft", "ip";
    confirmed_flow_is_only_in_the_main_table;
    flows_of_other_protocols_are_created_and_deleted;
    denied_requests_name_the_missing_capability;
    request_returns_every_reply;
    batch_without_permission_fails_as_a_whole;
    recreated_flow_equals_the_dumped_flow;
    recreated_flow_keeps_its_translation;
    created_flow_has_a_zero_synproxy;
    dying_flows_match_filters;
    out_of_range_state_is_refused_with_the_range;
    exhausted_nat_range_is_reported;
    nat_range_of_another_family_is_refused;
    full_table_error_names_its_setting: SmallTable;
    zeroing_dump_may_lose_counters_and_zeroing_gets_do_not: "nft", "ip";
}

fn created_flow_has_the_requested_attributes(lab: &Lab) {
    let mut new = tcp_flow(1000);
    new.mark = Some(7);
    new.status |= Status::FIXED_TIMEOUT;
    lab.client().create(&new).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!(flow.reply, new.reply);
    assert_eq!(flow.mark, Some(7));
    assert_eq!(flow.tcp_state(), Some(TcpState::ESTABLISHED));
    let expected = Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT | Status::CONFIRMED;
    assert_eq!(flow.status, Some(expected));
    assert!(matches!(flow.timeout, Some(300..=600)), "{:?}", flow.timeout);
    assert_eq!(
        flow.protocol_info.unwrap().tcp().unwrap().flags_original.unwrap().flags,
        TcpFlags::BE_LIBERAL | TcpFlags::SACK_PERM
    );
}

fn get_finds_a_flow_by_either_tuple(lab: &Lab) {
    let mut client = lab.client();
    let new = udp6_flow(1000);
    client.create(&new).unwrap();
    let by_original = client.get(FlowKey::original(new.original)).unwrap().unwrap();
    let by_reply = client.get(FlowKey::reply(new.reply)).unwrap().unwrap();
    assert_eq!(by_original.id, by_reply.id);
    assert_eq!(client.get(FlowKey::original(udp6_flow(1001).original)).unwrap(), None);
    let id = by_original.id.unwrap();
    assert!(client.get(FlowKey::original(new.original).with_id(id)).unwrap().is_some());
    assert_eq!(client.get(FlowKey::original(new.original).with_id(id ^ 1)).unwrap(), None);
}

fn requests_reach_a_flow_in_its_zone_only(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.zone = Some(7);
    client.create(&new).unwrap();
    let key = FlowKey::original(new.original);
    assert_eq!(client.get(key).unwrap(), None);
    assert!(client.delete(key).unwrap_err().is_not_found());
    let flow = client.get(key.in_zone(7)).unwrap().unwrap();
    assert_eq!(flow.zone, Some(7));
    client.update(&flow, &FlowUpdate::new().mark(9)).unwrap();
    assert_eq!(client.get(key.in_zone(7)).unwrap().unwrap().mark, Some(9));
    client.delete(&flow).unwrap();
    assert!(lab.flows().is_empty());
}

fn requests_reach_a_flow_with_a_zone_in_one_direction(lab: &Lab) {
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    new.original = new.original.in_zone(5);
    client.create(&new).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!((flow.zone, flow.original.zone, flow.reply.zone), (None, Some(5), None));
    client.update(&flow, &FlowUpdate::new().mark(3)).unwrap();
    assert_eq!(client.get(&flow).unwrap().unwrap().mark, Some(3));
    client.delete(&flow).unwrap();
    assert!(lab.flows().is_empty());
}

fn creating_twice_fails_unless_updates_are_allowed(lab: &Lab) {
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    client.create(&new).unwrap();
    assert!(client.create(&new).unwrap_err().is_already_exists());
    new.or_update = true;
    new.mark = Some(4);
    client.create(&new).unwrap();
    assert_eq!(lab.flow(new.original).mark, Some(4));
}

fn nat_of_a_created_flow_changes_its_reply_tuple(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.snat = Some(NatRange::address("192.0.2.9".parse().unwrap()).port(5555));
    new.dnat = Some(NatRange::address("192.0.2.8".parse().unwrap()).port(8443));
    client.create(&new).unwrap();
    let flow = lab.flow(new.original);
    assert_eq!(flow.snat().unwrap().to_string(), "192.0.2.9:5555");
    assert_eq!(flow.dnat().unwrap().to_string(), "192.0.2.8:8443");
    assert!(flow.status.unwrap().contains(Status::SRC_NAT | Status::DST_NAT));
    let mut new = udp6_flow(1000);
    new.snat = Some(NatRange::address("fd00::99".parse().unwrap()));
    client.create(&new).unwrap();
    assert_eq!(lab.flow(new.original).snat().unwrap().to_string(), "[fd00::99]:1000");
}

fn nat_picks_a_port_from_its_range(lab: &Lab) {
    let mut client = lab.client();
    let (first, last) = ("192.0.2.1".parse().unwrap(), "192.0.2.4".parse().unwrap());
    for number in 1000..1010 {
        let mut new = tcp_flow(number);
        new.snat = Some(NatRange::addresses(first, last).ports(2000, 2010));
        client.create(&new).unwrap();
        let seen = lab.flow(new.original).snat().unwrap();
        assert!((first..=last).contains(&seen.address), "{seen}");
        assert!((2000..=2010).contains(&seen.port.unwrap()), "{seen}");
    }
}

fn related_flow_names_its_master(lab: &Lab) {
    let mut client = lab.client();
    let master = tcp_flow(1000);
    let mut related = tcp_flow(1001);
    related.master = Some(master.original);
    assert!(client.create(&related).unwrap_err().is_not_found());
    client.create(&master).unwrap();
    client.create(&related).unwrap();
    let flow = lab.flow(related.original);
    assert_eq!(flow.master, Some(master.original));
    assert!(flow.status.unwrap().contains(Status::EXPECTED));
    // The flow keeps EXPECTED, and an update by it succeeds.
    client.update(&flow, &FlowUpdate::new().add_status(Status::FIXED_TIMEOUT)).unwrap();
    assert!(lab.flow(related.original).status.unwrap().contains(Status::FIXED_TIMEOUT));
}

fn unsupported_create_fails_with_the_reason(lab: &Lab) {
    let mut new = tcp_flow(1000);
    new.helper = Some(ctnetlink::Helper::new("nonesuch"));
    let error = lab.client().create(&new).unwrap_err();
    assert!(error.is_unsupported());
    assert!(error.to_string().contains("no helper of that name"), "{error}");
    let echo = Tuple::icmp("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), 3, 0, 1);
    let error = lab.client().create(&NewFlow::new(echo, echo, 60)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL));
    assert!(error.to_string().contains("ICMP type is not a query"), "{error}");
    let mixed = NewFlow::new(tcp_flow(1).original, udp_flow(1).reply, 60);
    assert!(lab.client().create(&mixed).unwrap_err().encode_error().is_some());
}

fn dumped_flows_can_be_updated_and_deleted(lab: &Lab) {
    lab.track_loopback();
    let (here, there) = lab.udp("127.0.0.1:5353");
    let _connection = lab.tcp("[::1]:4443");
    lab.ping("127.0.0.1".parse().unwrap());
    lab.ping("::1".parse().unwrap());
    let mut client = lab.client();
    let flows = lab.flows();
    assert_eq!(flows.len(), 4, "{flows:#?}");
    assert!(flows.iter().any(|flow| flow.original == Tuple::udp(here, there)));
    for flow in &flows {
        assert_eq!(flow.has_seen_reply(), Some(true));
        client.update(flow, &FlowUpdate::new().mark(11)).unwrap();
        assert_eq!(client.get(flow).unwrap().unwrap().mark, Some(11));
        client.delete(flow).unwrap();
    }
    assert!(lab.flows().is_empty());
}

fn delete_spares_a_new_flow_with_the_same_tuple(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    let old = lab.flow(new.original);
    client.delete(&old).unwrap();
    // The kernel computes the identifier from the tuple and the flow's memory address. A new flow at the same address
    // has the same identifier, so other flows occupy addresses until it differs.
    for number in 2000.. {
        client.create(&udp_flow(number)).unwrap();
        client.create(&new).unwrap();
        if lab.flow(new.original).id != old.id {
            break;
        }
        client.delete(FlowKey::original(new.original)).unwrap();
    }
    let count = lab.flows().len();
    assert!(client.delete(&old).unwrap_err().is_not_found());
    assert_eq!(lab.flows().len(), count);
}

/// The kernel treats a delete by an identifier without a tuple as a flush of the table.
fn delete_with_a_wrong_identifier_deletes_nothing(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1000)).unwrap();
    client.create(&udp_flow(1001)).unwrap();
    // A key always has a tuple, so that mistake cannot be expressed.
    let key = FlowKey::original(udp_flow(1000).original).with_id(0);
    assert!(client.delete(key).unwrap_err().is_not_found());
    assert_eq!(lab.flows().len(), 2);
}

/// conntrack(8) flushes both families when asked for one.
fn delete_family_spares_the_other_family(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1000)).unwrap();
    client.create(&udp6_flow(1000)).unwrap();
    client.delete_family(Family::IPV6).unwrap();
    assert_eq!(lab.flows().iter().map(|flow| flow.family()).collect::<Vec<_>>(), [Family::IPV4]);
    let dump = client.dump_with(&DumpFlows::new().of_family(Family::IPV6)).unwrap();
    assert_eq!(dump.into_iter().count(), 0);
    client.delete_all().unwrap();
    assert!(lab.flows().is_empty());
    client.delete_all().unwrap();
}

fn zeroed_counters_are_returned_once(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.track_loopback();
    let (here, there) = lab.udp("127.0.0.1:5353");
    let mut client = lab.client();
    let key = FlowKey::original(Tuple::udp(here, there));
    let packets = |flow: ctnetlink::Flow| flow.total_counters().unwrap().packets;
    assert_eq!(packets(client.get(key).unwrap().unwrap()), 2);
    assert_eq!(packets(client.get_and_zero_counters(key).unwrap().unwrap()), 2);
    assert_eq!(packets(client.get(key).unwrap().unwrap()), 0);
    lab.udp("127.0.0.1:5354");
    let zeroing = DumpFlows::new().and_zero_counters();
    let total = client.dump_with(&zeroing).unwrap().map(|flow| packets(flow.unwrap())).sum::<u64>();
    assert_eq!(total, 2);
    assert_eq!(lab.flows().into_iter().map(packets).sum::<u64>(), 0);
}

fn confirmed_flow_is_only_in_the_main_table(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1000)).unwrap();
    let mut count = |table| {
        let dump = client.dump_with(&DumpFlows::new().of_table(table)).unwrap();
        dump.into_iter().map(Result::unwrap).count()
    };
    assert_eq!((count(Table::Conntrack), count(Table::Dying), count(Table::Unconfirmed)), (1, 0, 0));
}

fn flows_of_other_protocols_are_created_and_deleted(lab: &Lab) {
    let mut client = lab.client();
    let echo = Tuple::icmp("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), 8, 0, 77);
    let echo6 = Tuple::icmp("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), 128, 0, 78);
    let gre = Tuple::gre("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), 17, 34);
    let sctp = Tuple::sctp(endpoint("10.1.0.1", 9), endpoint("10.1.0.2", 10));
    let esp = Tuple::new(ctnetlink::Protocol(50), "10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap());
    for original in [echo, echo6, gre, sctp, esp] {
        client.create(&NewFlow::untranslated(original, 60).unwrap()).unwrap();
        let flow = lab.flow(original);
        assert!(!flow.is_snat() && !flow.is_dnat());
        client.delete(&flow).unwrap();
    }
    assert!(lab.flows().is_empty());
}

fn key() -> FlowKey {
    FlowKey::original(udp_flow(1).original)
}

fn expected() -> Expectation {
    expectation(udp_flow(1).original, 5001)
}

type Request = fn(&mut Client) -> Result<(), Error>;

/// Every request of a client, with the operation that its error names.
const REQUESTS: &[(&str, Request)] = &[
    ("dump flows", |client| client.dump()?.into_iter().try_for_each(|flow| flow.map(drop))),
    ("get flow", |client| client.get(key()).map(drop)),
    ("get flow", |client| client.get_and_zero_counters(key()).map(drop)),
    ("create flow", |client| client.create(&udp_flow(2))),
    ("update flow", |client| client.update(key(), &FlowUpdate::new().mark(1))),
    ("delete flow", |client| client.delete(key())),
    ("delete flows", Client::delete_all),
    ("delete flows", |client| client.delete_family(Family::IPV4)),
    ("dump flows", |client| client.dump_matching(&udp()).map(drop)),
    ("delete flow", |client| client.delete_matching(&udp()).map(drop)),
    ("delete flows", |client| client.delete_matching_uncounted(&udp()).map(drop)),
    ("update flow", |client| client.update_matching(&udp(), &FlowUpdate::new().mark(1)).map(drop)),
    ("get statistics", |client| client.statistics().map(drop)),
    ("get statistics", |client| client.cpu_statistics().map(drop)),
    ("get expectation", |client| client.get_expectation(&expected()).map(drop)),
    ("dump expectations", |client| {
        client
            .dump_expectations(&DumpExpectations::all())?
            .into_iter()
            .try_for_each(|expectation| expectation.map(drop))
    }),
    ("create expectation", |client| client.create_expectation(&expected())),
    ("delete expectation", |client| client.delete_expectation(&expected())),
    ("delete expectation", |client| client.delete_expectations_of("ftp")),
    ("delete expectations", Client::delete_all_expectations),
    ("get statistics", |client| client.expectation_statistics().map(drop)),
];

fn udp() -> Filter {
    "proto udp".parse().unwrap()
}

fn denied_requests_name_the_missing_capability(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    lab.without_capabilities(|| {
        for (tried, request) in REQUESTS {
            let error = request(&mut Client::open().unwrap()).unwrap_err();
            assert!(error.is_permission_denied(), "{error}");
            assert_eq!(error.errno(), Some(Errno::EPERM), "{error}");
            assert!(
                error.to_string().starts_with(&format!("cannot {tried}: EPERM: needs CAP_NET_ADMIN ")),
                "{tried}: {error}"
            );
        }
    });
    assert_eq!(lab.flows().len(), 1);
}

/// Without the capability the kernel sends a single reply to the whole batch.
fn batch_without_permission_fails_as_a_whole(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    lab.without_capabilities(|| {
        let mut client = Client::open().unwrap();
        let update = FlowUpdate::new().mark(1);
        let mut batch = client.batch();
        for number in 1..=10 {
            batch.push(&UpdateFlow::new(FlowKey::original(udp_flow(number).original), &update)).unwrap();
        }
        let report = batch.finish().unwrap();
        assert_eq!((report.succeeded(), report.failures().len()), (0, 10));
        assert!(report.failures().iter().all(|(_, error)| error.errno() == Errno::EPERM));
    });
    assert_eq!(lab.flow(udp_flow(1).original).mark, Some(0));
}

fn recreated_flow_equals_the_dumped_flow(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.zone = Some(3);
    new.mark = Some(7);
    new.status |= Status::FIXED_TIMEOUT;
    client.create(&new).unwrap();
    let before = lab.flow(new.original);
    client.delete_all().unwrap();
    client.create(&NewFlow::from(&before)).unwrap();
    let after = lab.flow(new.original);
    assert_eq!(after.protocol_info, before.protocol_info);
    assert_eq!((after.status, after.mark, after.zone), (before.status, before.mark, before.zone));
}

fn recreated_flow_keeps_its_translation(lab: &Lab) {
    let mut client = lab.client();
    let v4 = |number| [endpoint("10.1.0.1", number), endpoint("10.1.0.2", 443)];
    let v6 = |number| [endpoint("fd00::1", number), endpoint("fd00::2", 53)];
    let [snat, dnat, snat6] = [endpoint("192.0.2.9", 5555), endpoint("192.0.2.8", 8443), endpoint("fd00::99", 77)];
    let tcp =
        |[source, destination]: [std::net::SocketAddr; 2]| NewFlow::tcp(source, destination, TcpState::ESTABLISHED);
    let udp = |[source, destination]: [std::net::SocketAddr; 2]| NewFlow::udp(source, destination);
    let mut zoned = udp(v4(5)).snat(snat);
    zoned.original = zoned.original.in_zone(5);
    let echo = Tuple::icmp("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), 8, 0, 77);
    let echo = NewFlow::untranslated(echo, 60).unwrap().snat(snat.ip());
    let new = [
        tcp(v4(1)).snat(snat.ip()),
        tcp(v4(2)).snat(snat).dnat(dnat),
        udp(v4(3)).dnat(dnat).zone(7).mark(3),
        udp(v6(4)).snat(snat6).timeout(60),
        zoned,
        echo,
        udp(v4(6)),
    ];
    create(&mut client, new);
    let key = |flow: &Flow| flow.original;
    let mut before = lab.flows();
    before.sort_by_key(key);
    assert_eq!(before.iter().filter(|flow| flow.is_snat() || flow.is_dnat()).count(), 6);
    client.delete_all().unwrap();
    create(&mut client, before.iter().map(NewFlow::from));
    let mut after = lab.flows();
    after.sort_by_key(key);
    assert_eq!(after.len(), before.len());
    for (after, before) in after.iter().zip(&before) {
        assert_eq!((after.original, after.reply, after.zone), (before.original, before.reply, before.zone));
        assert_eq!((after.status, after.mark), (before.status, before.mark), "{after}");
    }
}

/// The kernel adds the SYN proxy's numbers, all zero, to each flow created through netlink.
fn created_flow_has_a_zero_synproxy(lab: &Lab) {
    let new = udp_flow(1000);
    lab.client().create(&new).unwrap();
    assert_eq!(lab.flow(new.original).synproxy, Some(Synproxy::default()));
}

/// While a reliable listener cannot keep up, flows that have ended stay on the dying list.
///
/// conntrack(8) finds no flow there if it is given a prefix.
fn dying_flows_match_filters(lab: &Lab) {
    use ctnetlink::{EventGroups, EventSocket};
    let listener = EventSocket::builder(EventGroups::DESTROY).reliable(true).receive_buffer(2048).open().unwrap();
    let mut client = lab.client();
    create(&mut client, (1..=100).map(udp_flow));
    client.delete_all().unwrap();
    assert!(lab.flows().is_empty());
    let filter: Filter = "src 10.1.0.0/16 and sport 1-1000".parse().unwrap();
    let dump = client.dump_with(&DumpFlows::new().of_table(Table::Dying)).unwrap();
    let dying: Vec<ctnetlink::Flow> = dump.into_iter().map(Result::unwrap).collect();
    assert!(dying.len() > 50, "{}", dying.len());
    assert!(dying.iter().all(|flow| filter.matches(flow)));
    assert!(dying.iter().all(|flow| flow.status.unwrap().contains(Status::DYING)));
    drop(listener);
}

/// Kernels since 2026 check the range. Older kernels accept and keep any value.
fn out_of_range_state_is_refused_with_the_range(lab: &Lab) {
    let mut client = lab.client();
    let mut new = tcp_flow(1000);
    new.protocol_info = Some(TcpInfo::new(TcpState(10)).into());
    match client.create(&new) {
        Err(error) => {
            assert_eq!(error.errno(), Some(Errno::ERANGE));
            assert!(error.to_string().contains("a TCP state above 9"), "{error}");
        }
        Ok(()) => assert_eq!(lab.flow(new.original).tcp_state(), Some(TcpState(10))),
    }
}

fn exhausted_nat_range_is_reported(lab: &Lab) {
    let mut client = lab.client();
    let only = NatRange::address("192.0.2.9".parse().unwrap()).port(5555);
    let mut first = tcp_flow(1000);
    first.snat = Some(only);
    client.create(&first).unwrap();
    let mut second = tcp_flow(1001);
    second.snat = Some(only);
    let error = client.create(&second).unwrap_err();
    assert!(error.to_string().contains("no address or port of the NAT range is free"), "{error}");
}

/// The limit is set in the initial namespace, but each namespace counts its own flows against it.
fn full_table_error_names_its_setting(lab: &Lab) {
    let maximum = sysctl::MAX.read().unwrap();
    let mut client = lab.client();
    let flow = |number: u32| {
        let [_, high, middle, low] = (number / 50_000).to_be_bytes();
        let source = std::net::Ipv4Addr::new(10, high + 2, middle, low);
        let port = u16::try_from(number % 50_000).unwrap() + 1;
        let original = Tuple::udp((source, port).into(), endpoint("10.1.0.2", 53));
        let mut new = NewFlow::untranslated(original, 600).unwrap();
        // The kernel drops no assured flow in favor of a new one.
        new.status = Status::SEEN_REPLY | Status::ASSURED;
        new
    };
    create(&mut client, (0..maximum).map(flow));
    let error = client.create(&udp_flow(1)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOMEM));
    assert!(error.to_string().contains("net.netfilter.nf_conntrack_max"), "{error}");
    client.delete_all().unwrap();
}

/// The kernel zeroes the counters before it notices that an entry does not fit the datagram. It then writes the entry
/// into the next datagram with zeros. Whether one ends there depends on the machine: on s390x none did.
fn zeroing_dump_may_lose_counters_and_zeroing_gets_do_not(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    // Attributes after the counters make it likely that only they do not fit.
    lab.sysctl(sysctl::TIMESTAMP, 1);
    lab.run("ip", &["link", "set", "lo", "up"]);
    lab.nft("table inet lab { chain output { type filter hook output priority 0; ct label set 1; }; }");
    let packets = |flow: &ctnetlink::Flow| flow.total_counters().unwrap().packets;
    let total = |flows: &[ctnetlink::Flow]| flows.iter().map(packets).sum::<u64>();
    let server = std::net::UdpSocket::bind("127.0.0.1:5353").unwrap();
    let send_1000 = || {
        for _ in 0..1000 {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"?", server.local_addr().unwrap()).unwrap();
        }
    };
    let mut client = lab.client();
    send_1000();
    let sent = total(&lab.flows());
    let zeroing = DumpFlows::new().and_zero_counters();
    let given: Vec<_> = client.dump_with(&zeroing).unwrap().map(Result::unwrap).collect();
    assert_eq!(total(&lab.flows()), 0);
    assert!(total(&given) <= sent, "{} of {sent} packets", total(&given));
    if cfg!(target_arch = "x86_64") {
        assert!(total(&given) < sent, "the kernel no longer loses any: say so in KERNEL.md");
    }

    send_1000();
    let flows = lab.flows();
    let given: Vec<_> = flows.iter().map(|flow| client.get_and_zero_counters(flow).unwrap().unwrap()).collect();
    assert_eq!((total(&given), total(&lab.flows())), (total(&flows), 0));
}

/// The kernel ignores addresses of another family than the tuple's and picks any port.
fn nat_range_of_another_family_is_refused(lab: &Lab) {
    let mut new = tcp_flow(1000);
    new.snat = Some(NatRange::address("2001:db8::1".parse().unwrap()));
    let error = lab.client().create(&new).unwrap_err();
    assert!(error.encode_error().is_some(), "{error}");
    assert!(lab.flows().is_empty());
}

fn request_returns_every_reply(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=100).map(udp_flow));
    let mut answer = client.request(&DumpFlows::new()).unwrap();
    let mut flows = 0;
    while let Some(message) = answer.next_view().unwrap() {
        flows += usize::from(FlowRef::parse(&message).is_ok());
    }
    assert_eq!(flows, 100);
    assert!(answer.next_view().unwrap().is_none());
    let mut abandoned = client.request(&DumpFlows::new()).unwrap();
    assert!(abandoned.next_view().unwrap().is_some());
    let key = FlowKey::original(udp_flow(1).original);
    let mut answer = client.request(&GetFlow::new(key)).unwrap();
    assert_eq!(Flow::decode(&answer.next_view().unwrap().unwrap()).unwrap().original, udp_flow(1).original);
    assert!(answer.next_view().unwrap().is_none());
    let mut refused = client.request(&GetFlow::new(FlowKey::original(udp_flow(101).original))).unwrap();
    assert!(refused.next_view().unwrap_err().is_not_found());
    assert!(refused.next_view().unwrap().is_none());
}
