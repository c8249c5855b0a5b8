//! Requests for expectations.

use ctnetlink::{
    Errno, ExpectationFlags, Tuple,
    request::{DumpExpectations, ExpectationKey},
};

use crate::{
    cases,
    lab::Lab,
    samples::{endpoint, expectation, master, tcp_flow},
};

cases! {
    expectation_is_created_found_listed_and_deleted;
    dump_of_a_master_ends_even_without_a_helper;
    expectations_of_both_families_are_dumped;
    deleting_expectations_of_a_helper_leaves_the_flows;
    expectation_without_a_master_fails_with_the_reason;
    expectation_statistics_are_counted;
    expectations_of_a_master_in_a_zone_are_dumped;
    overlapping_expectation_is_refused;
    expectation_limit_error_names_its_setting;
}

/// Creates a master and returns its original tuple.
fn watched(lab: &Lab, number: u16) -> Tuple {
    let master = master(tcp_flow(number).original);
    lab.client().create(&master).unwrap();
    master.original
}

fn expectation_is_created_found_listed_and_deleted(lab: &Lab) {
    let mut client = lab.client();
    let master = watched(lab, 1000);
    let new = expectation(master, 5001);
    client.create_expectation(&new).unwrap();
    assert!(client.create_expectation(&new).unwrap_err().is_already_exists());
    let got = client.get_expectation(&new).unwrap().unwrap();
    assert_eq!((got.tuple, got.master, got.mask), (new.tuple, new.master, new.mask));
    assert_eq!(got.flags, Some(ExpectationFlags::PERMANENT));
    assert_eq!(got.helper.as_deref(), Some("ftp"));
    let listed = client.dump_expectations(&DumpExpectations::all()).unwrap().next().unwrap().unwrap();
    assert_eq!(listed.id, got.id);
    let wrong = ExpectationKey::new(new.tuple).with_id(got.id.unwrap() ^ 1);
    assert!(client.delete_expectation(wrong).unwrap_err().is_not_found());
    client.delete_expectation(&got).unwrap();
    assert_eq!(client.get_expectation(&new).unwrap(), None);
}

/// For a master without a helper the kernel sends no reply at all unless the dump asks for an acknowledgement.
fn dump_of_a_master_ends_even_without_a_helper(lab: &Lab) {
    let mut client = lab.client();
    let (one, other) = (watched(lab, 1000), watched(lab, 1001));
    client.create_expectation(&expectation(one, 5001)).unwrap();
    client.create_expectation(&expectation(other, 5002)).unwrap();
    let of = |client: &mut ctnetlink::Client, master| {
        let dump = client.dump_expectations(&DumpExpectations::of_master(master)).unwrap();
        dump.into_iter().collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(
        of(&mut client, one).unwrap().iter().map(|e| e.tuple.destination_port()).collect::<Vec<_>>(),
        [Some(5001)]
    );
    let plain = tcp_flow(1002);
    client.create(&plain).unwrap();
    assert_eq!(of(&mut client, plain.original).unwrap(), []);
    assert!(of(&mut client, tcp_flow(9).original).unwrap_err().is_not_found());
}

/// By default conntrack(8) lists only the expectations of IPv4.
fn expectations_of_both_families_are_dumped(lab: &Lab) {
    let mut client = lab.client();
    let original = Tuple::tcp(endpoint("fd00::1", 1000), endpoint("fd00::2", 21));
    client.create(&master(original)).unwrap();
    client.create_expectation(&expectation(original, 5003)).unwrap();
    client.create_expectation(&expectation(watched(lab, 1000), 5001)).unwrap();
    assert_eq!(client.dump_expectations(&DumpExpectations::all()).unwrap().count(), 2);
    let of_ipv6 = DumpExpectations::of_family(ctnetlink::Family::IPV6);
    assert_eq!(client.dump_expectations(&of_ipv6).unwrap().count(), 1);
}

fn deleting_expectations_of_a_helper_leaves_the_flows(lab: &Lab) {
    let mut client = lab.client();
    client.create_expectation(&expectation(watched(lab, 1000), 5001)).unwrap();
    let count = |client: &mut ctnetlink::Client| client.dump_expectations(&DumpExpectations::all()).unwrap().count();
    client.delete_expectations_of("sip").unwrap();
    assert_eq!(count(&mut client), 1);
    client.delete_expectations_of("ftp").unwrap();
    assert_eq!(count(&mut client), 0);
    client.create_expectation(&expectation(watched(lab, 1001), 5001)).unwrap();
    client.delete_all_expectations().unwrap();
    assert_eq!(count(&mut client), 0);
    assert_eq!(lab.flows().len(), 2);
}

fn expectation_without_a_master_fails_with_the_reason(lab: &Lab) {
    let mut client = lab.client();
    let error = client.create_expectation(&expectation(tcp_flow(1).original, 5001)).unwrap_err();
    assert!(error.is_not_found());
    assert!(error.to_string().contains("the master is not in the table"), "{error}");
    client.create(&tcp_flow(2)).unwrap();
    let error = client.create_expectation(&expectation(tcp_flow(2).original, 5001)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EOPNOTSUPP));
    assert!(error.to_string().contains("has no helper"), "{error}");
}

/// The kernel's replies have the message type of another subsystem.
fn expectation_statistics_are_counted(lab: &Lab) {
    let mut client = lab.client();
    client.create_expectation(&expectation(watched(lab, 1000), 5001)).unwrap();
    let statistics = client.expectation_statistics().unwrap();
    assert_eq!(statistics.iter().map(|cpu| cpu.create.unwrap()).sum::<u32>(), 1);
}

fn expectations_of_a_master_in_a_zone_are_dumped(lab: &Lab) {
    let mut client = lab.client();
    let mut new = master(tcp_flow(1000).original);
    new.zone = Some(6);
    client.create(&new).unwrap();
    let mut wanted = expectation(new.original, 5001);
    wanted.zone = Some(6);
    client.create_expectation(&wanted).unwrap();
    let of_master = DumpExpectations::of_master(new.original);
    let listed = client.dump_expectations(&of_master.in_zone(6)).unwrap().count();
    assert_eq!(listed, 1);
    assert!(client.dump_expectations(&of_master).unwrap().next().unwrap().unwrap_err().is_not_found());
    assert!(client.get_expectation(&wanted).unwrap().is_some());
}

fn overlapping_expectation_is_refused(lab: &Lab) {
    let mut client = lab.client();
    let (one, other) = (watched(lab, 1000), watched(lab, 1001));
    let mut narrow = expectation(one, 5001);
    narrow.tuple = Tuple::tcp((one.source, 7).into(), (one.destination, 5001).into());
    narrow.mask = Tuple::tcp(endpoint("255.255.255.255", 0xffff), endpoint("255.255.255.255", 0xffff));
    client.create_expectation(&narrow).unwrap();
    let error = client.create_expectation(&expectation(other, 5001)).unwrap_err();
    assert!(error.is_busy());
    assert!(error.to_string().contains("covers some of the same flows"), "{error}");
}

/// FTP allows one expectation for each flow and drops the previous one, so each expectation needs its own master.
fn expectation_limit_error_names_its_setting(lab: &Lab) {
    let maximum = ctnetlink::sysctl::EXPECT_MAX.read().unwrap();
    let mut client = lab.client();
    let masters: Vec<Tuple> = (0..=maximum.min(60_000))
        .map(|number| {
            let new = master(tcp_flow(u16::try_from(number).unwrap() + 1).original);
            client.create(&new).unwrap();
            new.original
        })
        .collect();
    let mut batch = client.batch();
    for (number, master) in masters.iter().enumerate() {
        batch.push(&ctnetlink::request::CreateExpectation::new(&expectation(*master, number as u16))).unwrap();
    }
    let report = batch.finish().unwrap();
    assert_eq!(report.succeeded(), maximum as usize);
    let (place, error) = &report.failures()[0];
    assert_eq!((*place, error.errno()), (maximum as usize, Errno::EMFILE));
    assert!(error.to_string().contains("net.netfilter.nf_conntrack_expect_max"), "{error}");
}
