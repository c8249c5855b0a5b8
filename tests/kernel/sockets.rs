//! The socket itself: namespaces, buffers, what is given up in the middle.

use std::{os::fd::AsFd, process::Command, thread};

use ctnetlink::{Client, NetworkNamespace};

use crate::{
    cases,
    lab::Lab,
    samples::{create, udp_flow},
};

cases! {
    an_abandoned_dump_leaves_the_client_usable;
    a_client_in_another_namespace_leaves_the_thread_where_it_is;
    a_client_that_moved_threads_stays_in_its_namespace;
    a_namespace_is_named_by_a_process_a_path_or_a_descriptor;
    what_is_no_namespace_says_so;
    the_receive_buffer_is_granted_and_told;
    memory_is_flat_and_every_flow_comes_once;
}

/// A client can be sent to another thread.
const _: fn() = || {
    fn is_sent<T: Send>() {}
    is_sent::<Client>();
};

/// The kernel refuses a dump with EBUSY while another is under way on the socket.
fn an_abandoned_dump_leaves_the_client_usable(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=2000).map(udp_flow));
    for _ in 0..5 {
        assert!(client.dump().unwrap().next().unwrap().is_ok());
    }
    assert_eq!(client.dump().unwrap().into_iter().filter(Result::is_ok).count(), 2000);
    drop(client.dump().unwrap());
    assert_eq!(client.statistics().unwrap().entries, Some(2000));
}

fn a_client_in_another_namespace_leaves_the_thread_where_it_is(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let here = NetworkNamespace::of_this_thread().unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let mut there = Client::builder().namespace(here).open().unwrap();
        assert_eq!(there.dump().unwrap().into_iter().count(), 1);
        assert_eq!(Client::open().unwrap().dump().unwrap().into_iter().count(), 0);
        // Given up in the middle, it opens its socket anew where it was.
        drop(there.dump().unwrap());
        assert_eq!(there.dump().unwrap().into_iter().count(), 1);
    };
    thread::spawn(elsewhere).join().unwrap();
}

fn a_client_that_moved_threads_stays_in_its_namespace(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(1)).unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        drop(client.dump().unwrap());
        client.dump().unwrap().into_iter().count()
    };
    assert_eq!(thread::spawn(elsewhere).join().unwrap(), 1);
}

fn a_namespace_is_named_by_a_process_a_path_or_a_descriptor(lab: &Lab) {
    lab.client().create(&udp_flow(1)).unwrap();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let process = NetworkNamespace::of_process(sleeper.id()).unwrap();
    let path = NetworkNamespace::from_path(format!("/proc/{}/ns/net", sleeper.id())).unwrap();
    let descriptor = NetworkNamespace::from_fd(path.as_fd().try_clone_to_owned().unwrap());
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let count = |namespace| {
            let mut client = Client::builder().namespace(namespace).open().unwrap();
            client.dump().unwrap().into_iter().count()
        };
        [process, path, descriptor].map(count)
    };
    assert_eq!(thread::spawn(elsewhere).join().unwrap(), [1, 1, 1]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

fn what_is_no_namespace_says_so(_: &Lab) {
    let error = NetworkNamespace::from_path("/run/netns/nonesuch").unwrap_err();
    assert!(error.to_string().contains("/run/netns/nonesuch"), "{error}");
    let file = NetworkNamespace::from_path("/proc/self/status").unwrap();
    let error = Client::builder().namespace(file).open().unwrap_err();
    assert!(error.to_string().starts_with("cannot enter the network namespace: "), "{error}");
}

fn the_receive_buffer_is_granted_and_told(lab: &Lab) {
    let client = Client::builder().receive_buffer(100_000).open().unwrap();
    assert_eq!(client.receive_buffer(), 200_000);
    assert!(lab.client().receive_buffer() > 0);
}

fn memory_is_flat_and_every_flow_comes_once(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=20_000).map(udp_flow));
    let mut seen = vec![false; 20_001];
    let allocated = allocation_counter::measure(|| {
        let mut flows = client.dump().unwrap();
        while let Some(flow) = flows.next_view().unwrap() {
            let port = usize::from(flow.original().source_port().unwrap());
            assert!(!std::mem::replace(&mut seen[port], true), "{port} came twice");
        }
    });
    assert_eq!(seen.iter().filter(|seen| **seen).count(), 20_000);
    assert!(allocated.bytes_max < 4096, "{allocated:?}");
}
