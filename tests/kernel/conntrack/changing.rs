//! Commands that change the table leave the same.

use ctnetlink::Protocol;

use super::{
    scratch::Scratch,
    side_by_side::{SideBySide, fill},
};
use crate::{cases, lab::Lab};

cases! {
    changes_leave_the_same_table: "conntrack";
    what_is_saved_loads_the_same: "conntrack";
    what_differs_differs_as_it_says: "conntrack";
}

/// What differs from 1.4.7 on purpose: a command line on the table of [`fill`], what comes of ours, and why.
struct Difference {
    line: &'static str,
    status: i32,
    /// The count, or the complaint.
    message: &'static str,
    reason: &'static str,
}

const fn succeeds(line: &'static str, message: &'static str, reason: &'static str) -> Difference {
    Difference { line, status: 0, message, reason }
}

const fn finds_nothing(line: &'static str, message: &'static str, reason: &'static str) -> Difference {
    Difference { line, status: 1, message, reason }
}

const fn refused(line: &'static str, message: &'static str, reason: &'static str) -> Difference {
    Difference { line, status: 2, message, reason }
}

const DIFFERENT: &[Difference] = &[
    refused("-L -p udp --dport 70000", "Invalid port `70000'", "a port that is none is refused, not cut to 16 bits"),
    refused("-L -p udp --dport 53abc", "Invalid port `53abc'", "a number is read whole, or refused"),
    refused("-L -m abc", "Invalid mark `abc'", "a mark that is no number is refused, not 0"),
    refused("-L -w 70000", "Invalid zone `70000'", "a zone that is none is refused, not cut to 16 bits"),
    refused("-L -s 10.9.0.1/", "Invalid netmask", "a prefix without a length is refused"),
    refused("-L -s 10.9", "Invalid IP address `10.9'", "an address is written whole"),
    refused("-L -m -1", "Invalid mark `-1'", "a mark that is none is refused, not taken for another"),
    refused("-L -i 1x", "Invalid id `1x'", "a number is read whole, or refused"),
    succeeds(
        "-L -u UNSET",
        "13 flow entries have been shown.",
        "1.4.7 asks the kernel with an empty mask, which refuses",
    ),
    succeeds(
        "-L -u SEEN_REPLY,!ASSURED",
        "2 flow entries have been shown.",
        "1.4.7 drops the bits that are to be set beside one that is not",
    ),
    succeeds(
        "-L -u SRC_NAT",
        "2 flow entries have been shown.",
        "a bit like any other; 1.4.7 drops it, and asks with an empty mask",
    ),
    succeeds("-L -p gre --srckey 99", "0 flow entries have been shown.", "1.4.7 does not look at keys"),
    succeeds(
        "-L -f ipv6 -n fd09::77",
        "0 flow entries have been shown.",
        "1.4.7 does not look at a translated IPv6 address",
    ),
    succeeds(
        "-L -p udp -j 10.9.0.9",
        "1 flow entries have been shown.",
        "1.4.7 takes the address for the source as well, and finds nothing",
    ),
    succeeds(
        "-L -p icmp -o xml",
        "1 flow entries have been shown.",
        "`<layer4>` of ICMP says type, code and identifier",
    ),
    succeeds("-L -p sctp -o xml", "1 flow entries have been shown.", "states of SCTP are those of SCTP"),
    succeeds("-L -o save -m 5", "1 flow entries have been shown.", "marks are saved"),
    succeeds(
        "-L --orig-zone 11",
        "1 flow entries have been shown.",
        "a zone of both directions is one of this direction",
    ),
    refused(
        "-L -z -n",
        "Can't use -z with filtering parameters",
        "1.4.7 zeroes the counters of all flows and lists some",
    ),
    succeeds("-D -u UNREPLIED", "14 flow entries have been deleted.", "1.4.7 deletes every flow"),
    succeeds("-D -u !ASSURED", "16 flow entries have been deleted.", "1.4.7 deletes every flow"),
    finds_nothing("-D -t 1", "0 flow entries have been deleted.", "1.4.7 deletes every flow"),
    finds_nothing("-D -p gre --srckey 99", "0 flow entries have been deleted.", "1.4.7 deletes every GRE flow"),
    refused(
        "-D -m 0/0",
        "every flow fits these options: to mean all of them, give none",
        "options that select everything are a mistake",
    ),
    succeeds("-D -p udp -o xml", "7 flow entries have been deleted.", "the document has a beginning and an end"),
    succeeds(
        "-D -p udp -o save",
        "7 flow entries have been deleted.",
        "a line that deletes names the flow, and nothing that changes in its life",
    ),
    succeeds(
        "-U -m 6",
        "17 flow entries have been updated.",
        "1.4.7 cannot print the flow again without a family, and fails",
    ),
    succeeds(
        "-U -p udp -f ipv4 -m 6",
        "5 flow entries have been updated.",
        "every updated flow is printed, and flows in zones are updated",
    ),
    refused(
        "-U",
        "there is nothing to change: give `--mark', `--timeout', `--status' or labels",
        "there is nothing to change",
    ),
    refused(
        "-U -p tcp",
        "there is nothing to change: give `--mark', `--timeout', `--status' or labels",
        "there is nothing to change",
    ),
    succeeds("-F -f ipv6", "connection tracking table has been emptied.", "1.4.7 flushes both families"),
    succeeds(
        "-G -p udp -r 10.9.0.2 -q 10.9.0.1 --reply-port-src 53 --reply-port-dst 1000",
        "1 flow entries have been shown.",
        "1.4.7 cannot ask by the reply",
    ),
    succeeds(
        "-A -p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 53 -t 77",
        "1 flow entries have been added.",
        "as of 1.4.8, it updates what is there",
    ),
    succeeds(
        "-I -p udp -s 10.9.9.1 -d 10.9.9.2 --sport 1 --dport 2 --reply-port-src 3 -t 77",
        "1 flow entries have been created.",
        "1.4.7 mirrors over it",
    ),
    succeeds(
        "-I -p udp -s 10.9.9.1 -d 10.9.9.2 -r 10.9.9.8 -q 10.9.9.1 --sport 1 --dport 2 -t 77",
        "1 flow entries have been created.",
        "ports are mirrored, not 0",
    ),
    refused(
        "-I -p udp -s 10.9.9.1 -d 10.9.9.2 --sport 1 --dport 2 -t x",
        "Invalid timeout `x'",
        "a timeout that is no number is refused",
    ),
    succeeds("-L -o xml -p 77", "0 flow entries have been shown.", "a document of nothing is one too"),
    succeeds(
        "-L -u ASSURED -u SEEN_REPLY",
        "1 flow entries have been shown.",
        "1.4.7 holds both against the mask of the last, and finds nothing",
    ),
    refused(
        "-L -s 10.9.0.0 --mask-src 255.0.255.0",
        "Invalid netmask: the bits of a mask must be its first",
        "a mask with holes is no network, and more likely a mistake",
    ),
    refused(
        "-U -f ipv4 -p tcp -m 0x10/0x1",
        "Invalid mark: it has bits that its mask leaves alone",
        "bits that the mask leaves alone are a mistake, not flipped",
    ),
    refused(
        "-I -p udp -s 10.9.9.1 -d 10.9.9.2 --sport 1 --dport 2 -t 77 -n",
        "option `--src-nat' requires an argument with this command",
        "a translation to nowhere is refused",
    ),
    succeeds("-L -w 0", "15 flow entries have been shown.", "flows with a zone in one direction are not in zone 0"),
];

fn changes_leave_the_same_table(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let new = "-s 10.9.7.1 -d 10.9.7.2 -t 3000";
    let new6 = "-s fd07::1 -d fd07::2 -t 3000";
    let lines = [
        "-D",
        "-D -p tcp",
        "-D -p udp --dport 53",
        "-D -p udp -w 11",
        "-D -s 10.9.0.1 -f ipv4",
        "-D -f ipv6",
        "-D -m 5",
        "-D -m 4/4",
        "-D -p 99",
        "-D -p tcp --dport 99",
        "-D -n",
        "-D -g",
        "-D -n 10.9.0.9",
        "-D -u ASSURED",
        "-D -d 10.9.0.0/30",
        "-D -i 1",
        "-D -p tcp --state TIME_WAIT -o extended",
        "-D -p icmp",
        "-D --orig-zone 12",
        "-F",
        "-F conntrack",
        "-U -f ipv4 -p tcp --dport 22 -m 9",
        "-U -f ipv4 -p tcp --dport 22 -m 8/8",
        "-U -s 10.9.0.1 -p tcp --dport 22 -t 500",
        "-U -s 10.9.0.1 -p udp --sport 1000 -u ASSURED",
        "-U -f ipv6 -p icmpv6 -m 3",
        "-U -f ipv4 -p tcp --dport 99 -m 1",
        "-U -f ipv4 -p tcp --dport 22 -m 9 -o id,extended",
    ]
    .map(str::to_owned);
    let created = [
        format!("-I {new} -p tcp --sport 1 --dport 2 --state SYN_SENT"),
        format!("-I {new} -p tcp --sport 1 --dport 2 --state TIME_WAIT -u ASSURED,SEEN_REPLY -m 7 -w 3"),
        format!("-I {new} -p tcp --sport 1 --dport 2 --state LISTEN -u FIXED_TIMEOUT"),
        format!("-I {new} -p udp --sport 1 --dport 2 -n 10.9.7.9"),
        format!("-I {new} -p udp --sport 1 --dport 2 -n 10.9.7.9:99"),
        format!("-I {new} -p udp --sport 1 --dport 2 -g 10.9.7.8:98 --orig-zone 4"),
        format!("-I {new} -p udp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 1 -r 10.9.7.8 -q 10.9.7.1"),
        format!("-I {new} -p udp --sport 1 --dport 2 -u SRC_NAT"),
        format!("-I {new} -p udp --sport 1 --dport 2 -u EXPECTED"),
        "-I -t 3000 -p udp -r 10.9.7.2 -q 10.9.7.1 --reply-port-src 2 --reply-port-dst 1".to_owned(),
        format!("-I {new6} -p udp --sport 1 --dport 2 -n [fd07::9]:99"),
        format!("-A {new6} -p udp --sport 1 --dport 2 -m 1"),
        format!("-I {new} -p icmp --icmp-type 8 --icmp-code 0"),
        format!("-I {new} -p icmp --icmp-type 3 --icmp-code 0"),
        format!("-I {new6} -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 9"),
        format!("-I {new6} -p icmp --icmp-type 8 --icmp-code 0"),
        format!("-I {new} -p icmpv6 --icmpv6-type 128 --icmpv6-code 0"),
        format!("-I {new} -p gre --srckey 0x10 --dstkey 17"),
        format!("-I {new} -p 50"),
        format!("-I {new} -p udplite --sport 1 --dport 2"),
        format!("-I {new} -p dccp --sport 1 --dport 2 --state OPEN --role client"),
        "-I -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22 --state NONE -t 9".to_owned(),
    ];
    for line in lines.iter().chain(&created) {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
    }
}

fn what_is_saved_loads_the_same(lab: &Lab) {
    let programs = SideBySide::new(lab);
    fill(lab);
    // An SCTP tag is not read the same by 1.4.7, which turns its bytes round in both directions.
    let before: Vec<String> = programs.table();
    let saved = programs.ours("-L -o save").stdout;
    let file = Scratch::new("save", &saved);
    for is_ours in [true, false] {
        lab.client().flush().unwrap();
        let line = format!("-R {}", file.0.display());
        let loaded = if is_ours { programs.ours(&line) } else { programs.theirs(&line) };
        assert_eq!(loaded.status, Some(0), "{loaded:?}");
        assert_eq!(programs.table(), before);
        let sctp = lab.flows().into_iter().find(|flow| flow.original.protocol == Protocol::SCTP).unwrap();
        let tags = sctp.protocol_info.unwrap();
        assert_eq!(tags.sctp().unwrap().verification_tag_original, Some(0x1234), "tags are saved and loaded unchanged");
    }
}

fn what_differs_differs_as_it_says(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for Difference { line, status, message, reason } in DIFFERENT {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!((ours.0.status, &*ours.0.message), (Some(*status), *message), "{reason}: conntrack {line}");
        assert_ne!(ours, theirs, "no more different ({reason}): conntrack {line}");
    }
}
