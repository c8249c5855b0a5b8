//! Expectations cross the link, and let in a data connection after a takeover.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use ctnetlink::{
    Client, Direction, Expectation, ExpectationNat, Flow, Helper, NewFlow, Status, TcpState, Tuple,
    request::{self, DumpExpectations},
};

use crate::{
    Test,
    failover::Network,
    link::{Pair, assert_no_complaints},
    network::{Namespace, until},
    peers::{Kind, Peer, flows},
};

pub const CASES: &[Test] = &[
    ("expectations_cross_in_both_directions", expectations_cross_in_both_directions),
    ("expectations_cross_in_notrack_mode", expectations_cross_in_notrack_mode),
    ("expectations_of_a_restarted_peer_are_exchanged_again", expectations_of_a_restarted_peer_are_exchanged_again),
    ("data_connection_is_related_after_failover", data_connection_is_related_after_failover),
    (
        "active_data_connection_reaches_the_client_after_failover",
        active_data_connection_reaches_the_client_after_failover,
    ),
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

/// An FTP session through the first of two gateways. The backup accepts no new connection but that to the control port.
struct Session<'n> {
    network: &'n Network,
    peers: [Peer<'n>; 2],
    client: TcpStream,
    server: TcpStream,
}

impl<'n> Session<'n> {
    fn begin(network: &'n Network, kinds: [Kind; 2], with_expectations: bool) -> Self {
        let peers = network.start(kinds, with_expectations);
        let listener = network.server.inside(|| TcpListener::bind("198.51.100.10:21").unwrap());
        let client = network.client.inside(|| TcpStream::connect("198.51.100.10:21").unwrap());
        let (server, _) = listener.accept().unwrap();
        let mut session = Self { network, peers, client, server };
        // The helper only looks at lines that follow another.
        session.answer("220 Ready\r\n");
        session
    }

    /// Sends a line to the client, which has to arrive.
    fn answer(&mut self, line: &str) {
        self.server.write_all(line.as_bytes()).unwrap();
        assert_eq!(receive(&mut self.client), line);
    }

    /// Sends a line to the server, and returns what arrives.
    fn command(&mut self, line: &str) -> String {
        self.client.write_all(line.as_bytes()).unwrap();
        receive(&mut self.server)
    }

    /// Cuts off the gateway as soon as the backup knows of the session and of the expectation. Returns the report of the
    /// backup's commit.
    fn fail_over(&mut self, with_expectations: bool) -> String {
        let Self { network, peers, .. } = self;
        until("the session", || peers[1].external().iter().any(|flow| flow.ends_with(" 21")));
        if with_expectations {
            until("the expectation", || peers[1].external_expectations() == BTreeSet::from([5000]));
        }
        peers[0].kill();
        network.cut_off(0);
        let report = peers[1].commit();
        network.give_addresses_to(1);
        report
    }

    /// Returns the data connection as the backup's kernel shows it.
    fn data_connection(&self) -> Flow {
        let flows = flows(&self.network.gateways[1]);
        let is_data = |flow: &Flow| flow.original.destination_port() == Some(5000);
        flows.into_iter().find(is_data).expect("the data connection")
    }
}

fn receive(stream: &mut TcpStream) -> String {
    let mut line = [0; 100];
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = stream.read(&mut line).unwrap();
    String::from_utf8_lossy(&line[..length]).into_owned()
}

fn connect(from: &Namespace, target: &str) -> io::Result<TcpStream> {
    from.inside(|| TcpStream::connect_timeout(&target.parse().unwrap(), Duration::from_secs(2)))
}

fn data_connection_is_related_after_failover() {
    let pairs = [[Kind::Ours, Kind::Ours], [Kind::Conntrackd, Kind::Ours], [Kind::Ours, Kind::Conntrackd]];
    for (kinds, with_expectations) in pairs.map(|kinds| (kinds, true)).into_iter().chain([(pairs[0], false)]) {
        let network = Network::new(RULES);
        let mut session = Session::begin(&network, kinds, with_expectations);
        let listener = network.server.inside(|| TcpListener::bind("198.51.100.10:5000").unwrap());
        session.answer("227 Entering Passive Mode (198,51,100,10,19,136)\r\n");
        let report = session.fail_over(with_expectations);
        if kinds[1] == Kind::Ours {
            assert_eq!(report.contains("committed 1 expectation\n"), with_expectations, "{report}");
        }

        let connected = connect(&network.client, "198.51.100.10:5000");
        assert_eq!(connected.is_ok(), with_expectations, "{connected:?}");
        if with_expectations {
            assert_eq!(listener.accept().unwrap().1.ip().to_string(), "198.51.100.1");
            let flow = session.data_connection();
            assert!(flow.status.unwrap().contains(Status::EXPECTED | Status::SRC_NAT), "{flow}");
        }
        // The control connection goes on as well.
        session.answer("226 Transfer complete\r\n");
    }
}

/// The server connects to an address of the gateway. conntrackd commits the expectation without its translation.
fn active_data_connection_reaches_the_client_after_failover() {
    for sender in [Kind::Ours, Kind::Conntrackd] {
        let network = Network::new(RULES);
        let mut session = Session::begin(&network, [sender, Kind::Ours], true);
        let listener = network.client.inside(|| TcpListener::bind("10.60.0.10:5000").unwrap());
        assert_eq!(session.command("NOOP\r\n"), "NOOP\r\n");
        assert_eq!(session.command("PORT 10,60,0,10,19,136\r\n"), "PORT 198,51,100,1,19,136\r\n");
        if sender == Kind::Ours {
            // The shift of sequence numbers may follow a moment after the expectation.
            until("the shift", || {
                session.peers[1].commit();
                let flows = flows(&network.gateways[1]);
                flows.iter().any(|flow| flow.sequence_adjustment_original.is_some_and(|shift| shift.offset_after == 2))
            });
        }
        session.fail_over(true);

        let connected = connect(&network.server, "198.51.100.1:5000");
        assert!(connected.is_ok(), "{connected:?}");
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "198.51.100.10");
        let flow = session.data_connection();
        assert!(flow.status.unwrap().contains(Status::EXPECTED | Status::DST_NAT), "{flow}");
        if sender == Kind::Ours {
            // The longer address has moved the client's sequence numbers, which conntrackd does not send.
            assert_eq!(session.command("NOOP\r\n"), "NOOP\r\n");
            session.answer("226 Transfer complete\r\n");
        }
    }
}
