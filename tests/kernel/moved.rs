//! Flows that move to another network namespace.

use std::{
    io::{Read, Write},
    net::IpAddr,
    thread,
    time::Duration,
};

use ctnetlink::{Client, Flow, NewFlow, Protocol, Status, TcpFlags, TcpState, sysctl};
use nix::sched::{CloneFlags, unshare};

use crate::{cases, lab::Lab, samples::endpoint};

cases! {
    moved_flow_keeps_translation_state_and_counts_down;
    connection_survives_the_replacement_of_its_flow: "nft", "ip";
}

fn moved_flow_keeps_translation_state_and_counts_down(lab: &Lab) {
    let (old, new): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let flow = NewFlow::tcp(endpoint("10.1.0.1", 1000), endpoint("10.1.0.2", 443), TcpState::CLOSE_WAIT)
        .zone(7)
        .mark(0x1234)
        .timeout(600)
        .snat(endpoint("192.0.2.1", 5000));
    lab.client().create(&flow).unwrap();
    let before = lab.flow(flow.original);

    let moved = NewFlow::from(&before).liberal().aged(Duration::from_secs(100)).unwrap();
    let moved = moved.map_zone(|zone| zone + 1).map_addresses(|address| if address == old { new } else { address });
    let after = in_another_namespace(moved.mark(before.mark.unwrap() | 0x10000));

    assert_eq!((after.zone, after.mark), (Some(8), Some(0x11234)));
    assert_eq!(after.snat().unwrap().to_string(), "192.0.2.2:5000");
    assert_eq!(after.tcp_state(), Some(TcpState::CLOSE_WAIT));
    let nat = Status::SRC_NAT | Status::ASSURED | Status::SEEN_REPLY;
    assert!(after.status.unwrap().contains(nat), "{:?}", after.status);
    assert!(matches!(after.timeout, Some(480..=500)), "{:?}", after.timeout);
}

fn in_another_namespace(flow: NewFlow) -> Flow {
    let create = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut client = Client::open().unwrap();
        client.create(&flow).unwrap();
        client.dump().unwrap().next().unwrap().unwrap()
    };
    thread::spawn(create).join().unwrap()
}

/// The rules drop every packet that the kernel cannot assign, and it may not pick up connections in the middle.
fn connection_survives_the_replacement_of_its_flow(lab: &Lab) {
    lab.track_loopback();
    sysctl::Sysctl::new("nf_conntrack_tcp_loose").unwrap().write(0).unwrap();
    lab.nft(
        "table inet strict { chain output { type filter hook output priority 0; ct state invalid counter drop; }; }",
    );
    let (mut client, mut server) = lab.tcp("127.0.0.1:0");
    let mut echo = |text: &[u8; 4]| {
        let mut buffer = [0; 4];
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(text).unwrap();
        server.read_exact(&mut buffer).unwrap();
        server.write_all(&buffer).unwrap();
        client.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, text);
    };
    echo(b"once");
    let tcp = |flows: Vec<Flow>| flows.into_iter().find(|flow| flow.original.protocol == Protocol::TCP).unwrap();
    let before = tcp(lab.flows());
    lab.client().delete(&before).unwrap();
    lab.client().create(&NewFlow::from(&before).liberal()).unwrap();
    echo(b"more");

    let after = tcp(lab.flows());
    assert_eq!((after.original, after.reply), (before.original, before.reply));
    let info = *after.protocol_info.unwrap().tcp().unwrap();
    for flags in [info.flags_original, info.flags_reply] {
        assert!(flags.unwrap().flags.contains(TcpFlags::BE_LIBERAL), "{info:?}");
    }
}
