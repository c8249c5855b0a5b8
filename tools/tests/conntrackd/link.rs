//! Tables cross the link in both directions, whatever it does to datagrams.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Client, Flow, FlowKey, NewFlow, Protocol, ProtocolInfo, SctpInfo, SctpState, Status, TcpState, Tuple,
    request::DeleteFlow,
};

use crate::{
    Test,
    network::{Namespace, until, until_none},
    peers::{End, Kind, Peer, flows, host, originals},
};

pub const CASES: &[Test] = &[
    ("every_kind_of_flow_crosses_in_both_directions", every_kind_of_flow_crosses_in_both_directions),
    ("flows_cross_in_notrack_mode", flows_cross_in_notrack_mode),
    ("flows_cross_over_ipv6", flows_cross_over_ipv6),
    ("tables_are_equal_after_5_percent_loss", || lossy_link(5)),
    ("tables_are_equal_after_30_percent_loss", || lossy_link(30)),
    ("tables_are_equal_after_duplicates_and_reordering", duplicates_and_reordering),
    ("restart_of_either_side_resynchronizes", restart_of_either_side_resynchronizes),
    ("datagrams_of_strangers_are_dropped", datagrams_of_strangers_are_dropped),
];

/// Two hosts with a link. Ours runs on the first.
pub struct Pair {
    pub hosts: [Namespace; 2],
}

impl Pair {
    pub fn new() -> Self {
        let hosts = [host(), host()];
        hosts[0].connect("sync0", "10.77.0.1/24", &hosts[1], "sync1", "10.77.0.2/24");
        Self { hosts }
    }

    fn start(&self, mode: &str) -> [Peer<'_>; 2] {
        self.start_at(mode, ["10.77.0.1", "10.77.0.2"], false)
    }

    pub fn start_with_expectations(&self, mode: &str) -> [Peer<'_>; 2] {
        self.start_at(mode, ["10.77.0.1", "10.77.0.2"], true)
    }

    fn start_at(&self, mode: &str, [address, peer]: [&'static str; 2], expectations: bool) -> [Peer<'_>; 2] {
        let [a, b] = &self.hosts;
        let ours = End { host: a, interface: "sync0", address, peer };
        let other = End { host: b, interface: "sync1", address: peer, peer: address };
        let start = |kind, end| Peer::start_with(kind, end, mode, expectations);
        let peers = [start(Kind::Ours, &ours), start(Kind::Conntrackd, &other)];
        until("both answer", || peers.iter().all(Peer::is_up));
        until("the handshake", || peers[0].statistics().starts_with("connected"));
        peers
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Flows of every kind that the protocol carries. conntrackd's commit sets the lowest byte of the initiator's SCTP tag to 8,
/// the TCP flag in the same place of memory, so it is 8 here. `side` keeps the
/// two directions apart.
fn samples(side: u8) -> Vec<NewFlow> {
    let address = |last: u8| IpAddr::from([10, 60 + side, 0, last]);
    let client = |port| SocketAddr::new(address(10), port);
    let server = socket("198.51.100.10:443");
    let public = IpAddr::from([192, 0, 2, side]);
    let v6 = |text: &str| -> SocketAddr { text.replace('S', &side.to_string()).parse().unwrap() };
    let sctp = Tuple::sctp(client(5), server);
    let related = NewFlow::tcp(client(2001), socket("198.51.100.10:20"), TcpState::ESTABLISHED).timeout(900);
    let ping = Tuple::icmp(address(10), server.ip(), 8, 0, 0x1234);
    let mut flows = vec![
        NewFlow::tcp(client(1), server, TcpState::ESTABLISHED).timeout(5000).mark(7),
        NewFlow::tcp(client(2), server, TcpState::ESTABLISHED).snat(SocketAddr::new(public, 5000)),
        NewFlow::tcp(client(3), server, TcpState::CLOSE_WAIT).dnat(socket("10.99.0.1:8443")),
        NewFlow::udp(client(4), socket("198.51.100.10:53")).snat(public).status(Status::SEEN_REPLY | Status::ASSURED),
        NewFlow::untranslated(sctp, 600).unwrap().protocol_info(ProtocolInfo::Sctp(SctpInfo::new(
            SctpState::ESTABLISHED,
            0x0a0b_0c08,
            0x0102_0304,
        ))),
        NewFlow::udp(client(6), socket("198.51.100.10:53")).zone(9),
        NewFlow::untranslated(ping, 300).unwrap(),
        NewFlow::tcp(v6("[fd6S::10]:7"), v6("[fd99::10]:443"), TcpState::SYN_SENT),
        NewFlow::tcp(v6("[fd6S::10]:8"), v6("[fd99::10]:443"), TcpState::ESTABLISHED).snat(v6("[fd7S::1]:99")),
        NewFlow::untranslated(Tuple::icmp(v6("[fd6S::10]:0").ip(), v6("[fd99::10]:0").ip(), 128, 0, 77), 300).unwrap(),
        NewFlow::untranslated(Tuple::new(Protocol(50), address(10), server.ip()), 600).unwrap(),
    ];
    flows.push(related.master(flows[0].original));
    flows
}

/// The attributes that have to be equal in both kernels, by original tuple.
fn essence(flows: &[Flow]) -> BTreeMap<Tuple, String> {
    let essence = |flow: &Flow| {
        let status = flow.status.unwrap() & (Status::SEEN_REPLY | Status::ASSURED | Status::SRC_NAT | Status::DST_NAT);
        let (state, mark, master) = (flow.tcp_state(), flow.mark.unwrap_or(0), flow.master);
        let tags = match flow.protocol_info {
            Some(ProtocolInfo::Sctp(sctp)) => Some(sctp),
            _ => None,
        };
        let minutes = flow.timeout.unwrap().div_ceil(60);
        format!("{:?} {:?} {status} {state:?} {mark} {master:?} {tags:?} {minutes} min", flow.reply, flow.zone)
    };
    flows.iter().map(|flow| (flow.original, essence(flow))).collect()
}

fn create(client: &mut Client, flows: &[NewFlow]) {
    let mut batch = client.batch();
    flows.iter().for_each(|flow| batch.push(flow).unwrap());
    let report = batch.finish().unwrap();
    assert!(report.failures().is_empty(), "{:?}", report.failures().first());
}

fn delete(client: &mut Client, flows: &[NewFlow]) {
    let mut batch = client.batch();
    flows.iter().for_each(|flow| batch.push(&DeleteFlow::new(FlowKey::original(flow.original))).unwrap());
    let report = batch.finish().unwrap();
    assert!(report.failures().is_empty(), "{:?}", report.failures().first());
}

fn every_kind_of_flow_crosses_in_both_directions() {
    let pair = Pair::new();
    let peers = pair.start("ftfw");
    for (here, there) in [(0, 1), (1, 0)] {
        create(&mut pair.hosts[here].client(), &samples(here as u8));
        let sent = flows(&pair.hosts[here]);
        let begun = Instant::now();
        while peers[there].external() != originals(&sent) && begun.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(peers[there].external(), originals(&sent));
        let report = peers[there].commit();
        let committed = essence(&flows(&pair.hosts[there]));
        for (tuple, essence) in essence(&sent) {
            assert_eq!(committed.get(&tuple), Some(&essence), "{tuple}\n{report}");
        }
        assert_eq!(committed.len(), sent.len());
        pair.hosts.iter().for_each(|host| host.client().delete_all().unwrap());
        until("the ends", || peers.iter().all(|peer| peer.external().is_empty()));
    }
    assert_no_complaints(&peers);
}

/// Neither side found anything malformed.
pub fn assert_no_complaints(peers: &[Peer<'_>; 2]) {
    let ours = peers[0].statistics();
    assert!(!ours.contains("malformed") && !ours.contains("wrong") && !ours.contains("unknown"), "{ours}");
    let theirs = peers[1].statistics();
    let complaints = ["Malformed", "Wrong", "Bad", "Truncated"];
    for line in theirs.lines().filter(|line| complaints.iter().any(|complaint| line.contains(complaint))) {
        assert!(line.ends_with(" 0"), "{theirs}");
    }
}

fn flows_cross_in_notrack_mode() {
    let pair = Pair::new();
    create(&mut pair.hosts[1].client(), &many(1, 0..500));
    let peers = pair.start("notrack");
    create(&mut pair.hosts[0].client(), &many(0, 0..500));
    assert_equal(&pair, &peers);
    delete(&mut pair.hosts[0].client(), &many(0, 0..250));
    delete(&mut pair.hosts[1].client(), &many(1, 0..250));
    assert_equal(&pair, &peers);
    assert_no_complaints(&peers);
}

fn flows_cross_over_ipv6() {
    let pair = Pair::new();
    for (host, address, interface) in [(0, "fd77::1/64", "sync0"), (1, "fd77::2/64", "sync1")] {
        pair.hosts[host].run(&format!("ip address add {address} dev {interface} nodad"));
    }
    let peers = pair.start_at("ftfw", ["fd77::1", "fd77::2"], false);
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), &many(side, 0..500));
    }
    assert_equal(&pair, &peers);
    assert_no_complaints(&peers);
}

fn many(side: u8, numbers: std::ops::Range<u16>) -> Vec<NewFlow> {
    let flow = |number: u16| {
        let client = SocketAddr::from(([10, 60 + side, 0, 10], 1024 + number));
        NewFlow::tcp(client, socket("198.51.100.10:80"), TcpState::ESTABLISHED).timeout(3000).mark(number.into())
    };
    numbers.map(flow).collect()
}

#[track_caller]
fn assert_equal(pair: &Pair, peers: &[Peer<'_>; 2]) {
    until_none(|| {
        [(0, 1), (1, 0)].into_iter().find_map(|(here, there)| {
            let (own, external) = (originals(&flows(&pair.hosts[here])), peers[there].external());
            let (missing, stale) = (own.difference(&external).count(), external.difference(&own).count());
            let text =
                || format!("equal tables: {missing} missing, {stale} stale on side {there}\n{}", peers[0].statistics());
            (missing + stale > 0).then(text)
        })
    });
}

/// 4,000 flows begin and 2,000 end on each side while datagrams are lost in both directions.
fn lossy_link(percent: u32) {
    let pair = Pair::new();
    let peers = pair.start("ftfw");
    for host in &pair.hosts {
        host.nft(&format!(
            "table inet loss {{ chain input {{ type filter hook input priority 0; \
             udp dport 3780 numgen random mod 100 < {percent} counter drop; }}; }}"
        ));
    }
    churn(&pair);
    assert_equal(&pair, &peers);
    let statistics = peers[0].statistics();
    assert!(statistics.contains("messages missing") && statistics.contains("messages sent again"), "{statistics}");
    assert_no_complaints(&peers);
}

fn churn(pair: &Pair) {
    let work: Vec<_> = (0..2)
        .map(|side| {
            pair.hosts[usize::from(side)].spawn(move || {
                let mut client = Client::open().unwrap();
                for step in 0..40 {
                    create(&mut client, &many(side, step * 100..(step + 1) * 100));
                    delete(&mut client, &many(side, step * 100..step * 100 + 50));
                    thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    work.into_iter().for_each(|side| side.join().unwrap());
}

/// A relay in the middle of the link repeats every tenth datagram and delays every tenth by 3 ms.
fn duplicates_and_reordering() {
    let pair = Pair { hosts: [host(), host()] };
    let ([a, b], middle) = (&pair.hosts, host());
    a.connect("sync0", "10.77.1.1/24", &middle, "left", "10.77.1.2/24");
    b.connect("sync1", "10.77.2.2/24", &middle, "right", "10.77.2.1/24");
    middle.spawn(relay).join().unwrap();
    let ours = End { host: a, interface: "sync0", address: "10.77.1.1", peer: "10.77.1.2" };
    let other = End { host: b, interface: "sync1", address: "10.77.2.2", peer: "10.77.2.1" };
    let peers = [Peer::start(Kind::Ours, &ours, "ftfw"), Peer::start(Kind::Conntrackd, &other, "ftfw")];
    until("the handshake", || peers.iter().all(Peer::is_up) && peers[0].statistics().starts_with("connected"));
    churn(&pair);
    assert_equal(&pair, &peers);
    let statistics = peers[0].statistics();
    assert!(statistics.contains("late or duplicate messages"), "{statistics}");
    assert_no_complaints(&peers);
}

/// Forwards between the two sides of its namespace, until the test ends.
fn relay() {
    let bind = |address: &str| UdpSocket::bind((address, 3780)).unwrap();
    let (left, right) = (bind("10.77.1.2"), bind("10.77.2.1"));
    let directions = [
        (left.try_clone().unwrap(), right.try_clone().unwrap(), socket("10.77.2.2:3780")),
        (right, left, socket("10.77.1.1:3780")),
    ];
    for (from, to, target) in directions {
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            for number in 0_u64.. {
                let Ok((length, _)) = from.recv_from(&mut buffer) else { return };
                let datagram = buffer[..length].to_vec();
                let _ = match number * 7 % 10 {
                    0 => to.send_to(&datagram, target).and_then(|_| to.send_to(&datagram, target)),
                    5 => {
                        let to = to.try_clone().unwrap();
                        thread::spawn(move || {
                            thread::sleep(Duration::from_millis(3));
                            let _ = to.send_to(&datagram, target);
                        });
                        Ok(0)
                    }
                    _ => to.send_to(&datagram, target),
                };
            }
        });
    }
}

fn restart_of_either_side_resynchronizes() {
    let pair = Pair::new();
    let mut peers = pair.start("ftfw");
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), &many(side, 0..1000));
    }
    assert_equal(&pair, &peers);

    peers[0].kill();
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), &many(side, 1000..1500));
    }
    // A flow of the peer that ends while this program is away is simply not in the table that the peer sends.
    delete(&mut pair.hosts[1].client(), &many(1, 0..100));
    peers[0].start_again();
    until("the program", || peers[0].is_up());
    assert_equal(&pair, &peers);

    peers[1].kill();
    for side in 0..2_u8 {
        create(&mut pair.hosts[usize::from(side)].client(), &many(side, 2000..2500));
    }
    delete(&mut pair.hosts[0].client(), &many(0, 0..100));
    // These go half a minute after the restart.
    delete(&mut pair.hosts[1].client(), &many(1, 200..300));
    peers[1].start_again();
    until("conntrackd", || peers[1].is_up());
    assert_equal(&pair, &peers);
    assert_no_complaints(&peers);
    assert!(peers[0].statistics().contains("restarts of the peer: 1"), "{}", peers[0].statistics());
}

fn datagrams_of_strangers_are_dropped() {
    let pair = Pair::new();
    let peers = pair.start("ftfw");
    pair.hosts[1].run("ip address add 10.77.0.3/24 dev sync1");
    // A keep-alive that also says hello, which would restart the exchange.
    let hello = [0x1a, 0x30, 0, 8, 0, 0, 0, 1];
    let send = move || UdpSocket::bind("10.77.0.3:0").unwrap().send_to(&hello, "10.77.0.1:3780").unwrap();
    pair.hosts[1].spawn(send).join().unwrap();
    until("the datagram", || peers[0].statistics().contains("datagrams from strangers, dropped: 1"));
    assert!(!peers[0].statistics().contains("restarts"), "{}", peers[0].statistics());
    peers[1].request_table();
    until("the link", || peers[0].statistics().contains("requests of the peer for this table"));
}
