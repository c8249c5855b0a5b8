//! Expectations cross the link, and let in a data connection after a takeover.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use ctnetlink::{
    Client, Direction, Expectation, ExpectationNat, Helper, NewFlow, Status, TcpState, Tuple,
    request::{self, DumpExpectations},
};

use crate::{
    Test,
    failover::Network,
    link::{Pair, assert_no_complaints},
    network::{Namespace, until},
    peers::{Kind, flows},
};

pub const CASES: &[Test] = &[
    ("expectations_cross_in_both_directions", expectations_cross_in_both_directions),
    ("expectations_cross_in_notrack_mode", expectations_cross_in_notrack_mode),
    ("expectations_of_a_restarted_peer_are_exchanged_again", expectations_of_a_restarted_peer_are_exchanged_again),
    ("data_connection_is_related_after_failover", data_connection_is_related_after_failover),
];

/// An FTP session. Each expects one flow at a time.
fn master(side: u8, port: u16) -> NewFlow {
    let client = SocketAddr::from(([10, 60 + side, 0, 10], port));
    let mut master = NewFlow::tcp(client, "198.51.100.10:21".parse().unwrap(), TcpState::ESTABLISHED).timeout(3000);
    master.helper = Some(Helper::new("ftp"));
    master
}

/// The session's data connection to that port, as the helper of a gateway that translates addresses expects it.
fn expectation(side: u8, port: u16) -> Expectation {
    let master = master(side, port).original;
    let tuple = Tuple::tcp((master.source, 0).into(), (master.destination, port).into());
    let mask = Tuple::tcp(([255; 4], 0).into(), ([255; 4], u16::MAX).into());
    let mut expectation = Expectation::new(master, tuple, mask);
    expectation.helper = Some("ftp".into());
    expectation.class = Some(0);
    expectation.function = Some("nat-follow-master".into());
    let saved = Tuple::tcp(([0; 4], port).into(), ([0; 4], 0).into());
    expectation.nat = Some(ExpectationNat { direction: Direction::Original, tuple: saved });
    expectation
}

fn create(client: &mut Client, side: u8, ports: std::ops::Range<u16>) {
    for port in ports {
        client.create(&master(side, port)).unwrap();
        client.create_expectation(&expectation(side, port)).unwrap();
    }
}

fn delete(client: &mut Client, side: u8, ports: std::ops::Range<u16>) {
    for port in ports {
        client.delete_expectation(request::ExpectationKey::new(expectation(side, port).tuple)).unwrap();
    }
}

fn kernels(host: &Namespace) -> Vec<Expectation> {
    host.client().dump_expectations(&DumpExpectations::all()).unwrap().map(Result::unwrap).collect()
}

fn ports(ports: std::ops::Range<u16>) -> BTreeSet<u16> {
    ports.collect()
}

fn expectations_cross_in_both_directions() {
    let pair = Pair::new();
    let peers = pair.start_with_expectations("ftfw");
    for (here, there) in [(0, 1), (1, 0)] {
        let side = here as u8;
        create(&mut pair.hosts[here].client(), side, 5000..5020);
        until("the expectations", || peers[there].external_expectations() == ports(5000..5020));
        delete(&mut pair.hosts[here].client(), side, 5000..5010);
        until("their ends", || peers[there].external_expectations() == ports(5010..5020));

        let report = peers[there].commit();
        let committed = kernels(&pair.hosts[there]);
        let found: BTreeSet<_> = committed.iter().filter_map(|expected| expected.tuple.destination_port()).collect();
        assert_eq!(found, ports(5010..5020), "{report}");
        if there == 0 {
            let wanted = expectation(side, 5015);
            let is_whole = |found: &Expectation| {
                (found.nat, &found.function, &found.helper) == (wanted.nat, &wanted.function, &wanted.helper)
            };
            assert!(committed.iter().any(|found| found.tuple == wanted.tuple && is_whole(found)), "{committed:?}");
        }
        pair.hosts.iter().for_each(|host| host.client().delete_all().unwrap());
        until("the end of all", || peers.iter().all(|peer| peer.external_expectations().is_empty()));
    }
    assert_no_complaints(&peers);
}

/// Without acknowledgements, and with a table that was there before.
fn expectations_cross_in_notrack_mode() {
    let pair = Pair::new();
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), side, 5000..5010);
    }
    let peers = pair.start_with_expectations("notrack");
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), side, 5010..5020);
        delete(&mut pair.hosts[usize::from(side)].client(), side, 5000..5005);
    }
    until("the expectations", || peers.iter().all(|peer| peer.external_expectations() == ports(5005..5020)));
    assert_no_complaints(&peers);
}

fn expectations_of_a_restarted_peer_are_exchanged_again() {
    let pair = Pair::new();
    let mut peers = pair.start_with_expectations("ftfw");
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), side, 5000..5010);
    }
    until("the expectations", || peers.iter().all(|peer| peer.external_expectations() == ports(5000..5010)));
    for restarted in 0..2 {
        peers[restarted].kill();
        peers[restarted].start_again();
        until("the restart", || peers[restarted].is_up());
        until("the expectations again", || peers.iter().all(|peer| peer.external_expectations() == ports(5000..5010)));
    }
}

const RULES: &str = "
table ip gateway {
    counter invalid { }
    ct helper ftp { type \"ftp\" protocol tcp; }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state invalid counter name invalid drop
        tcp dport 21 ct helper set \"ftp\"
        ct state established,related accept
        iifname lan oifname wan tcp dport 21 tcp flags syn ct state new accept
    }
    chain postrouting { type nat hook postrouting priority 100; oifname wan masquerade; }
}";

/// The backup accepts no new connection but that to the control port.
fn data_connection_is_related_after_failover() {
    for with_expectations in [true, false] {
        let network = Network::new(RULES);
        let mut peers = network.start([Kind::Ours, Kind::Ours], with_expectations);
        let (listener, data) = network
            .server
            .spawn(|| ["198.51.100.10:21", "198.51.100.10:5000"].map(|at| TcpListener::bind(at).unwrap()))
            .join()
            .unwrap()
            .into();
        let mut control = network.client.spawn(|| TcpStream::connect("198.51.100.10:21").unwrap()).join().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // The helper only looks at lines that follow another.
        say(&mut server, &mut control, "220 Ready\r\n");
        say(&mut server, &mut control, "227 Entering Passive Mode (198,51,100,10,19,136)\r\n");
        until("the session", || peers[1].external().iter().any(|flow| flow.ends_with(" 21")));
        if with_expectations {
            until("the expectation", || peers[1].external_expectations() == BTreeSet::from([5000]));
        }

        peers[0].kill();
        network.cut_off(0);
        let report = peers[1].commit();
        assert_eq!(report.contains("committed 1 expectation\n"), with_expectations, "{report}");
        network.give_addresses_to(1);
        let connect = || TcpStream::connect_timeout(&"198.51.100.10:5000".parse().unwrap(), Duration::from_secs(2));
        let connected = network.client.spawn(connect).join().unwrap();
        assert_eq!(connected.is_ok(), with_expectations, "{connected:?}");
        if with_expectations {
            let (accepted, from) = data.accept().unwrap();
            assert_eq!(from.ip().to_string(), "198.51.100.1", "{accepted:?}");
            let flows = flows(&network.gateways[1]);
            let related = flows.iter().find(|flow| flow.original.destination_port() == Some(5000)).unwrap();
            assert!(related.status.unwrap().contains(Status::EXPECTED | Status::SRC_NAT), "{related}");
        }
        // The control connection goes on as well.
        say(&mut server, &mut control, "226 Transfer complete\r\n");
    }
}

/// Sends a line that has to arrive.
fn say(server: &mut TcpStream, client: &mut TcpStream, line: &str) {
    server.write_all(line.as_bytes()).unwrap();
    let mut received = vec![0; line.len()];
    client.read_exact(&mut received).unwrap();
    assert_eq!(received, line.as_bytes());
}
