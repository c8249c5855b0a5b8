//! `ipfix` between a live kernel and real collectors, in network namespaces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/ipfix_decoder.rs"]
mod decoder;
#[path = "support/network.rs"]
mod network;
#[path = "support/traffic.rs"]
mod traffic;

use std::{
    collections::HashSet,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use cases::Case;
use ctnetlink::{Client, Counters, Filter, FlowKey, Layer4, NewFlow, Protocol, Tuple, proc::Line, request::DeleteFlow};
use decoder::{Decoder, Record};
use network::{Folder, Namespace, Program, command, nft, run, sysctl, until, until_bound};
use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt::RcvBufForce},
};
use serde_json::Value;
use traffic::{ping, tcp, udp};

const PEERS: &[&str] = &["ip", "nft", "conntrack", "nfcapd", "nfdump", "nfacctd", "tshark"];
const KERNEL: &[&str] = &["ip", "nft"];

const CASES: [Case; 4] = [
    ("records_equal_the_events_of_conntrack", PEERS, records_equal_the_events_of_conntrack),
    ("restarted_collector_understands_after_the_template_interval", PEERS, restarted_collector_understands),
    ("twenty_thousand_events_a_second_are_not_lost", KERNEL, twenty_thousand_events_a_second_are_not_lost),
    ("every_event_is_exported_or_counted_as_lost", KERNEL, every_event_is_exported_or_counted_as_lost),
];

fn main() -> ExitCode {
    cases::run(2, CASES)
}

const NFCAPD: u16 = 9995;
const NFACCTD: u16 = 9996;
/// The collector of the test itself.
const OWN: u16 = 9997;

/// A gateway in the namespace of this thread, which translates between a client and a server.
struct Gateway {
    client: Namespace,
    server: Namespace,
}

impl Gateway {
    fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        for (link, peer, four, six) in
            [("inside", &client, "192.168.1", "fd00:1"), ("outside", &server, "198.51.100", "2001:db8")]
        {
            run(&format!("ip link add {link} type veth peer name eth0 netns {}", peer.path()));
            let host = if link == "inside" { "10" } else { "80" };
            let configure = |device: &str, host: &str| {
                run(&format!("ip address add {four}.{host}/24 dev {device}"));
                run(&format!("ip address add {six}::{host}/64 dev {device} nodad"));
                run(&format!("ip link set {device} up"));
            };
            configure(link, "1");
            peer.inside(|| {
                configure("eth0", host);
                run(&format!("ip route add default via {four}.1"));
                run(&format!("ip -6 route add default via {six}::1"));
            });
        }
        sysctl("ipv4/ip_forward", 1);
        sysctl("ipv6/conf/all/forwarding", 1);
        sysctl("netfilter/nf_conntrack_acct", 1);
        sysctl("netfilter/nf_conntrack_timestamp", 1);
        // Flows end soon.
        for name in [
            "tcp_timeout_time_wait",
            "tcp_timeout_close",
            "udp_timeout",
            "udp_timeout_stream",
            "icmp_timeout",
            "icmpv6_timeout",
        ] {
            sysctl(&format!("netfilter/nf_conntrack_{name}"), 1);
        }
        nft("table inet gateway {
            chain collectors { type filter hook output priority raw; udp dport 9995-9997 notrack; }
            chain zones { type filter hook prerouting priority raw; udp dport 5007 ct zone set 7; udp sport 5007 ct zone set 7; }
            chain inbound { type nat hook prerouting priority dstnat; iifname outside tcp dport 8080 dnat ip to 192.168.1.10:80; }
            chain outbound { type nat hook postrouting priority srcnat;
                oifname outside meta l4proto udp masquerade to :20000-29999; oifname outside masquerade; }
        }");
        // The neighbors are known before the first packet counts.
        thread::sleep(Duration::from_millis(100));
        Self { client, server }
    }

    /// Sends traffic of every kind.
    fn traffic(&self) -> impl Sized {
        let (client, server) = (&self.client, &self.server);
        drop(tcp(client, server, ["198.51.100.80:80"; 2], [5_000, 70_000]));
        drop(tcp(server, client, ["192.168.1.10:80", "198.51.100.1:8080"], [300, 2_000]));
        udp(client, server, ["198.51.100.80:53"; 2], 3, 100);
        udp(client, server, ["198.51.100.80:5007"; 2], 2, 40);
        udp(client, server, ["[2001:db8::80]:53"; 2], 4, 60);
        ping(client, "198.51.100.80");
        ping(client, "2001:db8::80");
        // Without translation.
        ping(client, "192.168.1.1");
        // These stay open.
        [
            tcp(client, server, ["198.51.100.80:443"; 2], [1, 1]),
            tcp(client, server, ["[2001:db8::80]:443"; 2], [900, 1_000]),
        ]
    }

    /// Ends all flows: open connections are deleted, the others expire.
    fn end_flows(&self) {
        let mut client = Client::open().unwrap();
        client.delete_matching(&Filter::any_port(443)).unwrap();
        until("the end of all flows", || client.dump().unwrap().count() == 0);
    }
}

fn ipfix(arguments: &[&str]) -> Program {
    let mut exporter = command(env!("CARGO_BIN_EXE_ipfix"));
    let mut program = Program::start(exporter.args(arguments).stderr(Stdio::piped()));
    program.until_says("exporting");
    program
}

/// A record in the terms of all witnesses. Numbers are 0 and addresses `None` if a record does not have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    /// 4 for the begin and 5 for the end of a translation, 0 for the end of another flow.
    event: u64,
    protocol: u64,
    addresses: [IpAddr; 2],
    ports: [u64; 2],
    translated: [Option<IpAddr>; 2],
    translated_ports: [u64; 2],
    zone: u64,
    /// Bytes and packets of both directions.
    counters: [u64; 4],
    reason: u64,
}

impl Session {
    /// Reads a line that conntrack(8) printed. Returns `None` for the begin of a flow without translation.
    fn of_conntrack(line: &str) -> Option<Self> {
        let flow = Line::parse(line.as_bytes()).unwrap();
        let (original, reply) = (flow.original(), flow.reply());
        let ends = line.contains("[DESTROY]");
        // The addresses that belong to the other side differ.
        let is_translated = original.source != reply.destination || original.destination != reply.source;
        let icmp_id = |tuple: Tuple| match tuple.layer4 {
            Layer4::Icmp { id, .. } => Some([u64::from(id), 0]),
            _ => None,
        };
        let port = |port: Option<u16>| u64::from(port.unwrap_or(0));
        let ports =
            icmp_id(original).unwrap_or_else(|| [port(original.source_port()), port(original.destination_port())]);
        let translated_ports =
            icmp_id(reply).unwrap_or_else(|| [port(reply.destination_port()), port(reply.source_port())]);
        let counters = |counters: Option<Counters>| counters.unwrap_or_default();
        let (forward, backward) = (counters(flow.counters_original()), counters(flow.counters_reply()));
        let reason = match line {
            line if line.contains("[USERSPACE]") => 4,
            line if line.contains("TIME_WAIT") => 3,
            _ => 1,
        };
        (ends || is_translated).then(|| Self {
            event: if !is_translated {
                0
            } else if ends {
                5
            } else {
                4
            },
            protocol: original.protocol.0.into(),
            addresses: [original.source, original.destination],
            ports,
            translated: [reply.destination, reply.source].map(|address| is_translated.then_some(address)),
            translated_ports: if is_translated { translated_ports } else { [0; 2] },
            zone: flow.zone().unwrap_or(0).into(),
            counters: [forward.bytes, forward.packets, backward.bytes, backward.packets],
            reason: if ends { reason } else { 0 },
        })
    }

    fn of_record(record: &Record) -> Self {
        let value = |element| record.values.get(&(0, element)).copied();
        let number = |element| value(element).unwrap_or(0) as u64;
        let address = |four, six| {
            value(four)
                .map(|bits| Ipv4Addr::from(bits as u32).into())
                .or(value(six).map(|bits| Ipv6Addr::from(bits).into()))
        };
        let counter = |enterprise, element| record.values.get(&(enterprise, element)).copied().unwrap_or(0) as u64;
        Self {
            event: number(230),
            protocol: number(4),
            addresses: [address(8, 27).unwrap(), address(12, 28).unwrap()],
            ports: [number(7), number(11)],
            translated: [address(225, 281), address(226, 282)],
            translated_ports: [number(227), number(228)],
            zone: number(234),
            counters: [counter(0, 1), counter(0, 2), counter(29305, 1), counter(29305, 2)],
            reason: number(136),
        }
    }

    /// Reads an object that nfdump printed.
    fn of_nfdump(record: &Value) -> Self {
        let number = |name: &str| json_number(&record[name]);
        let address = |four: &str, six: &str| {
            let text = record[four].as_str().or(record[six].as_str());
            text.map(|text| text.parse().unwrap())
        };
        Self {
            event: number("nat_event_id"),
            protocol: number("proto"),
            addresses: [address("src4_addr", "src6_addr").unwrap(), address("dst4_addr", "dst6_addr").unwrap()],
            ports: [number("src_port"), number("dst_port")],
            translated: [address("src4_xlt_ip", ""), address("dst4_xlt_ip", "")],
            translated_ports: [number("src_xlt_port"), number("dst_xlt_port")],
            zone: number("ingress_vrf"),
            counters: ["in_bytes", "in_packets", "out_bytes", "out_packets"].map(number),
            reason: 0,
        }
    }

    /// Returns the part that nfdump stores and prints as JSON: no translated IPv6 addresses, no ports of ICMP, no reason.
    fn in_nfdump(mut self) -> Self {
        let [source, _] = self.addresses;
        if source.is_ipv6() {
            self.translated = [None; 2];
        }
        if matches!(self.protocol, 1 | 58) {
            self.ports = [0; 2];
        }
        Self { reason: 0, ..self }
    }

    /// Reads an object that nfacctd printed.
    fn of_nfacctd(record: &Value) -> Self {
        let number = |name: &str| json_number(&record[name]);
        let text = |name: &str| record[name].as_str().unwrap();
        let address = |name: &str| text(name).parse().unwrap();
        let (event, protocol) = (number("nat_event"), text("ip_proto"));
        let translations = match (event, number("nat_type")) {
            (0, _) => [None; 2],
            (_, 5) => ["nat_src6", "nat_dst6"].map(|name| Some(address(name))),
            (_, _) => ["post_nat_ip_src", "post_nat_ip_dst"].map(|name| Some(address(name))),
        };
        Self {
            event,
            protocol: match protocol {
                "ipv6-icmp" => 58,
                name => name.parse::<Protocol>().unwrap().0.into(),
            },
            addresses: [address("ip_src"), address("ip_dst")],
            ports: [number("port_src"), number("port_dst")],
            translated: translations,
            translated_ports: ["post_nat_port_src", "post_nat_port_dst"].map(number),
            zone: number("ivrf"),
            counters: ["fwd_bytes", "fwd_packets", "rev_bytes", "rev_packets"].map(number),
            reason: number("end_reason"),
        }
    }
}

/// A number, which may be printed as text. Absent numbers are 0.
fn json_number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        number => number.as_u64().unwrap_or(0),
    }
}

fn sorted(sessions: impl IntoIterator<Item = Session>) -> Vec<Session> {
    let mut sessions: Vec<Session> = sessions.into_iter().collect();
    sessions.sort();
    sessions
}

/// Decodes the messages that wait in a socket.
fn receive(socket: &UdpSocket, decoder: &mut Decoder, mut keep: impl FnMut(&[u8])) {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 9000];
    while let Ok(length) = socket.recv(&mut buffer) {
        decoder.message(&buffer[..length]);
        keep(&buffer[..length]);
    }
}

fn records_equal_the_events_of_conntrack() {
    let folder = Folder::new();
    let gateway = Gateway::new();
    let (nfcapd, nfacctd) = (start_nfcapd(folder.path()), start_nfacctd(folder.path()));
    let own = UdpSocket::bind(("127.0.0.1", OWN)).unwrap();
    let log = folder.path().join("events");
    let watch = ["-E", "-e", "NEW,DESTROY", "-o", "extended,id"];
    let mut conntrack = command("conntrack");
    conntrack.args(watch).stdout(File::create(&log).unwrap()).stderr(Stdio::null());
    let conntrack = Program::start(&mut conntrack);
    network::until_listening(1);
    let exporter = ipfix(&["127.0.0.1:9995", "127.0.0.1:9996", "127.0.0.1:9997"]);
    let open = gateway.traffic();
    gateway.end_flows();
    drop(open);
    let expected = || {
        let log = fs::read_to_string(&log).unwrap();
        sorted(log.lines().filter_map(Session::of_conntrack))
    };
    until("all events", || expected().len() >= 19);
    let summary = exporter.finish();
    conntrack.stop(Signal::SIGINT);
    let expected = expected();
    assert_eq!(expected.len(), 19, "{expected:#?}");
    assert!(summary.contains("exported 19 records") && !summary.contains("lost"), "{summary}");

    let (mut decoder, mut file) = (Decoder::default(), Vec::new());
    receive(&own, &mut decoder, |message| file.extend_from_slice(message));
    assert_eq!(sorted(decoder.records.iter().map(Session::of_record)), expected);

    let output = folder.path().join("nat.json");
    let printed = || {
        let text = fs::read_to_string(&output).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    until("the output of nfacctd", || printed().len() >= 19);
    nfacctd.stop(Signal::SIGINT);
    assert_eq!(sorted(printed().iter().map(Session::of_nfacctd)), expected);

    nfcapd.stop(Signal::SIGTERM);
    let in_nfdump = sorted(expected.into_iter().map(Session::in_nfdump));
    assert_eq!(sorted(stored(folder.path()).iter().map(Session::of_nfdump).map(Session::in_nfdump)), in_nfdump);

    check_with_tshark(&folder.path().join("messages.ipfix"), &file, 19);
}

/// Returns what nfcapd has stored.
fn stored(folder: &Path) -> Vec<Value> {
    let json = run(&format!("nfdump -o json -R {}", folder.join("nfcapd").display()));
    serde_json::from_str::<Vec<Value>>(&json).unwrap()
}

/// Messages in a row are an IPFIX file (RFC 5655), which tshark reads.
fn check_with_tshark(path: &Path, messages: &[u8], records: usize) {
    fs::write(path, messages).unwrap();
    let read = format!("tshark -r {} -T fields", path.display());
    assert_eq!(run(&format!("{read} -e _ws.malformed -e _ws.expert.message")).trim(), "");
    // Each record has a begin; a message has several records.
    let begins = run(&format!("{read} -e cflow.abstimestart"));
    assert_eq!(begins.matches("UTC").count(), records, "{begins}");
}

fn restarted_collector_understands() {
    let gateway = Gateway::new();
    let own = UdpSocket::bind(("127.0.0.1", OWN)).unwrap();
    let mut decoder = Decoder::default();
    let first = Folder::new();
    let nfcapd = start_nfcapd(first.path());
    let exporter = ipfix(&["--template-interval", "1", "127.0.0.1:9995", "127.0.0.1:9997"]);
    let mut begin_flow = |port: u16| {
        let target = format!("198.51.100.80:{port}");
        udp(&gateway.client, &gateway.server, [&target; 2], 1, 10);
        until("the record", || {
            receive(&own, &mut decoder, |_| ());
            decoder.records.iter().any(|record| record.values[&(0, 11)] == u128::from(port))
        });
        decoder.template_messages
    };
    begin_flow(53);
    nfcapd.stop(Signal::SIGTERM);
    // Nobody listens: the exporter goes on.
    begin_flow(54);
    let second = Folder::new();
    let nfcapd = start_nfcapd(second.path());
    let templates = begin_flow(55);
    until("the next templates", || begin_flow(56) > templates);
    begin_flow(57);
    let summary = exporter.finish();
    nfcapd.stop(Signal::SIGTERM);
    let begins = |folder: &Folder| {
        let sessions: Vec<Session> = stored(folder.path()).iter().map(Session::of_nfdump).collect();
        sessions.iter().filter(|session| session.event == 4).map(|session| session.ports[1]).collect::<Vec<_>>()
    };
    assert_eq!(begins(&first), [53], "{summary}");
    let second = begins(&second);
    assert!(!second.contains(&54) && second.contains(&57), "{second:?}, {summary}");
    assert!(summary.contains("failed"), "{summary}");
}

/// A flow with a translated source.
fn translated(number: u32) -> NewFlow {
    let source = Ipv4Addr::from(0x0a00_0000 + number / 50_000);
    let port = 1_000 + (number % 50_000) as u16;
    let flow = NewFlow::udp((source, port).into(), ([198, 51, 100, 80], 53).into()).timeout(600);
    flow.snat(SocketAddr::from(([198, 51, 100, 1], port)))
}

/// Creates flows and deletes them: two events for each.
fn create_and_delete(client: &mut Client, numbers: std::ops::Range<u32>) {
    let mut batch = client.batch();
    for number in numbers.clone() {
        batch.push(&translated(number)).unwrap();
    }
    for number in numbers {
        batch.push(&DeleteFlow::new(FlowKey::original(translated(number).original))).unwrap();
    }
    let report = batch.finish().unwrap();
    assert_eq!(report.succeeded(), report.operations(), "{report:?}");
}

/// A collector with room for a burst, in a namespace whose table translates.
fn large_collector() -> UdpSocket {
    nft("table ip t { chain c { type nat hook postrouting priority srcnat; }; }");
    let collector = UdpSocket::bind(("127.0.0.1", OWN)).unwrap();
    setsockopt(&collector, RcvBufForce, &(64 << 20)).unwrap();
    collector
}

fn twenty_thousand_events_a_second_are_not_lost() {
    const STEP: u32 = 100;
    const SECONDS: u32 = 5;
    let collector = large_collector();
    let exporter = ipfix(&["127.0.0.1:9997"]);
    let mut client = Client::open().unwrap();
    let (begin, before) = (Instant::now(), exporter.usage());
    let steps = SECONDS * 100;
    for step in 0..steps {
        create_and_delete(&mut client, step * STEP..(step + 1) * STEP);
        let planned = begin + Duration::from_millis(10) * (step + 1);
        thread::sleep(planned.saturating_duration_since(Instant::now()));
    }
    let (elapsed, events) = (begin.elapsed(), steps * STEP * 2);
    let mut decoder = Decoder { next_sequence: Some(0), ..Decoder::default() };
    until("the last record", || {
        receive(&collector, &mut decoder, |_| ());
        decoder.records.len() >= events as usize
    });
    let usage = exporter.usage();
    let summary = exporter.finish();
    receive(&collector, &mut decoder, |_| ());
    assert_eq!(decoder.records.len(), events as usize, "{summary}");
    assert!(!summary.contains("lost") && !summary.contains("failed"), "{summary}");
    let ids: HashSet<u128> = decoder.records.iter().map(|record| record.values[&(0, 7)]).collect();
    assert_eq!(ids.len(), 50_000);
    eprintln!(
        "{:.0} events a second, {:.1} ms of processor time for 10,000 events, {} KiB",
        f64::from(events) / elapsed.as_secs_f64(),
        (usage.processor - before.processor).as_secs_f64() * 1e7 / f64::from(events),
        usage.peak_memory,
    );
}

fn every_event_is_exported_or_counted_as_lost() {
    let collector = large_collector();
    let exporter = ipfix(&["--receive-buffer", "64", "127.0.0.1:9997"]);
    let mut client = Client::open().unwrap();
    create_and_delete(&mut client, 0..10);
    // More than the buffer holds.
    exporter.signal(Signal::SIGSTOP);
    create_and_delete(&mut client, 0..2_000);
    exporter.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(1500));
    create_and_delete(&mut client, 0..10);
    let summary = exporter.finish();
    let mut decoder = Decoder { next_sequence: Some(0), ..Decoder::default() };
    receive(&collector, &mut decoder, |_| ());
    let (statistics, sessions): (Vec<Record>, Vec<Record>) =
        decoder.records.into_iter().partition(|record| record.template == 264);
    let lost = |record: &Record| record.values[&(0, 166)] as usize;
    let last = lost(statistics.last().unwrap());
    // It was reported at once, not only at the end.
    assert!(statistics.len() >= 2 && lost(&statistics[0]) == last && last > 3_000, "{statistics:?}");
    assert_eq!(sessions.len() + last, 2 * 2_020, "{summary}");
    assert!(summary.contains(&format!("{last} events lost")), "{summary}");
}

fn start_nfcapd(folder: &Path) -> Program {
    let store = folder.join("nfcapd");
    fs::create_dir_all(&store).unwrap();
    let mut nfcapd = command("nfcapd");
    nfcapd.args(["-4", "-b", "127.0.0.1", "-p", &NFCAPD.to_string(), "-t", "300", "-w"]).arg(&store);
    let program = Program::start(nfcapd.stdout(Stdio::null()).stderr(Stdio::null()));
    until_bound(NFCAPD);
    program
}

const PRIMITIVES: &str = "\
name=obs_time field_type=323 len=8 semantics=u_int
name=nat_type field_type=297 len=1 semantics=u_int
name=nat_src6 field_type=281 len=16 semantics=ip
name=nat_dst6 field_type=282 len=16 semantics=ip
name=ivrf field_type=234 len=4 semantics=u_int
name=flow_id field_type=148 len=8 semantics=u_int
name=end_reason field_type=136 len=1 semantics=u_int
name=fwd_bytes field_type=1 len=8 semantics=u_int
name=fwd_packets field_type=2 len=8 semantics=u_int
name=rev_bytes field_type=29305:1 len=8 semantics=u_int
name=rev_packets field_type=29305:2 len=8 semantics=u_int
";

fn start_nfacctd(folder: &Path) -> Program {
    let place = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(place("primitives.lst"), PRIMITIVES).unwrap();
    let configuration = format!(
        "nfacctd_ip: 127.0.0.1\nnfacctd_port: {NFACCTD}\nnfacctd_time_new: true\naggregate_primitives: {}\nplugins: print[nat]\n\
         print_output[nat]: json\nprint_output_file[nat]: {}\nprint_output_file_append[nat]: true\nprint_refresh_time[nat]: 1\n\
         aggregate[nat]: src_host, dst_host, src_port, dst_port, proto, post_nat_src_host, post_nat_dst_host, \
         post_nat_src_port, post_nat_dst_port, nat_event, timestamp_start, timestamp_end, obs_time, nat_type, nat_src6, nat_dst6, ivrf, \
         flow_id, end_reason, fwd_bytes, fwd_packets, rev_bytes, rev_packets\n",
        place("primitives.lst"),
        place("nat.json"),
    );
    fs::write(place("nfacctd.conf"), configuration).unwrap();
    let mut nfacctd = command("nfacctd");
    let program =
        Program::start(nfacctd.args(["-f", &place("nfacctd.conf")]).stdout(Stdio::null()).stderr(Stdio::null()));
    until_bound(NFACCTD);
    program
}
