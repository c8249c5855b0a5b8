//! Commands that change the table leave the same table.

use ctnetlink::{Flow, Protocol};
use nix::sys::signal::Signal;

use super::{
    events::Listener,
    scratch::Scratch,
    side_by_side::{Program, SideBySide, fill},
};
use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    changes_leave_the_same_table: "conntrack";
    saved_flows_load_in_both_programs: "conntrack";
    deleted_flows_are_saved_whole: "conntrack";
    saved_deletions_delete_again;
    unchanged_flows_are_not_updated: "conntrack";
    sctp_tags_mean_the_same_everywhere: "conntrack";
    offload_status_is_ignored: "conntrack";
}

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

fn saved_flows_load_in_both_programs(lab: &Lab) {
    let programs = SideBySide::new(lab);
    fill(lab);
    let before: Vec<String> = programs.table();
    let saved = programs.ours("-L -o save").stdout;
    let file = Scratch::new("save", &saved);
    for is_ours in [true, false] {
        lab.client().delete_all().unwrap();
        let line = format!("-R {}", file.0.display());
        let loaded = if is_ours { programs.ours(&line) } else { programs.theirs(&line) };
        assert_eq!(loaded.status, Some(0), "{loaded:?}");
        assert_eq!(programs.table(), before);
        let sctp = lab.flows().into_iter().find(|flow| flow.original.protocol == Protocol::SCTP).unwrap();
        let tags = sctp.protocol_info.unwrap();
        assert_eq!(tags.sctp().unwrap().verification_tag_original, Some(0x1234), "tags are saved and loaded unchanged");
    }
}

/// With `-A` instead of `-D`, both programs create the deleted flows again.
fn deleted_flows_are_saved_whole(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for program in [Program::Ours, Program::Theirs] {
        lab.client().delete_all().unwrap();
        fill(lab);
        let before = programs.table();
        let deleted = programs.ours("-D -o save");
        assert_eq!((deleted.stdout.lines().count(), lab.flows().len()), (before.len(), 0));
        let created: String = deleted.stdout.lines().map(|line| line.replacen("-D", "-A", 1) + "\n").collect();
        let file = Scratch::new("restored", &created);
        let loaded = programs.run(program, &format!("-R {}", file.0.display()));
        assert_eq!(loaded.status, Some(0), "{loaded:?}");
        assert_eq!(programs.table(), before);
    }
}

/// Timeouts and states have changed by then. Tuples, zones and marks have to match.
fn saved_deletions_delete_again(lab: &Lab) {
    let programs = SideBySide::new(lab);
    fill(lab);
    let saved = programs.ours("-D -o save").stdout;
    fill(lab);
    let [other_zone, other_mark] = [(Some(77), None), (None, Some(78))].map(|(zone, mark)| {
        let mut flow = udp_flow(1);
        (flow.zone, flow.mark) = (zone, mark);
        flow
    });
    lab.client().create(&other_zone).unwrap();
    lab.client().create(&other_mark).unwrap();
    assert_eq!(programs.ours("-U -p udp -t 777").status, Some(0));
    assert_eq!(programs.ours("-U -p tcp --sport 1000 --state LAST_ACK -u ASSURED").status, Some(0));
    let tuple = "-w 0 -s 10.1.0.1 -d 10.1.0.2 -r 10.1.0.2 -q 10.1.0.1 -p udp --sport 1 --dport 53 --reply-port-src 53 \
                 --reply-port-dst 1";
    let file = Scratch::new("deletions", &format!("{saved}-D -t 1 -u ASSURED -m 79 {tuple}\n"));
    let loaded = programs.ours(&format!("-R {}", file.0.display()));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    let left: Vec<Flow> = lab.flows();
    assert_eq!(left.len(), 2, "another zone and another mark are other flows: {left:?}");
}

fn unchanged_flows_are_not_updated(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for line in [
        "-U -f ipv4 -p tcp --dport 22 -m 5",
        "-U -f ipv4 -p tcp --dport 22 -m 1/1",
        "-U -f ipv4 -p tcp --dport 22 -u ASSURED",
        "-U -f ipv4 -p udp --sport 1000 --label-del",
    ] {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
        assert_eq!((ours.0.status, &*ours.0.message), (Some(1), "0 flow entries have been updated."), "{line}");
    }
    // Flows that are older than the listener cause no events.
    lab.client().delete_all().unwrap();
    let listener = Listener::start(&programs.ours, "-E -e UPDATES");
    fill(lab);
    assert_eq!(programs.ours("-U -p tcp --dport 22 --state ESTABLISHED -m 5").status, Some(1));
    // One of the three flows has the mark already.
    assert_eq!(programs.ours("-U -p tcp -m 5").message, "2 flow entries have been updated.");
    let (_, events, _) = listener.end(Signal::SIGINT);
    assert_eq!(events.len(), 2, "{events:?}");
}

/// On the command line and in files, by both programs, tags are the same numbers.
fn sctp_tags_mean_the_same_everywhere(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let new = "-t 300 -p sctp -s 10.9.0.1 -d 10.9.0.2 --sport 1 --dport 2 --state ESTABLISHED --orig-vtag 305419896 \
               --reply-vtag 7";
    let file = Scratch::new("tags", &format!("-A {new}\n"));
    let tags = |program, line: &str| {
        lab.client().delete_all().unwrap();
        assert_eq!(programs.run(program, line).status, Some(0), "{line}");
        lab.flows()[0].protocol_info
    };
    let load = format!("-R {}", file.0.display());
    let theirs = tags(Program::Theirs, &format!("-I {new}"));
    for (program, line) in
        [(Program::Ours, format!("-I {new}")), (Program::Ours, load.clone()), (Program::Theirs, load)]
    {
        assert_eq!(tags(program, &line), theirs, "{line}");
    }
    let saved = programs.ours("-L -o save").stdout;
    assert!(saved.contains(" --orig-vtag 305419896 --reply-vtag 7"), "{saved}");
    let matching = programs.ours(&new.replace("-t 300", "-D"));
    assert_eq!(matching.message, "1 flow entries have been deleted.");
}

/// The kernel ignores these bits of a new flow.
fn offload_status_is_ignored(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for bits in ["OFFLOAD", "HW_OFFLOAD,ASSURED"] {
        let line = format!("-I -t 300 -p udp -s 10.9.7.1 -d 10.9.7.2 --sport 1 --dport 2 -u {bits}");
        let [ours, theirs] = programs.both_on_a_full_table(&line);
        assert_eq!(ours, theirs, "ours and theirs: conntrack {line}");
        assert_eq!(ours.0.status, Some(0), "{line}");
    }
}
