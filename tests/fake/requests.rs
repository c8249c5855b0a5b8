//! Requests and their answers.

use std::collections::BTreeSet;

use ctnetlink::{
    Client, Errno, ErrorKind, Flow, FlowKey, FlowUpdate, Helper, Labels, MaskedLabels, NewFlow, Tuple,
    fake::FakeKernel,
    request::{DumpFlows, Table},
};

use super::{address, filled, ports, tuple, udp};

fn dump(client: &mut Client) -> Vec<Flow> {
    client.dump().unwrap().map(Result::unwrap).collect()
}

#[test]
fn handles_and_clients_may_cross_threads() {
    const fn check<T: Send + Sync>() {}
    check::<FakeKernel>();
    check::<Client>();
    let kernel = FakeKernel::new();
    let mut client = kernel.client();
    std::thread::spawn(move || client.create(&udp(1)).unwrap()).join().unwrap();
    assert_eq!(ports(&kernel.flows()), [1]);
}

#[test]
fn kernels_share_nothing() {
    let kernel = filled(FakeKernel::new(), 3);
    assert!(dump(&mut FakeKernel::new().client()).is_empty());
    assert_eq!(dump(&mut kernel.clone().client()).len(), 3);
}

#[test]
fn dump_of_many_datagrams_yields_each_flow_once() {
    let mut client = filled(FakeKernel::new(), 2000).client();
    let flows = dump(&mut client);
    assert_eq!(ports(&flows), (1..=2000).collect::<Vec<_>>());
    let ids: BTreeSet<u32> = flows.iter().filter_map(|flow| flow.id).collect();
    assert_eq!(ids.len(), 2000);
}

#[test]
fn abandoned_dump_does_not_block_the_next_request() {
    let mut client = filled(FakeKernel::new(), 500).client();
    client.dump().unwrap().next().unwrap().unwrap();
    assert_eq!(dump(&mut client).len(), 500);
}

#[test]
fn flows_may_be_deleted_while_they_are_dumped() {
    let kernel = filled(FakeKernel::builder().entries_per_datagram(1).build(), 20);
    let mut other = kernel.client();
    let mut client = kernel.client();
    let mut seen = 0;
    for flow in client.dump().unwrap() {
        seen += 1;
        if let Err(error) = other.delete(&flow.unwrap()) {
            assert!(error.is_not_found());
        }
    }
    assert_eq!((seen, kernel.flows().len()), (20, 0));
}

#[test]
fn batch_is_split_to_fit_the_receive_buffer() {
    let kernel = FakeKernel::builder().receive_buffer(4096).build();
    let mut client = filled(kernel, 10).client();
    let mut batch = client.batch();
    for port in 1..=300 {
        batch.push(&udp(port)).unwrap();
    }
    let report = batch.finish().unwrap();
    assert_eq!(report.succeeded(), 290);
    assert!(report.failures().iter().all(|(_, error)| error.errno() == Errno::EEXIST));
}

#[test]
fn unprivileged_batch_is_denied_as_a_whole() {
    let kernel = FakeKernel::builder().unprivileged().build();
    let mut client = kernel.client();
    let mut batch = client.batch();
    (1..=5).for_each(|port| batch.push(&udp(port)).unwrap());
    assert_eq!(batch.finish().unwrap().failures().len(), 5);
    assert!(client.dump().unwrap().next().unwrap().unwrap_err().is_permission_denied());
    kernel.set_privileged(true);
    client.create(&udp(1)).unwrap();
}

#[test]
fn create_fails_when_the_table_is_full() {
    let mut client = filled(FakeKernel::builder().max(2).build(), 2).client();
    assert_eq!(client.create(&udp(3)).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(client.statistics().unwrap().max_entries, Some(2));
}

#[test]
fn recreated_flow_has_its_old_identifier() {
    let kernel = FakeKernel::new();
    let mut client = kernel.client();
    let first = kernel.insert(&udp(1)).unwrap();
    client.delete(&first).unwrap();
    assert_eq!(kernel.insert(&udp(1)).unwrap().id, first.id);
    // Not if another flow has taken its place in the meantime.
    client.delete(&first).unwrap();
    kernel.insert(&udp(2)).unwrap();
    assert_ne!(kernel.insert(&udp(1)).unwrap().id, first.id);
    assert!(client.delete(&first).unwrap_err().is_not_found());
}

#[test]
fn labels_need_room() {
    let labels = FlowUpdate::new().labels(MaskedLabels { labels: Labels(2), mask: Labels(2) });
    for (has_room, expected) in [(false, Err(Some(Errno::ENOSPC))), (true, Ok(()))] {
        let kernel = filled(FakeKernel::builder().labels(has_room).build(), 1);
        let result = kernel.client().update(FlowKey::original(tuple(1)), &labels);
        assert_eq!(result.map_err(|error| error.errno()), expected);
    }
}

#[test]
fn counters_are_zeroed_once_read() {
    let kernel = filled(FakeKernel::builder().accounting(true).build(), 1);
    kernel.packet(&tuple(1), 100).unwrap();
    let mut client = kernel.client();
    let key = FlowKey::original(tuple(1));
    let mut bytes = || client.get_and_zero_counters(key).unwrap().unwrap().counters_original.unwrap().bytes;
    assert_eq!((bytes(), bytes()), (100, 0));
}

#[test]
fn dying_and_unconfirmed_flows_are_none() {
    let mut client = filled(FakeKernel::new(), 3).client();
    for table in [Table::Dying, Table::Unconfirmed] {
        assert_eq!(client.dump_with(&DumpFlows::new().of_table(table)).unwrap().count(), 0);
    }
}

#[test]
fn statistics_count_on_the_first_processor() {
    let kernel = filled(FakeKernel::builder().processors(3).build(), 4);
    let mut client = kernel.client();
    client.create(&udp(1)).unwrap_err();
    kernel.packet(&tuple(9), 60).unwrap();
    let statistics = client.cpu_statistics().unwrap();
    let inserts: Vec<_> = statistics.iter().map(|cpu| (cpu.cpu, cpu.insert)).collect();
    assert_eq!(inserts, [(0, Some(4)), (1, Some(0)), (2, Some(0))]);
    assert_eq!(client.expectation_statistics().unwrap().len(), 3);
}

#[test]
fn stopped_bulk_change_counts_exactly() {
    let kernel = filled(FakeKernel::new(), 2000);
    let mut client = kernel.client();
    let (stop, mut observed) = (client.stop_handle().unwrap(), 0);
    let stop_at_150 = |_: ctnetlink::FlowRef<'_>| {
        observed += 1;
        if observed == 150 {
            stop.stop();
        }
    };
    let report = client.delete_matching_with(&"proto udp".parse().unwrap(), stop_at_150).unwrap();
    let deleted = 2000 - kernel.flows().len() as u64;
    assert_eq!((report.changed(), report.matched(), observed), (deleted, deleted, deleted));
    assert!(report.is_stopped() && (150..1000).contains(&deleted), "{report}");
    assert_eq!(report.to_string(), format!("deleted {deleted} flows, stopped early"));
}

#[test]
fn expected_packet_begins_a_related_flow() {
    let kernel = FakeKernel::new();
    let master = Tuple::tcp(address(1, 1000), address(2, 21));
    let mut flow = NewFlow::untranslated(master, 600).unwrap();
    (flow.helper, flow.mark) = (Some(Helper::new("ftp")), Some(7));
    kernel.insert(&flow).unwrap();
    let expected = Tuple::tcp(address(2, 0), address(1, 4000));
    let mask = Tuple::tcp("255.255.255.255:0".parse().unwrap(), "255.255.255.255:65535".parse().unwrap());
    let mut client = kernel.client();
    client.create_expectation(&ctnetlink::Expectation::new(master, expected, mask)).unwrap();
    let data = Tuple::tcp(address(2, 20), address(1, 4000));
    kernel.packet(&data, 60).unwrap();
    let related = client.get(FlowKey::original(data)).unwrap().unwrap();
    assert_eq!((related.master, related.mark), (Some(master), Some(7)));
    assert_eq!(
        client.get(FlowKey::original(master)).unwrap().unwrap().use_count,
        Some(3),
        "the table, the child, the get"
    );
    assert!(client.get_expectation(ctnetlink::request::ExpectationKey::new(expected)).unwrap().is_none());
}
