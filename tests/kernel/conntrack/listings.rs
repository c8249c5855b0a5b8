//! Commands that change nothing print the same as conntrack(8).

use ctnetlink::{Tuple, sysctl};

use super::side_by_side::{SideBySide, fill};
use crate::{
    cases,
    lab::Lab,
    samples::{create, endpoint, expectation, master, tcp_flow},
};

cases! {
    lists_are_equal: "conntrack";
    lists_of_real_traffic_are_equal: "conntrack", "nft", "ip";
    single_flows_are_equal: "conntrack";
    counts_and_statistics_are_equal: "conntrack";
    expectation_commands_are_equal: "conntrack";
    port_filter_runs_in_the_kernel: "strace";
}

fn lists_are_equal(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    fill(lab);
    let programs = SideBySide::new(lab);
    let filters = [
        "",
        "-p tcp",
        "-p TCP",
        "-p 6",
        "-p 0x6",
        "-p udp",
        "-p icmp",
        "-p icmpv6",
        "-p ipv6-icmp",
        "-p gre",
        "-p 50",
        "-p esp",
        "-p sctp",
        "-p udplite",
        "-p dccp",
        "-s 10.9.0.1",
        "-s 10.9.0.2",
        "-d 10.9.0.2",
        "-d 10.9.0.3",
        "-s 10.9.0.0/16",
        "-s 10.9.0.0 --mask-src 255.255.255.252",
        "-d 10.9.0.3/32",
        "-d fd09::/64",
        "-s fd09::1",
        "-r 10.9.0.8",
        "-q 10.9.0.9",
        "-q fd09::9",
        "-r 10.9.0.2 -q 10.9.0.1",
        "-p tcp --sport 1000",
        "-p tcp --dport 80",
        "-p udp --dport 53",
        "-p udp --orig-port-dst 53",
        "-p udp --reply-port-src 53",
        "-p udp --reply-port-dst 77",
        "-p udp --reply-port-d 77",
        "-p tcp --sport 1001 --dport 80",
        "-f ipv4",
        "-f ipv6",
        "-m 5",
        "-m 0x5",
        "-m 0",
        "-m 4/4",
        "-m 4/5",
        "-m 05",
        "-u ASSURED",
        "-u SEEN_REPLY",
        "-u assured",
        "-u SE",
        "-u ASSURED,SEEN_REPLY",
        "-u FIXED_TIMEOUT",
        "-u UNREPLIED",
        "-u !ASSURED",
        "-u OFFLOAD",
        "-w 11",
        "-w 12",
        "--zone 13",
        "--orig-zone 12",
        "-n",
        "-g",
        "-j",
        "-n -p udp",
        "-g -p udp",
        "-j -f ipv4",
        "-n 10.9.0.9",
        "-f ipv4 -n10.9.0.9",
        "-f ipv4 --src-nat=10.9.0.9",
        "-n 10.9.0.9:77",
        "-n 10.9.0.9:78",
        "-g 10.9.0.8",
        "-j 10.9.0.9",
        "-n -g",
        "-p tcp --state ESTABLISHED",
        "-p tcp --state TIME_WAIT",
        "-p tcp --state LISTEN",
        "-p sctp --state ESTABLISHED",
        "-p icmp --icmp-type 8",
        "-p icmp --icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-p icmp --icmp-id 78",
        "-p icmpv6 --icmpv6-type 128",
        "-p gre --srckey 16",
        "-a 1.2.3.4",
        "conntrack",
        "con",
        "-p tcp more words",
        "-p udp -- -D",
    ];
    for filter in filters {
        // conntrack(8) ignores keys and would list both GRE flows.
        if filter != "-p gre --srckey 16" {
            programs.same(&format!("-L {filter}"));
            programs.same(&format!("stray -L {filter} -o extended,id"));
        }
        // For ICMP and SCTP the documents differ.
        if filter.starts_with("-p tcp") || filter.starts_with("-p udp") || filter == "-p gre" {
            let line = format!("-L {filter} -o xml");
            // conntrack(8) prints no document without flows.
            if !programs.theirs(&line).stdout.is_empty() {
                programs.same(&line);
            }
        }
    }
    for output in ["extended", "ext", "id", "ID,Ext", "timestamp", "ktimestamp", "userspace", "labels"] {
        programs.same(&format!("-L -o {output}"));
    }
    // Without marks and translated ports, both save the same.
    for filter in ["-p tcp -m 0", "-p udp --sport 1000", "-p udp -w 12", "-p icmp", "-p icmpv6", "-p gre", "-p udplite"]
    {
        programs.same(&format!("-L {filter} -o save"));
    }
    for table in ["dying", "unconfirmed"] {
        programs.same(&format!("-L {table}"));
    }
    programs.same("-L -z");
    programs.same("-L -z -f ipv4");
}

fn lists_of_real_traffic_are_equal(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.sysctl(sysctl::TIMESTAMP, 1);
    lab.track_loopback();
    lab.nft("table inet zones { chain raw { type filter hook output priority raw; udp dport 5001 ct zone set 11; }; }");
    let _connections = [lab.tcp("127.0.0.1:0"), lab.tcp("[::1]:0")];
    for address in ["127.0.0.1:0", "127.0.0.1:5353", "[::1]:0"] {
        lab.udp(address);
    }
    lab.ping("127.0.0.1".parse().unwrap());
    lab.ping("::1".parse().unwrap());
    let programs = SideBySide::new(lab);
    assert!(lab.flows().len() >= 7, "{:#?}", lab.flows());
    for line in [
        "-L",
        "-L -o extended",
        "-L -o id",
        "-L -o extended,id,ktimestamp",
        "-L -p tcp -o xml",
        "-L -p tcp -o xml,ktimestamp",
        "-L -p udp -o save",
        "-L -p tcp -o save",
        "-L -p tcp",
        "-L -s 127.0.0.1",
        "-L -s ::1",
        "-L -f ipv6",
        "-L -u ASSURED",
        "-L -n",
        "-C",
        "-S",
    ] {
        // conntrack(8) takes ICMP types for translated ports.
        if line != "-L -n" {
            programs.same(line);
        }
    }
    assert_eq!(programs.ours("-L -n").message, "0 flow entries have been shown.");
}

fn single_flows_are_equal(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    for line in [
        "-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22",
        "-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22 -o extended,id",
        "-G -p udp -s fd09::1 -d fd09::2 --sport 1000 --dport 53",
        "-G -p icmp -s 10.9.0.1 -d 10.9.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-G -p gre -s 10.9.0.1 -d 10.9.0.2 --srckey 16 --dstkey 32",
        "-G -p 50 -s 10.9.0.1 -d 10.9.0.2",
    ] {
        programs.same(line);
    }
    // Refusals have other words.
    for line in [
        "-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 23",
        "-G -p tcp -s 1.1.1.1 -d 2.2.2.2 --sport 1 --dport 2",
    ] {
        assert_eq!(programs.ours(line).timeless(), programs.theirs(line).timeless(), "{line}");
    }
    let by_reply = programs.ours("-G -p udp -r 10.9.0.2 -q 10.9.0.9 --reply-port-src 53 --reply-port-dst 77");
    assert!(by_reply.stdout.contains("sport=1001 dport=53"), "{by_reply:?}");
}

fn counts_and_statistics_are_equal(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in ["-C", "-S", "-C expect", "-S expect", "-C con", "--count", "--stats", "-L expect", "-L e"] {
        programs.same(line);
    }
    fill(lab);
    programs.same("-C");
    programs.same("-S");
}

/// Creates a master between the addresses, and an expectation of it.
pub fn expect(lab: &Lab, addresses: [&str; 2], port: u16) {
    let [source, destination] = addresses;
    let tuple = Tuple::tcp(endpoint(source, 4000 + port), endpoint(destination, 21));
    lab.client().create(&master(tuple)).unwrap();
    lab.client().create_expectation(&expectation(tuple, 5000 + port)).unwrap();
}

fn expectation_commands_are_equal(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for port in 1..=3 {
        expect(lab, ["10.9.0.1", "10.9.0.2"], port);
    }
    let named = "-p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 0 --reply-port-src 0 --reply-port-dst 0 --dport";
    for line in ["-L expect", "-L exp -f ipv4", "-L expect -o xml", "-C expect", "-S expect"] {
        programs.same(line);
    }
    // conntrack(8) counts listed expectations, but not one that is shown by `-G`.
    let (ours, theirs) =
        (programs.ours(&format!("-G expect {named} 5001")), programs.theirs(&format!("-G expect {named} 5001")));
    assert_eq!((ours.status, ours.timeless().stdout), (theirs.status, theirs.timeless().stdout));
    // Each program deletes one. conntrack(8) reports a failure all the same.
    let (ours, theirs) =
        (programs.ours(&format!("-D expect {named} 5001")), programs.theirs(&format!("-D expect {named} 5002")));
    assert_eq!((ours.status, &*ours.message), (Some(0), "1 expectations have been deleted."));
    assert_eq!((theirs.status, &*theirs.message), (Some(1), "0 expectations have been shown."));
    assert_eq!(programs.ours("-C expect").stdout, "1\n");
    programs.same("-L expect");
    for command in ["-G", "-D"] {
        let line = format!("{command} expect {named} 5009");
        assert_eq!(programs.ours(&line).timeless(), programs.theirs(&line).timeless(), "{line}");
    }
    // conntrack(8) lists and counts only IPv4 by default.
    expect(lab, ["fd09::1", "fd09::2"], 1);
    // On big-endian machines, it lists both with `-f`.
    if cfg!(target_endian = "little") {
        programs.same("-L expect -f ipv4");
        programs.same("-L expect -f ipv6");
    }
    assert_eq!(programs.ours("-C expect").stdout, "2\n");
    assert_eq!(programs.theirs("-C expect").stdout, "1\n");
    assert_eq!(programs.ours("-C expect -f ipv6").stdout, "1\n");
    // The protocol number is that of TCP, not the low byte of a port.
    let created = programs.ours(
        "-I expect -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 4001 --dport 21 -t 100 --tuple-src 10.9.0.1 --tuple-dst 10.9.0.2 \
         --tuple-port-src 0 --tuple-port-dst 10280 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --mask-port-src 0 \
         --mask-port-dst 65535",
    );
    assert_eq!((created.status, &*created.message), (Some(0), "1 expectations have been created."));
    assert!(programs.ours("-L expect").stdout.contains(" proto=6 src=10.9.0.1 dst=10.9.0.2 sport=0 dport=10280 "));
    programs.same("-F expect");
    programs.same("-L expect");
}

/// One of 5,017 flows matches. The others do not reach the program.
fn port_filter_runs_in_the_kernel(lab: &Lab) {
    create(&mut lab.client(), (1..=5000).map(tcp_flow));
    fill(lab);
    let ours = lab.example("conntrack");
    let receives = |line: &str| {
        let mut words = vec!["-f", "-e", "trace=recvfrom,recvmsg", &*ours];
        words.extend(line.split(' '));
        let traced = String::from_utf8_lossy(&lab.output("strace", &words).stderr).into_owned();
        traced.lines().filter(|line| line.contains("recv")).count()
    };
    let (filtered, all) = (receives("-L -p tcp --dport 22"), receives("-L"));
    assert!(all > 30 && filtered * 3 < all, "{filtered} receives of {all}");
    let listed = SideBySide::new(lab).ours("-L -p tcp --dport 22");
    assert_eq!(listed.message, "1 flow entries have been shown.");
}
