//! The client's socket: namespaces, buffers and abandoned dumps.

use std::{collections::BTreeSet, os::fd::AsFd, process::Command, thread, time::Duration};

use ctnetlink::{Client, ErrorKind, Filter, FlowRef, FlowUpdate, NetworkNamespace};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::{
    cases,
    lab::Lab,
    samples::{create, udp_flow},
};

cases! {
    abandoned_dump_leaves_the_client_usable;
    client_of_another_namespace_does_not_move_the_thread;
    client_moved_to_a_thread_stays_in_its_namespace;
    namespace_opens_by_process_path_or_descriptor;
    wrong_namespace_error_names_the_file;
    granted_client_buffer_is_reported;
    dump_takes_constant_memory_and_yields_each_flow_once;
    client_works_over_a_given_socket;
    stop_handle_ends_a_bulk_change_with_exact_counts;
    bulk_changes_lend_the_changed_flows;
}

/// A client can be sent to another thread.
const _: fn() = || {
    fn is_sent<T: Send>() {}
    is_sent::<Client>();
};

/// The kernel refuses a dump with EBUSY while another dump runs on the same socket.
fn abandoned_dump_leaves_the_client_usable(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=2000).map(udp_flow));
    for _ in 0..5 {
        assert!(client.dump().unwrap().next().unwrap().is_ok());
    }
    assert_eq!(client.dump().unwrap().filter(Result::is_ok).count(), 2000);
    drop(client.dump().unwrap());
    assert_eq!(client.statistics().unwrap().entries, Some(2000));
}

fn client_of_another_namespace_does_not_move_the_thread(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let here = NetworkNamespace::of_this_thread().unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let mut there = Client::builder().namespace(here).open().unwrap();
        assert_eq!(there.dump().unwrap().count(), 1);
        assert_eq!(Client::open().unwrap().dump().unwrap().count(), 0);
        // After an abandoned dump the client opens another socket, in the same namespace.
        drop(there.dump().unwrap());
        assert_eq!(there.dump().unwrap().count(), 1);
    };
    thread::spawn(elsewhere).join().unwrap();
}

fn client_moved_to_a_thread_stays_in_its_namespace(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1)).unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        drop(client.dump().unwrap());
        client.dump().unwrap().count()
    };
    assert_eq!(thread::spawn(elsewhere).join().unwrap(), 1);
}

fn namespace_opens_by_process_path_or_descriptor(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let process = NetworkNamespace::of_process(sleeper.id()).unwrap();
    let path = NetworkNamespace::from_path(format!("/proc/{}/ns/net", sleeper.id())).unwrap();
    let descriptor = NetworkNamespace::from_fd(path.as_fd().try_clone_to_owned().unwrap());
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let count = |namespace| {
            let mut client = Client::builder().namespace(namespace).open().unwrap();
            client.dump().unwrap().count()
        };
        [process, path, descriptor].map(count)
    };
    assert_eq!(thread::spawn(elsewhere).join().unwrap(), [1, 1, 1]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

fn wrong_namespace_error_names_the_file(_: &Lab) {
    let error = NetworkNamespace::from_path("/run/netns/nonesuch").unwrap_err();
    assert!(error.to_string().contains("/run/netns/nonesuch"), "{error}");
    let file = NetworkNamespace::from_path("/proc/self/status").unwrap();
    let error = Client::builder().namespace(file).open().unwrap_err();
    assert!(error.to_string().starts_with("cannot enter the network namespace: "), "{error}");
}

fn granted_client_buffer_is_reported(lab: &Lab) {
    let client = Client::builder().receive_buffer(100_000).open().unwrap();
    assert_eq!(client.receive_buffer(), 200_000);
    assert!(lab.client().receive_buffer() > 0);
}

fn dump_takes_constant_memory_and_yields_each_flow_once(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=20_000).map(udp_flow));
    let mut seen = vec![false; 20_001];
    let allocated = allocation_counter::measure(|| {
        let mut flows = client.dump().unwrap();
        while let Some(flow) = flows.next_view().unwrap() {
            let port = usize::from(flow.original().source_port().unwrap());
            assert!(!std::mem::replace(&mut seen[port], true), "the dump has port {port} twice");
        }
    });
    assert_eq!(seen.iter().filter(|seen| **seen).count(), 20_000);
    assert!(allocated.bytes_max < 4096, "{allocated:?}");
}

/// Such a client cannot open a second socket, so bulk changes finish the dump before the first change.
fn client_works_over_a_given_socket(lab: &Lab) {
    let open = |protocol| socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    let mut client = Client::from_fd(open(SockProtocol::NetlinkNetFilter)).unwrap();
    create(&mut client, (1..=3000).map(udp_flow));
    // An abandoned dump is drained.
    assert!(client.dump().unwrap().next().unwrap().is_ok());
    assert_eq!(client.statistics().unwrap().entries, Some(3000));
    let low: Filter = "sport 1-1000".parse().unwrap();
    let report = client.update_matching(&low, &FlowUpdate::new().mark(7)).unwrap();
    assert_eq!((report.matched(), report.changed()), (1000, 1000));
    let mut deleted = 0;
    let report =
        client.delete_matching_with(&Filter::mark(7), |flow| deleted += u32::from(flow.mark() == Some(7))).unwrap();
    assert_eq!((report.to_string().as_str(), deleted), ("deleted 1000 flows", 1000));
    assert_eq!(lab.flows().len(), 2000);
    let error = Client::from_fd(open(SockProtocol::NetlinkRoute)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Also over a socket beside which no other can be opened, where the dump ends before the first change.
fn stop_handle_ends_a_bulk_change_with_exact_counts(lab: &Lab) {
    const FLOWS: u64 = 5000;
    let dns: Filter = "proto udp".parse().unwrap();
    let given =
        || socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
    for open in [&(|| lab.client()) as &dyn Fn() -> Client, &|| Client::from_fd(given().unwrap()).unwrap()] {
        lab.client().delete_all().unwrap();
        create(&mut lab.client(), (1..=FLOWS as u16).map(udp_flow));
        let mut client = open();
        let (stop, mut observed) = (client.stop_handle().unwrap(), 0);
        let mut stop_at = |_: FlowRef<'_>| {
            observed += 1;
            if observed == 300 {
                stop.stop();
            }
        };
        let update = FlowUpdate::new().mark(7);
        let report = client.update_matching_with(&dns, &update, &mut stop_at).unwrap();
        let marked = lab.flows().iter().filter(|flow| flow.mark == Some(7)).count() as u64;
        assert_eq!((report.changed(), report.matched(), observed), (marked, marked, marked), "{report}");
        assert!(report.is_stopped() && (300..FLOWS / 2).contains(&marked), "{report}");

        let mut client = open();
        let (stop, mut observed) = (client.stop_handle().unwrap(), 0);
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(2));
            stop.stop();
        });
        let report = client.delete_matching_with(&dns, |_| observed += 1).unwrap();
        stopper.join().unwrap();
        let left = lab.flows().len() as u64;
        assert_eq!((report.changed(), observed), (FLOWS - left, FLOWS - left), "{report}");
        assert!(report.is_stopped() || left == 0, "{report}");

        // Later changes do nothing, and other requests go on.
        client.stop_handle().unwrap().stop();
        let report = client.delete_matching_uncounted(&"mark 7".parse().unwrap()).unwrap().expect("nothing was sent");
        assert!(report.is_stopped() && report.matched() == 0, "{report}");
        assert_eq!(client.dump().unwrap().count() as u64, left);
    }
}

fn bulk_changes_lend_the_changed_flows(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=2000).map(udp_flow));
    let odd: Filter = Filter::source_port((1..=2000_u16).step_by(2).collect::<Vec<_>>());
    let mut ports = BTreeSet::new();
    let update = FlowUpdate::new().mark(1);
    let report = client
        .update_matching_with(&odd, &update, |flow| {
            assert_eq!(flow.mark(), Some(0), "lent as it was before");
            ports.extend(flow.original().source_port());
        })
        .unwrap();
    assert_eq!(report.changed(), 1000);
    assert!(ports.iter().copied().eq((1..=2000).step_by(2)));
    let deleted: &mut BTreeSet<u16> = &mut BTreeSet::new();
    client.delete_matching_with(&Filter::mark(1), |flow| deleted.extend(flow.original().source_port())).unwrap();
    assert_eq!(*deleted, ports);
    // The kernel refuses to change a fixed timeout, and a refused flow is not lent.
    let fixed = FlowUpdate::new().add_status(ctnetlink::Status::FIXED_TIMEOUT);
    client.update_matching(&"sport 2".parse().unwrap(), &fixed).unwrap();
    let mut changed = 0;
    let report =
        client.update_matching_with(&"sport 1-4".parse().unwrap(), &FlowUpdate::new().timeout(50), |_| changed += 1);
    let report = report.unwrap();
    assert_eq!((report.changed(), report.failed(), changed), (1, 1, 1), "{report}");
    assert_eq!(report.failures()[0].0.tuple.source_port(), Some(2));
    assert_eq!(report.to_string(), "updated 1 flow, 1 failed");
}
