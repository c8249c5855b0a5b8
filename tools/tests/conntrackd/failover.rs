//! A download through one NAT gateway continues through its backup, although the backup's rules accept no packet of a
//! connection that it does not know.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{Status, TcpState};

use crate::{
    Test,
    network::{Namespace, until},
    peers::{End, Kind, Peer, flows, host},
};

pub const CASES: &[Test] = &[
    ("download_continues_after_failover_between_ours", || failover([Kind::Ours, Kind::Ours], 5)),
    ("download_continues_after_failover_from_conntrackd_to_ours", || failover([Kind::Conntrackd, Kind::Ours], 5)),
    ("download_continues_after_failover_from_ours_to_conntrackd", || failover([Kind::Ours, Kind::Conntrackd], 5)),
    ("download_stalls_without_a_commit", download_stalls_without_a_commit),
];

const BLOCK: usize = 1 << 16;
/// The longest time without data in which the backup has to take over.
const PAUSE: Duration = Duration::from_secs(2);

const RULES: &str = "
table ip gateway {
    counter invalid { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state invalid counter name invalid drop
        ct state established,related accept
        iifname lan oifname wan tcp flags syn ct state new accept
    }
    chain postrouting { type nat hook postrouting priority 100; oifname wan masquerade; }
}";

/// A client, a server, and two gateways between them: the first has the addresses that both use.
pub struct Network {
    pub client: Namespace,
    pub server: Namespace,
    pub gateways: [Namespace; 2],
    _switch: Namespace,
}

impl Network {
    pub fn new(rules: &str) -> Self {
        let [client, server, switch] = [host(), host(), host()];
        let gateways = [host(), host()];
        for bridge in ["lan", "wan"] {
            switch.run(&format!("ip link add {bridge} type bridge"));
            switch.run(&format!("ip link set {bridge} up"));
        }
        let plug = |host: &Namespace, interface: &str, address: &str, port: &str, bridge: &str| {
            host.connect(interface, address, &switch, port, "");
            switch.run(&format!("ip link set {port} master {bridge}"));
        };
        plug(&client, "lan", "10.60.0.10/24", "client", "lan");
        plug(&server, "wan", "198.51.100.10/24", "server", "wan");
        for (gateway, [lan, wan]) in gateways.iter().zip([["lan-a", "wan-a"], ["lan-b", "wan-b"]]) {
            plug(gateway, "lan", "", lan, "lan");
            plug(gateway, "wan", "", wan, "wan");
            gateway.sysctl("ipv4/ip_forward", 1);
            gateway.sysctl("netfilter/nf_conntrack_tcp_loose", 0);
            gateway.nft(rules);
        }
        gateways[0].connect("sync0", "10.77.0.1/24", &gateways[1], "sync1", "10.77.0.2/24");
        client.run("ip route add default via 10.60.0.1");
        Self { client, server, gateways, _switch: switch }
    }

    pub fn give_addresses_to(&self, gateway: usize) {
        let gateway = &self.gateways[gateway];
        gateway.run("ip address add 10.60.0.1/24 dev lan");
        gateway.run("ip address add 198.51.100.1/24 dev wan");
        // Stands for gratuitous ARP.
        self.client.run("ip neigh flush all");
        self.server.run("ip neigh flush all");
    }

    /// Starts both daemons, and gives the addresses to the first gateway.
    pub fn start(&self, kinds: [Kind; 2], expectations: bool) -> [Peer<'_>; 2] {
        let [a, b] = &self.gateways;
        self.give_addresses_to(0);
        let ends = [
            End { host: a, interface: "sync0", address: "10.77.0.1", peer: "10.77.0.2" },
            End { host: b, interface: "sync1", address: "10.77.0.2", peer: "10.77.0.1" },
        ];
        let start = |side: usize| Peer::start_with(kinds[side], &ends[side], "ftfw", expectations);
        let peers = [start(0), start(1)];
        until("both daemons", || peers.iter().all(Peer::is_up));
        peers
    }

    /// Cuts a gateway off, as if it had lost its power.
    pub fn cut_off(&self, gateway: usize) {
        for interface in ["lan", "wan", if gateway == 0 { "sync0" } else { "sync1" }] {
            self.gateways[gateway].run(&format!("ip link set {interface} down"));
        }
        for (address, interface) in [("10.60.0.1/24", "lan"), ("198.51.100.1/24", "wan")] {
            self.gateways[gateway].run(&format!("ip address del {address} dev {interface}"));
        }
    }

    /// Returns the packets that a gateway dropped as invalid.
    fn invalid(&self, gateway: usize) -> u64 {
        let text = self.gateways[gateway].run("nft list counters");
        let count = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        count.parse().unwrap()
    }
}

/// A download at full speed whose content is checked.
struct Download {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reader: thread::JoinHandle<Result<Duration, String>>,
}

impl Download {
    fn start(network: &Network) -> Self {
        let (bytes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (ready, is_ready) = std::sync::mpsc::channel();
        network.server.spawn(move || {
            let listener = TcpListener::bind("198.51.100.10:8080").unwrap();
            ready.send(()).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut block = pattern();
            for number in 0_u64.. {
                block[..8].copy_from_slice(&number.to_be_bytes());
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        });
        is_ready.recv().unwrap();
        let (count, stopped) = (Arc::clone(&bytes), Arc::clone(&stop));
        let reader = network.client.spawn(move || read(&count, &stopped));
        Self { bytes, stop, reader }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the download and returns its longest pause.
    fn finish(self) -> Result<Duration, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.join().expect("no panic of the reader")
    }
}

fn pattern() -> Vec<u8> {
    (0..BLOCK).map(|place| (place * 7 % 251) as u8).collect()
}

fn read(count: &AtomicU64, stop: &AtomicBool) -> Result<Duration, String> {
    let mut stream = TcpStream::connect("198.51.100.10:8080").map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    let (mut expected, mut block) = (pattern(), vec![0; BLOCK]);
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        stream.read_exact(&mut block).map_err(|error| format!("after {number} blocks: {error}"))?;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        expected[..8].copy_from_slice(&number.to_be_bytes());
        if block != expected {
            return Err(format!("block {number} is damaged"));
        }
        count.fetch_add(BLOCK as u64, Ordering::Relaxed);
    }
    Ok(longest)
}

/// Starts both daemons and a download through the first gateway, and waits until the second knows of it.
fn prepare<'n>(network: &'n Network, kinds: [Kind; 2]) -> ([Peer<'n>; 2], Download) {
    let peers = network.start(kinds, false);
    let download = Download::start(network);
    until("the download", || download.bytes() > 50 << 20);
    until("the backup knows the flow", || peers[1].external().iter().any(|flow| flow.ends_with(" 8080")));
    (peers, download)
}

fn failover(kinds: [Kind; 2], runs: u32) {
    for number in 1..=runs {
        let network = Network::new(RULES);
        let (mut peers, download) = prepare(&network, kinds);
        peers[0].kill();
        network.cut_off(0);

        let report = peers[1].commit();
        let flows = flows(&network.gateways[1]);
        let flow = flows.iter().find(|flow| flow.original.destination_port() == Some(8080)).expect(&report);
        assert_eq!(flow.tcp_state(), Some(TcpState::ESTABLISHED));
        assert!(flow.status.unwrap().contains(Status::ASSURED | Status::SRC_NAT), "{flow}");
        assert_eq!(flow.snat().unwrap().address.to_string(), "198.51.100.1");
        network.give_addresses_to(1);

        let before = download.bytes();
        until("the download goes on", || download.bytes() > before + (50 << 20) || download.reader.is_finished());
        let pause = download.finish().unwrap_or_else(|error| panic!("run {number} of {runs}: {error}"));
        let invalid = network.invalid(1);
        println!("failover {kinds:?} run {number}: pause {pause:.2?}, {invalid} invalid packets");
        assert!(pause < PAUSE, "run {number} of {runs}: a pause of {pause:?}");
    }
}

/// Without a commit, the rules of the backup stop the download, as the other cases assume.
fn download_stalls_without_a_commit() {
    let network = Network::new(RULES);
    let (mut peers, download) = prepare(&network, [Kind::Ours, Kind::Ours]);
    peers[0].kill();
    network.cut_off(0);
    network.give_addresses_to(1);
    until("the download fails", || download.reader.is_finished());
    let error = download.finish().unwrap_err();
    assert!(error.starts_with("after"), "{error}");
    assert!(network.invalid(1) > 0);
}
