//! An accountant over a mirror, held to nft counters of the same packets.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

use ctnetlink::{
    AnyFlow, Client, Counters, EventGroups, EventSocket, Filter, Mirror, Protocol,
    accounting::{Accountant, TrafficReport},
    request::DumpFlows,
    sysctl,
};

use crate::{
    cases,
    churn::Dice,
    lab::{Lab, PATIENCE, until},
};

cases! {
    counted_traffic_equals_nft_counters: "ip", "nft";
    nothing_is_counted_twice_across_losses_and_restarts: "ip", "nft";
    zeroing_dumps_add_up_to_nft_counters: "ip", "nft";
    flows_without_counters_are_reported: "ip", "nft";
}

/// The hosts, each with an address of loopback. They send to the first address.
const HOSTS: [u8; 3] = [2, 3, 4];
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// So small that a burst of events does not fit.
const SMALL_BUFFER: usize = 50_000;
const LARGE_BUFFER: usize = 4 << 20;

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Packets and bytes of both directions, by host.
type Traffic = BTreeMap<IpAddr, [Counters; 2]>;

/// Brings up loopback, and counts the packets from and to each host.
fn prepare(lab: &Lab) {
    lab.run("ip", &["link", "set", "lo", "up"]);
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.sysctl(sysctl::EVENTS, 1);
    let mut rules = String::from("table ip truth {\n");
    let mut chain = String::from("chain output { type filter hook output priority 0; ct state invalid return;\n");
    for last in HOSTS {
        let address = host(last);
        rules += &format!("counter sent{last} {{ }}\ncounter received{last} {{ }}\n");
        chain += &format!("ip saddr {address} ip daddr {SERVER} counter name sent{last}\n");
        chain += &format!("ip saddr {SERVER} ip daddr {address} counter name received{last}\n");
    }
    lab.nft(&format!("{rules}{chain}}}\n}}"));
}

/// Reads the counters of nft.
fn truth(lab: &Lab) -> Traffic {
    let listing = lab.run("nft", &["list", "counters"]);
    let words: Vec<&str> = listing.split_whitespace().collect();
    let mut traffic = Traffic::new();
    for at in words.iter().enumerate().filter(|(_, word)| **word == "counter").map(|(at, _)| at) {
        let number = |offset: usize| words[at + offset].parse().unwrap();
        let counters = Counters::new(number(4), number(6));
        let (direction, last) = match words[at + 1].strip_prefix("sent") {
            Some(last) => (0, last),
            None => (1, words[at + 1].strip_prefix("received").unwrap()),
        };
        traffic.entry(host(last.parse().unwrap())).or_default()[direction] = counters;
    }
    assert_eq!(traffic.len(), HOSTS.len());
    traffic
}

fn since(now: &Traffic, before: &Traffic) -> Traffic {
    now.iter().map(|(host, now)| (*host, [now[0] - before[host][0], now[1] - before[host][1]])).collect()
}

fn add(sum: &mut Traffic, report: &TrafficReport<IpAddr>) {
    for (host, traffic) in &report.traffic {
        let sum = sum.entry(*host).or_default();
        sum[0] += traffic.original;
        sum[1] += traffic.reply;
    }
}

fn assert_at_most(counted: &Traffic, truth: &Traffic) {
    let exceeds = |one: Counters, other: Counters| one.packets > other.packets || one.bytes > other.bytes;
    for (host, counted) in counted {
        let passed = truth[host];
        let is_too_much = exceeds(counted[0], passed[0]) || exceeds(counted[1], passed[1]);
        assert!(!is_too_much, "{host}: counted {counted:?}, but {passed:?} passed");
    }
}

fn key(flow: &dyn AnyFlow) -> IpAddr {
    flow.original().source
}

struct Follower {
    mirror: Mirror,
    accountant: Accountant<IpAddr, fn(&dyn AnyFlow) -> IpAddr>,
}

impl Follower {
    fn new(receive_buffer: usize) -> Self {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(receive_buffer).open().unwrap();
        let mut mirror = Mirror::new(events, Client::open().unwrap()).unwrap();
        assert!(mirror.synchronize_within(PATIENCE).unwrap());
        let mut accountant = Accountant::new(key as fn(&dyn AnyFlow) -> IpAddr);
        accountant.read_table(mirror.table());
        Self { mirror, accountant }
    }

    fn follow(&mut self) {
        while let Some(change) = self.mirror.try_next().unwrap() {
            self.accountant.apply(&change);
        }
    }

    /// Audits the table and returns the report.
    fn report(&mut self) -> TrafficReport<IpAddr> {
        let (dumps, deadline) = (self.mirror.dumps(), Instant::now() + PATIENCE);
        self.mirror.audit();
        while self.mirror.dumps() == dumps || !self.mirror.table().is_synchronized() {
            self.follow();
            assert!(Instant::now() < deadline, "the mirror does not synchronize");
        }
        self.follow();
        self.accountant.read_table(self.mirror.table());
        self.accountant.take_report()
    }
}

/// Exchanges datagrams: as many answers as questions, of twice the size.
fn exchange(client: &UdpSocket, server: &UdpSocket, count: usize, size: usize) {
    let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let (data, mut buffer) = (vec![7; size * 2], vec![0; size * 2]);
    for _ in 0..count {
        client.send_to(&data[..size], there).unwrap();
        server.recv_from(&mut buffer).unwrap();
        server.send_to(&data, here).unwrap();
        client.recv_from(&mut buffer).unwrap();
    }
}

fn udp(last: u8) -> UdpSocket {
    UdpSocket::bind((host(last), 0)).unwrap()
}

/// Opens a TCP connection from a host.
fn tcp(last: u8) -> (TcpStream, TcpStream) {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
    let listener = TcpListener::bind((SERVER, 0)).unwrap();
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    bind(fd, &SockaddrStorage::from(SocketAddr::new(host(last), 0))).unwrap();
    connect(fd, &SockaddrStorage::from(listener.local_addr().unwrap())).unwrap();
    (TcpStream::from(socket), listener.accept().unwrap().0)
}

/// Sends bytes one way.
fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    let mut rest = bytes;
    let (data, mut buffer) = ([1; 4000], [0; 4000]);
    while rest > 0 {
        let length = rest.min(data.len());
        from.write_all(&data[..length]).unwrap();
        to.read_exact(&mut buffer[..length]).unwrap();
        rest -= length;
    }
}

/// Ends the UDP flows. A TCP flow could begin again in the other direction, with a late acknowledgement.
fn end_flows(client: &mut Client) {
    client.delete_matching(&Filter::protocol(Protocol::UDP)).unwrap();
}

fn counted_traffic_equals_nft_counters(lab: &Lab) {
    prepare(lab);
    let mut client = lab.client();
    let (server, old) = (udp(1), udp(2));
    // It began before the accountant: its first packets do not count.
    exchange(&old, &server, 5, 100);
    let mut follower = Follower::new(LARGE_BUFFER);
    assert_eq!(follower.accountant.take_report().losses.gaps, 1);
    let (before, mut counted) = (truth(lab), Traffic::new());
    let mut streams = [tcp(3), tcp(4)];
    for round in 0..8 {
        exchange(&old, &server, 20, 100 + round);
        for last in HOSTS {
            exchange(&udp(last), &server, 3, 50 * usize::from(last));
        }
        for (here, there) in &mut streams {
            transfer(here, there, 100_000);
            transfer(there, here, 300_000);
        }
        // The final counters come with the ends of the flows; the next packet begins a new flow.
        if round % 3 == 2 {
            end_flows(&mut client);
        }
        // An acknowledgement may come late.
        until(|| {
            let report = follower.report();
            assert!(report.is_exact(), "{}", report.losses);
            add(&mut counted, &report);
            let passed = since(&truth(lab), &before);
            assert_at_most(&counted, &passed);
            counted == passed
        });
    }
    assert_eq!(follower.mirror.overruns(), 0);
    assert!(counted[&host(3)][1].bytes > 2_400_000);
}

/// Traffic goes on while the accountant loses events and is replaced.
fn nothing_is_counted_twice_across_losses_and_restarts(lab: &Lab) {
    prepare(lab);
    let (mut client, server, old) = (lab.client(), udp(1), udp(2));
    let mut follower = Follower::new(SMALL_BUFFER);
    let (mut exact, mut lossy, mut dice) = (0, 0, Dice(3));
    let mut overruns = 0;
    follower.report();
    let mut before = truth(lab);
    for round in 0..60 {
        exchange(&old, &server, 10, 200);
        match round % 6 {
            // More events than the buffer holds: flows begin and end unseen.
            1 => {
                for _ in 0..150 {
                    exchange(&udp(HOSTS[dice.roll(3) as usize]), &server, 1, 30);
                }
                end_flows(&mut client);
                exchange(&old, &server, 10, 100);
            }
            // The same tuple again and again.
            2 => {
                for _ in 0..5 {
                    exchange(&old, &server, 2, 50);
                    end_flows(&mut client);
                    follower.follow();
                }
            }
            4 => {
                overruns += follower.mirror.overruns();
                follower = Follower::new(SMALL_BUFFER);
            }
            _ => {
                let fresh = udp(3);
                exchange(&fresh, &server, 5, 70);
                follower.follow();
                exchange(&fresh, &server, 5, 70);
            }
        }
        let report = follower.report();
        let mut counted = Traffic::new();
        add(&mut counted, &report);
        let now = truth(lab);
        let passed = since(&now, &before);
        before = now;
        assert_at_most(&counted, &passed);
        let is_whole = passed.iter().all(|(host, passed)| counted.get(host).copied().unwrap_or_default() == *passed);
        assert!(is_whole || !report.is_exact(), "round {round}: counted {counted:?} of {passed:?} without a loss");
        *(if report.is_exact() { &mut exact } else { &mut lossy }) += 1;
        // Losses are reported, but not where there are none.
        assert_eq!(report.is_exact(), !matches!(round % 6, 1 | 4), "round {round}: {}", report.losses);
    }
    assert_eq!((exact, lossy), (40, 20));
    assert!(overruns + follower.mirror.overruns() >= 5);
}

fn zeroing_dumps_add_up_to_nft_counters(lab: &Lab) {
    prepare(lab);
    let (mut client, server) = (lab.client(), udp(1));
    let mut accountant = Accountant::new(key as fn(&dyn AnyFlow) -> IpAddr);
    let sockets = HOSTS.map(udp);
    let (mut counted, mut before) = (Traffic::new(), Traffic::new());
    for round in 0..5 {
        for socket in &sockets {
            exchange(socket, &server, 10, 100);
        }
        accountant.read_zeroing_dump(client.dump_with(&DumpFlows::new().and_zero_counters()).unwrap()).unwrap();
        if round == 0 {
            before = truth(lab);
            accountant.take_report();
        }
        add(&mut counted, &accountant.take_report());
    }
    assert_eq!(counted, since(&truth(lab), &before));
    let bytes: Vec<u64> = client.dump().unwrap().map(|flow| flow.unwrap().total_counters().unwrap().bytes).collect();
    assert_eq!(bytes, [0; 3]);
}

fn flows_without_counters_are_reported(lab: &Lab) {
    prepare(lab);
    lab.sysctl(sysctl::ACCOUNTING, 0);
    let (server, socket) = (udp(1), udp(2));
    let mut follower = Follower::new(LARGE_BUFFER);
    follower.report();
    exchange(&socket, &server, 1, 100);
    // The flow was seen before the second dump, which shows that it has no counters.
    until(|| follower.report().losses.uncounted == 1);
    assert!(follower.report().is_exact());
    exchange(&udp(3), &server, 1, 100);
    end_flows(&mut lab.client());
    // The other flow was reported before.
    until(|| follower.report().losses.uncounted == 1);
}
