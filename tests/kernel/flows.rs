//! Get, create, update, delete.

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
    a_created_flow_has_what_it_was_given;
    a_flow_is_got_by_either_tuple;
    a_flow_in_a_zone_is_got_updated_and_deleted_there;
    a_flow_with_a_zone_of_one_direction_is_got_and_deleted;
    creating_twice_fails_unless_it_may_update;
    creating_with_nat_rewrites_the_reply;
    creating_with_a_range_of_ports_picks_from_it;
    creating_a_related_flow_names_its_master;
    creating_without_what_the_kernel_has_says_so;
    a_dumped_flow_is_given_back_to_update_and_delete: "nft", "ip";
    a_reused_tuple_is_not_the_victim;
    deleting_by_identifier_alone_does_not_exist;
    flushing_a_family_leaves_the_other;
    zeroing_counters_gives_them_once: "nft", "ip";
    a_flow_of_the_table_is_neither_dying_nor_unconfirmed;
    icmp_flows_are_created_and_deleted;
    every_request_without_permission_says_which_capability;
    any_request_lends_its_answer;
    a_batch_without_permission_fails_as_a_whole;
    a_flow_recreated_from_a_dump_is_the_same;
    flow_recreated_from_a_dump_keeps_its_translation;
    a_created_flow_carries_an_empty_synproxy;
    dying_flows_are_found_by_a_filter;
    a_value_out_of_range_is_refused_with_the_range;
    a_nat_range_without_a_free_port_is_told;
    a_nat_range_of_another_family_is_refused;
    a_full_table_is_told_and_names_its_setting: SmallTable;
    a_zeroing_dump_loses_what_it_had_no_room_for_and_zeroing_one_by_one_does_not: "nft", "ip";
}

fn a_created_flow_has_what_it_was_given(lab: &Lab) {
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

fn a_flow_is_got_by_either_tuple(lab: &Lab) {
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

fn a_flow_in_a_zone_is_got_updated_and_deleted_there(lab: &Lab) {
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

fn a_flow_with_a_zone_of_one_direction_is_got_and_deleted(lab: &Lab) {
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

fn creating_twice_fails_unless_it_may_update(lab: &Lab) {
    let mut client = lab.client();
    let mut new = udp_flow(1000);
    client.create(&new).unwrap();
    assert!(client.create(&new).unwrap_err().is_already_exists());
    new.or_update = true;
    new.mark = Some(4);
    client.create(&new).unwrap();
    assert_eq!(lab.flow(new.original).mark, Some(4));
}

fn creating_with_nat_rewrites_the_reply(lab: &Lab) {
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

fn creating_with_a_range_of_ports_picks_from_it(lab: &Lab) {
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

fn creating_a_related_flow_names_its_master(lab: &Lab) {
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
    // Given back as it is, EXPECTED and all.
    client.update(&flow, &FlowUpdate::new().add_status(Status::FIXED_TIMEOUT)).unwrap();
    assert!(lab.flow(related.original).status.unwrap().contains(Status::FIXED_TIMEOUT));
}

fn creating_without_what_the_kernel_has_says_so(lab: &Lab) {
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

fn a_dumped_flow_is_given_back_to_update_and_delete(lab: &Lab) {
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

fn a_reused_tuple_is_not_the_victim(lab: &Lab) {
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    let old = lab.flow(new.original);
    client.delete(&old).unwrap();
    // The identifier is made of the tuple and of the place in memory: where it is put into the same place again, it has
    // the same identifier, and another flow has to take the place.
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

/// To the kernel a delete of an identifier without a tuple is a flush of the table.
fn deleting_by_identifier_alone_does_not_exist(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1000)).unwrap();
    client.create(&udp_flow(1001)).unwrap();
    // The key is a tuple: there is no way to leave it out, and a wrong identifier deletes nothing.
    let key = FlowKey::original(udp_flow(1000).original).with_id(0);
    assert!(client.delete(key).unwrap_err().is_not_found());
    assert_eq!(lab.flows().len(), 2);
}

/// conntrack(8) flushes both families when asked for one.
fn flushing_a_family_leaves_the_other(lab: &Lab) {
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

fn zeroing_counters_gives_them_once(lab: &Lab) {
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
    let total = client.dump_with(&zeroing).unwrap().into_iter().map(|flow| packets(flow.unwrap())).sum::<u64>();
    assert_eq!(total, 2);
    assert_eq!(lab.flows().into_iter().map(packets).sum::<u64>(), 0);
}

fn a_flow_of_the_table_is_neither_dying_nor_unconfirmed(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1000)).unwrap();
    let mut count = |table| {
        let dump = client.dump_with(&DumpFlows::new().of_table(table)).unwrap();
        dump.into_iter().map(Result::unwrap).count()
    };
    assert_eq!((count(Table::Conntrack), count(Table::Dying), count(Table::Unconfirmed)), (1, 0, 0));
}

fn icmp_flows_are_created_and_deleted(lab: &Lab) {
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

/// Every request of a client, by what its error says was tried.
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
    ("delete flow", |client| Ok(client.delete_matching(&udp()).map(drop)?)),
    ("delete flows", |client| Ok(client.flush_matching(&udp()).map(drop)?)),
    ("update flow", |client| Ok(client.update_matching(&udp(), &FlowUpdate::new().mark(1)).map(drop)?)),
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

fn every_request_without_permission_says_which_capability(lab: &Lab) {
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

/// Without the capability the kernel answers a batch with one answer for all of it.
fn a_batch_without_permission_fails_as_a_whole(lab: &Lab) {
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

fn a_flow_recreated_from_a_dump_is_the_same(lab: &Lab) {
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

fn flow_recreated_from_a_dump_keeps_its_translation(lab: &Lab) {
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

/// Every flow that was created through netlink carries the SYN proxy's numbers, as zeros.
fn a_created_flow_carries_an_empty_synproxy(lab: &Lab) {
    let new = udp_flow(1000);
    lab.client().create(&new).unwrap();
    assert_eq!(lab.flow(new.original).synproxy, Some(Synproxy::default()));
}

/// A listener that cannot keep up, and wants every event, keeps flows that have ended on the dying list.
///
/// conntrack(8) finds nothing there by a prefix.
fn dying_flows_are_found_by_a_filter(lab: &Lab) {
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

/// Kernels of 2026 know the ranges; those before take any value, and keep one that they cannot name.
fn a_value_out_of_range_is_refused_with_the_range(lab: &Lab) {
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

fn a_nat_range_without_a_free_port_is_told(lab: &Lab) {
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

/// The maximum belongs to the initial namespace, but every namespace is held to it by its own count.
fn a_full_table_is_told_and_names_its_setting(lab: &Lab) {
    let maximum = sysctl::MAX.read().unwrap();
    let mut client = lab.client();
    let flow = |number: u32| {
        let [_, high, middle, low] = (number / 50_000).to_be_bytes();
        let source = std::net::Ipv4Addr::new(10, high + 2, middle, low);
        let port = u16::try_from(number % 50_000).unwrap() + 1;
        let original = Tuple::udp((source, port).into(), endpoint("10.1.0.2", 53));
        let mut new = NewFlow::untranslated(original, 600).unwrap();
        // An assured flow is not dropped in favour of a new one.
        new.status = Status::SEEN_REPLY | Status::ASSURED;
        new
    };
    create(&mut client, (0..maximum).map(flow));
    let error = client.create(&udp_flow(1)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOMEM));
    assert!(error.to_string().contains("net.netfilter.nf_conntrack_max"), "{error}");
    client.delete_all().unwrap();
}

/// The kernel sets the counters to zero before it finds that the entry does not fit the datagram, and writes it again
/// into the next one, with zeros.
fn a_zeroing_dump_loses_what_it_had_no_room_for_and_zeroing_one_by_one_does_not(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    // What stands behind the counters makes it likely that they are the last to fit.
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
    let given: Vec<_> = client.dump_with(&zeroing).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(total(&lab.flows()), 0);
    assert!(total(&given) < sent, "of {sent} packets {} were given: the kernel no longer loses any", total(&given));

    send_1000();
    let flows = lab.flows();
    let given: Vec<_> = flows.iter().map(|flow| client.get_and_zero_counters(flow).unwrap().unwrap()).collect();
    assert_eq!((total(&given), total(&lab.flows())), (total(&flows), 0));
}

/// The kernel passes over addresses of another family than the tuples', and translates to whatever port it likes.
fn a_nat_range_of_another_family_is_refused(lab: &Lab) {
    let mut new = tcp_flow(1000);
    new.snat = Some(NatRange::address("2001:db8::1".parse().unwrap()));
    let error = lab.client().create(&new).unwrap_err();
    assert!(error.encode_error().is_some(), "{error}");
    assert!(lab.flows().is_empty());
}

fn any_request_lends_its_answer(lab: &Lab) {
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
