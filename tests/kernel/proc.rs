//! Tables read from `/proc`, compared with the same tables read through netlink.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ctnetlink::{Expectation, Flow, proc, request::DumpExpectations, sysctl};

use crate::{
    cases,
    lab::Lab,
    mixed_table::mixed_table,
    samples::{expectation, master, tcp_flow, udp_flow},
};

cases! {
    file_and_dump_contain_the_same_flows: "nft", "ip", ProcFile;
    use_counts_in_the_file_are_one_more_than_in_the_dump: ProcFile;
    opening_without_permission_names_the_remedy: ProcFile, OtherUser;
    file_and_dump_contain_the_same_expectations: ProcFile;
    statistics_contain_every_processor: ProcFile;
}

/// The tuples and the zone, which lines and messages both contain.
fn key(flow: &Flow) -> String {
    let zone = if flow.original.zone.or(flow.reply.zone).is_some() { None } else { Some(flow.zone.unwrap_or(0)) };
    format!("{:?} {:?} {zone:?}", flow.original, flow.reply)
}

fn read() -> Vec<Flow> {
    let reader = proc::open().unwrap_or_else(|error| panic!("{error}"));
    reader.map(|flow| flow.expect("a line of the kernel parses")).collect()
}

fn dumped(lab: &Lab) -> BTreeMap<String, Flow> {
    lab.flows().into_iter().map(|flow| (key(&flow), flow)).collect()
}

fn file_and_dump_contain_the_same_flows(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.track_loopback();
    let (_client, _server) = lab.tcp("127.0.0.1:4443");
    lab.udp("[::1]:5353");
    lab.ping("127.0.0.1".parse().unwrap());
    lab.ping("::1".parse().unwrap());
    mixed_table(&mut lab.client(), 1000);
    // A reader of the file misses flows if others end before its place meanwhile, in any namespace.
    let end = Instant::now() + Duration::from_secs(20);
    let (read, dumped, passed) = loop {
        let begun = Instant::now();
        let (read, dumped) = (read(), dumped(lab));
        if read.len() == dumped.len() || Instant::now() >= end {
            break (read, dumped, begun.elapsed().as_secs() as u32 + 1);
        }
    };
    assert_eq!(read.len(), dumped.len());
    for line in read {
        let flow = dumped.get(&key(&line)).unwrap_or_else(|| panic!("{line:?} is not in the dump"));
        assert_eq!(line.mark, flow.mark, "{flow}");
        assert_eq!(line.tcp_state(), flow.tcp_state(), "{flow}");
        assert_eq!(line.sctp_state(), flow.sctp_state(), "{flow}");
        assert_eq!(
            (line.counters_original, line.counters_reply),
            (flow.counters_original, flow.counters_reply),
            "{flow}"
        );
        assert_eq!((line.is_assured(), line.has_seen_reply()), (flow.is_assured(), flow.has_seen_reply()), "{flow}");
        let (there, here) = (line.timeout.unwrap(), flow.timeout.unwrap());
        assert!(there.abs_diff(here) <= passed, "{there} s in the file, {here} s in the dump: {flow}");
    }
}

fn use_counts_in_the_file_are_one_more_than_in_the_dump(lab: &Lab) {
    mixed_table(&mut lab.client(), 1000);
    // The kernel takes a reference to each flow before it compares the namespace (`ct_seq_show`), so a reader of the file in
    // any namespace raises the use count of one flow at a time. Each flow has to agree in one reading.
    let mut differing: BTreeSet<String> = dumped(lab).into_keys().collect();
    let end = Instant::now() + Duration::from_secs(20);
    while !differing.is_empty() && Instant::now() < end {
        let dumped = dumped(lab);
        for line in read() {
            let key = key(&line);
            if line.use_count == dumped.get(&key).and_then(|flow| flow.use_count).map(|count| count + 1) {
                differing.remove(&key);
            }
        }
    }
    assert!(differing.is_empty(), "{differing:?}");
}

fn opening_without_permission_names_the_remedy(lab: &Lab) {
    // Root may read its own files even without capabilities.
    lab.as_nobody(|| {
        let Err(error) = proc::open() else { panic!("every user may read it") };
        assert!(error.to_string().contains("root"), "{error}");
    });
}

fn file_and_dump_contain_the_same_expectations(lab: &Lab) {
    // Kernels before 7.0 list the expectations of all namespaces. Other tests use other ports.
    let master = master(tcp_flow(1).original);
    let wanted = expectation(master.original, 65_001);
    let mut client = lab.client();
    client.create(&master).unwrap();
    client.create_expectation(&wanted).unwrap();
    let dump = client.dump_expectations(&DumpExpectations::all()).unwrap();
    let dumped: Vec<Expectation> = dump.into_iter().map(Result::unwrap).collect();
    assert_eq!(dumped.iter().map(|expectation| expectation.tuple).collect::<Vec<_>>(), [wanted.tuple]);
    let mut lines = proc::open_expectations().unwrap();
    let mut read = Vec::new();
    while let Some(line) = lines.next_view().unwrap() {
        if line.tuple() == wanted.tuple {
            read.push((line.helper().map(str::to_owned), line.flags()));
        }
    }
    let [dumped] = dumped.try_into().unwrap();
    let helper = dumped.helper.map(String::from);
    assert!(helper.is_some());
    assert_eq!(read, [(helper, dumped.flags.unwrap())]);
}

fn statistics_contain_every_processor(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let statistics = proc::read_statistics().unwrap();
    assert_eq!(statistics.rows.len(), lab.client().cpu_statistics().unwrap().len());
}
