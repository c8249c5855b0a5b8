//! Bugs of conntrack 1.4.7 that this program does not have, one test each.

use ctnetlink::{
    EventGroups, EventSocket, Flow, FlowUpdate, Labels, NewFlow, SctpInfo, SctpState, Status, Tuple, sysctl,
};
use nix::sys::signal::Signal;

use super::{
    events::Listener,
    listings::expect,
    scratch::Scratch,
    side_by_side::{SideBySide, fill},
};
use crate::{
    cases,
    lab::{Lab, until},
    samples::{endpoint, master, tcp_flow, udp_flow},
};

cases! {
    delete_by_unset_status_spares_others;
    set_and_unset_status_bits_combine;
    flush_of_a_family_spares_the_other;
    delete_by_timeout_spares_others;
    gre_keys_are_compared;
    translated_ipv6_address_is_compared;
    any_nat_combines_with_other_options;
    icmp_query_is_not_a_translated_port: "nft", "ip";
    zoned_flows_are_updated_and_shown;
    saved_update_events_of_zones_load;
    live_tcp_keeps_its_flags_in_an_update;
    lines_have_their_own_marks_and_labels: "nft";
    buffer_size_applies_to_events;
    expectations_of_both_families_are_listed;
    new_expectation_has_the_named_protocol;
    sctp_tags_survive_save_and_load;
    marks_and_translated_ports_are_saved: "nft";
    xml_has_sctp_states_and_icmp_types;
    xml_documents_are_closed;
    nothing_follows_an_element_of_an_event;
    dying_flows_are_filtered_by_prefix;
    event_without_a_mark_shows_none: "nft", "ip";
    doubtful_options_delete_nothing;
}

fn udp(source: u16) -> Tuple {
    Tuple::udp(endpoint("10.9.0.1", source), endpoint("10.9.0.2", 53))
}

fn delete_by_unset_status_spares_others(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for (option, is_left) in [
        ("UNREPLIED", |status| status & Status::SEEN_REPLY != Status::empty()),
        ("!ASSURED", |status| status & Status::ASSURED != Status::empty()),
        ("UNSET", |status| status & (Status::SEEN_REPLY | Status::FIXED_TIMEOUT) != Status::empty()),
    ] as [(&str, fn(Status) -> bool); 3]
    {
        lab.client().delete_all().unwrap();
        fill(lab);
        let left: Vec<Flow> = lab.flows().into_iter().filter(|flow| is_left(flow.status.unwrap())).collect();
        assert_eq!(programs.ours(&format!("-D -u {option}")).status, Some(0), "{option}");
        let tuples = |flows: Vec<Flow>| flows.iter().map(|flow| flow.original).collect::<Vec<_>>();
        assert!(!left.is_empty());
        assert_eq!(tuples(lab.flows()), tuples(left), "{option}");
    }
}

fn set_and_unset_status_bits_combine(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let expected = lab.flows().into_iter().map(|flow| flow.status.unwrap());
    let expected = expected.filter(|status| status.contains(Status::SEEN_REPLY) && !status.contains(Status::ASSURED));
    let listed = programs.ours("-L -u SEEN_REPLY,!ASSURED");
    assert_eq!(listed.message, format!("{} flow entries have been shown.", expected.count()));
    assert!(!listed.stdout.is_empty());
    assert!(programs.ours("-L -u UNSET").stdout.contains("[UNREPLIED]"));
}

fn flush_of_a_family_spares_the_other(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-F -f ipv6").message, "connection tracking table has been emptied.");
    assert!(!lab.flows().is_empty() && lab.flows().iter().all(|flow| flow.original.source.is_ipv4()));
}

fn delete_by_timeout_spares_others(lab: &Lab) {
    fill(lab);
    let all = lab.flows().len();
    let mut fixed = NewFlow::untranslated(udp(9), 77_000).unwrap();
    fixed.status = Status::FIXED_TIMEOUT;
    lab.client().create(&fixed).unwrap();
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-D -t 5").message, "0 flow entries have been deleted.");
    assert_eq!(lab.flows().len(), all + 1);
    // The timeout may change between the look and the deletion.
    until(|| programs.ours(&format!("-D -t {}", lab.flow(udp(9)).timeout.unwrap())).status == Some(0));
    assert_eq!(lab.flows().len(), all);
}

fn gre_keys_are_compared(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-L -p gre --srckey 16").message, "1 flow entries have been shown.");
    assert_eq!(programs.ours("-L -p gre --srckey 1").message, "0 flow entries have been shown.");
    assert_eq!(programs.ours("-U -p gre --dstkey 33 -m 3").message, "1 flow entries have been updated.");
    assert_eq!(programs.ours("-D -p gre --reply-key-src 33").message, "1 flow entries have been deleted.");
}

fn translated_ipv6_address_is_compared(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-L -f ipv6 -n fd09::9").message, "1 flow entries have been shown.");
    assert_eq!(programs.ours("-L -f ipv6 -n fd09::77").message, "0 flow entries have been shown.");
    assert_eq!(programs.ours("-D -n fd09::77").message, "0 flow entries have been deleted.");
}

fn any_nat_combines_with_other_options(lab: &Lab) {
    fill(lab);
    let listed = SideBySide::new(lab).ours("-L -p udp -j 10.9.0.9");
    assert_eq!(listed.message, "1 flow entries have been shown.");
    assert!(listed.stdout.contains("dst=10.9.0.9 sport=53 dport=77"), "{listed:?}");
}

fn icmp_query_is_not_a_translated_port(lab: &Lab) {
    lab.track_loopback();
    lab.ping("127.0.0.1".parse().unwrap());
    lab.ping("::1".parse().unwrap());
    assert_eq!(lab.flows().len(), 2);
    let programs = SideBySide::new(lab);
    for option in ["-n", "-g", "-j"] {
        assert_eq!(programs.ours(&format!("-L {option}")).message, "0 flow entries have been shown.", "{option}");
    }
}

fn zoned_flows_are_updated_and_shown(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let updated = programs.ours("-U -p udp -w 11 -m 44");
    assert_eq!((updated.status, &*updated.message), (Some(0), "1 flow entries have been updated."));
    assert!(updated.stdout.contains("mark=44 zone=11"), "{updated:?}");
    let got = programs.ours("-G -p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1003 --dport 53 -w 11");
    assert!(got.stdout.contains("mark=44 zone=11"), "{got:?}");
}

fn saved_update_events_of_zones_load(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e UPDATES -o save");
    let mut flow = udp_flow(1);
    flow.zone = Some(11);
    lab.client().create(&flow).unwrap();
    lab.client().update(&lab.flow(flow.original), &FlowUpdate::new().mark(7)).unwrap();
    let (_, lines, _) = listener.end(Signal::SIGINT);
    assert_eq!(lines.len(), 1);
    lab.client().delete_all().unwrap();
    let file = Scratch::new("zone", &lines[0]);
    assert_eq!(SideBySide::new(lab).ours(&format!("-R {}", file.0.display())).status, Some(0), "{lines:?}");
    let loaded = lab.flow(flow.original);
    assert_eq!((loaded.zone, loaded.mark), (Some(11), Some(7)));
}

fn live_tcp_keeps_its_flags_in_an_update(lab: &Lab) {
    lab.client().create(&plain_tcp()).unwrap();
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-U -p tcp -m 6").status, Some(0));
    let flow: Flow = lab.flow(plain_tcp().original);
    assert_eq!(flow.mark, Some(6));
    let flags = flow.protocol_info.unwrap().tcp().unwrap().flags_original.unwrap().flags;
    assert!(!flags.contains(ctnetlink::TcpFlags::BE_LIBERAL), "{flags}");
}

fn plain_tcp() -> NewFlow {
    NewFlow::untranslated(Tuple::tcp(endpoint("10.9.0.1", 1), endpoint("10.9.0.2", 2)), 600).unwrap()
}

fn lines_have_their_own_marks_and_labels(lab: &Lab) {
    lab.allow_labels();
    let programs = SideBySide::new(lab);
    let labels = Scratch::new("labels", "1 web\n2 \"mail\n3 voice over ip\n");
    let new = "-t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport";
    let file = Scratch::new(
        "marks",
        &format!(
            "# a comment\n\n-I {new} 1 --label-add web\n-I {new} 2 --label-add \"voice over ip\"\n-I {new} 3\n\
             -U -p udp --sport 1 -m 11 --label-add \"voice\\ over ip\"\n-U -p udp --sport 2 -m 12 --label-del\n-U -p udp --sport 3 -m 13\n\
             -I {new} 4\n-D -p udp --sport 4\n"
        ),
    );
    let loaded = programs.ours(&format!("-R {} --labelmap {}", file.0.display(), labels.0.display()));
    assert_eq!((loaded.status, &*loaded.message), (Some(0), "loaded 8 lines"));
    let listed = programs.ours(&format!("-L -o labels --labelmap {}", labels.0.display())).stdout;
    for (port, end) in [(1, "mark=11 use=1 labels=web,voice over ip"), (2, "mark=12 use=1"), (3, "mark=13 use=1")] {
        let line = listed.lines().find(|line| line.contains(&format!("sport={port} dport=53"))).unwrap();
        assert!(line.ends_with(end), "{line}");
    }
    assert_eq!(listed.lines().count(), 3);
    let with_label = programs.ours(&format!("-L -l web --labelmap {}", labels.0.display()));
    assert_eq!(with_label.message, "1 flow entries have been shown.");
}

fn buffer_size_applies_to_events(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -b 8000000");
    listener.signal(Signal::SIGSTOP);
    let mut client = lab.client();
    // More than the default buffer holds.
    for number in 1..=3000 {
        client.create(&udp_flow(number)).unwrap();
    }
    listener.signal(Signal::SIGCONT);
    let (status, lines, stderr) = listener.end(Signal::SIGINT);
    assert_eq!((status, lines.len()), (Some(0), 3000), "{stderr}");
    assert!(!stderr.contains("lost"), "{stderr}");
}

fn expectations_of_both_families_are_listed(lab: &Lab) {
    expect(lab, ["10.9.0.1", "10.9.0.2"], 1);
    expect(lab, ["fd09::1", "fd09::2"], 1);
    let programs = SideBySide::new(lab);
    assert_eq!(programs.ours("-L expect").message, "2 expectations have been shown.");
    assert_eq!(programs.ours("-C expect").stdout, "2\n");
    assert_eq!(programs.ours("-C expect -f ipv6").stdout, "1\n");
}

fn new_expectation_has_the_named_protocol(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let ports =
        "--sport 4001 --dport 21 --tuple-port-src 0 --tuple-port-dst 10280 --mask-port-src 0 --mask-port-dst 65535";
    let addresses = "-s 10.9.0.1 -d 10.9.0.2 --tuple-src 10.9.0.1 --tuple-dst 10.9.0.2 --mask-src 255.255.255.255 \
                     --mask-dst 255.255.255.255";
    let tuple = Tuple::tcp(endpoint("10.9.0.1", 4001), endpoint("10.9.0.2", 21));
    lab.client().create(&master(tuple)).unwrap();
    let created = programs.ours(&format!("-I expect -p tcp -t 100 {addresses} {ports}"));
    assert_eq!((created.status, &*created.message), (Some(0), "1 expectations have been created."));
    let listed = programs.ours("-L expect").stdout;
    assert!(listed.contains(" proto=6 src=10.9.0.1 dst=10.9.0.2 sport=0 dport=10280 "), "{listed}");
    // The kernel has no helper for SCTP, so the test reads the explanation.
    let explained = programs.ours(&format!("-I expect -p sctp -t 100 {addresses} {ports} --explain")).stdout;
    assert!(explained.contains(" proto=132 src=10.9.0.1 dst=10.9.0.2 sport=0 dport=10280 "), "{explained}");
}

fn sctp_tags_survive_save_and_load(lab: &Lab) {
    let new = "-p sctp -s 10.9.0.1 -d 10.9.0.2 --sport 1 --dport 2 -t 300 --state ESTABLISHED";
    let programs = SideBySide::new(lab);
    // Both programs write the bytes of a tag as a number of this machine.
    let tag = u32::from_ne_bytes(0x1234_5678_u32.to_be_bytes());
    let created = programs.ours(&format!("-I {new} --orig-vtag {tag:#x} --reply-vtag 4294967295"));
    assert_eq!(created.status, Some(0), "{created:?}");
    let info = SctpInfo::new(SctpState::ESTABLISHED, 0x1234_5678, u32::MAX);
    assert_eq!(lab.flows()[0].protocol_info, Some(info.into()));
    let file = Scratch::new("tags", &programs.ours("-L -o save").stdout);
    lab.client().delete_all().unwrap();
    assert_eq!(programs.ours(&format!("-R {}", file.0.display())).status, Some(0));
    assert_eq!(lab.flows()[0].protocol_info, Some(info.into()));
}

fn marks_and_translated_ports_are_saved(lab: &Lab) {
    lab.allow_labels();
    let programs = SideBySide::new(lab);
    let labels = Scratch::new("names", "1 web\n");
    let create = "-I -p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 53 -n 10.9.0.9:77 -t 300 -m 9 --label-add web";
    let created = programs.ours(&format!("{create} --labelmap {}", labels.0.display()));
    assert_eq!(created.status, Some(0), "{created:?}");
    let before = lab.flow(udp(1000));
    assert_eq!((before.mark, before.labels), (Some(9), Some(Labels(2))));
    let saved = programs.ours(&format!("-L -o save,labels --labelmap {}", labels.0.display()));
    assert_eq!(saved.status, Some(1), "{saved:?}");
    let file = Scratch::new("whole", &programs.ours("-L -o save").stdout);
    lab.client().delete_all().unwrap();
    assert_eq!(programs.ours(&format!("-R {}", file.0.display())).status, Some(0));
    let after = lab.flow(udp(1000));
    assert_eq!((after.mark, after.reply), (before.mark, before.reply));
}

fn xml_has_sctp_states_and_icmp_types(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let sctp = programs.ours("-L -p sctp -o xml").stdout;
    assert!(sctp.contains("<state>ESTABLISHED</state>"), "{sctp}");
    let icmp = programs.ours("-L -p icmp -o xml").stdout;
    assert!(icmp.contains("<type>8</type><code>0</code><id>77</id></layer4>"), "{icmp}");
}

fn xml_documents_are_closed(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    for line in [
        "-L -o xml",
        "-L dying -o xml",
        "-L unconfirmed -o xml",
        "-L -p 99 -o xml",
        "-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22 -o xml",
        "-U -p tcp -m 3 -o xml",
        "-D -p udp -o xml",
    ] {
        let document = programs.ours(line).stdout;
        assert!(
            document.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n"),
            "{line}: {document}"
        );
        assert!(document.ends_with("</conntrack>\n"), "{line}: {document}");
    }
    let document = programs.ours("-L expect -o xml").stdout;
    assert!(document.contains("<expect>\n") && document.ends_with("</expect>\n"), "{document}");
}

fn nothing_follows_an_element_of_an_event(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -o xml,userspace");
    lab.client().create(&tcp_flow(1)).unwrap();
    let (_, lines, _) = listener.end(Signal::SIGINT);
    assert!(lines[2].starts_with("<flow type=\"new\">") && lines[2].ends_with("</flow>"), "{lines:?}");
}

/// A reliable listener that does not read keeps ended flows on the dying list.
fn dying_flows_are_filtered_by_prefix(lab: &Lab) {
    let _listener = EventSocket::builder(EventGroups::DESTROY).reliable(true).receive_buffer(2048).open().unwrap();
    let mut client = lab.client();
    for number in 1..=100 {
        client.create(&udp_flow(number)).unwrap();
    }
    client.delete_all().unwrap();
    let programs = SideBySide::new(lab);
    let count = |line: &str| programs.ours(line).stdout.lines().count();
    assert!(count("-L dying -s 10.1.0.0/16") > 50);
    assert_eq!(count("-L dying -s 10.2.0.0/16"), 0);
    assert_eq!(count("-L unconfirmed -s 10.1.0.0/16"), 0);
}

/// The kernel omits a mark of 0 in events, and counters in all events but the last.
fn event_without_a_mark_shows_none(lab: &Lab) {
    lab.sysctl(sysctl::ACCOUNTING, 1);
    lab.track_loopback();
    let listener = Listener::start(&lab.example("conntrack"), "-E -p udp");
    lab.udp("127.0.0.1:0");
    lab.client().update(&lab.flows()[0], &FlowUpdate::new().mark(7)).unwrap();
    lab.client().delete_all().unwrap();
    let (_, lines, _) = listener.end(Signal::SIGINT);
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert!(first.contains("[NEW]") && !first.contains("mark=") && !first.contains("packets="), "{lines:?}");
    assert!(last.contains("[DESTROY]") && last.contains("mark=7") && last.contains("packets=1 "), "{lines:?}");
}

fn doubtful_options_delete_nothing(lab: &Lab) {
    let programs = SideBySide::new(lab);
    fill(lab);
    let all = lab.flows().len();
    for (line, status) in [
        ("-D -m 0/0", 2),
        ("-D -t 1", 1),
        ("-D -p gre --srckey 99", 1),
        ("-D -n 9.9.9.9", 1),
        ("-D --filter any", 2),
        ("-D -i 1", 1),
        ("-U -p udp", 2),
        ("-D -p udp --dport 65589", 2),
        ("-D --filter none", 1),
    ] {
        assert_eq!(programs.ours(line).status, Some(status), "{line}");
        assert_eq!(lab.flows().len(), all, "{line}");
    }
    let deleted = programs.ours("-D -u UNREPLIED -p tcp");
    assert_eq!(deleted.message, "1 flow entries have been deleted.");
    let unreplied = lab.flows().iter().filter(|flow| flow.has_seen_reply() == Some(false)).count();
    let deleted = programs.ours("-D -u UNREPLIED");
    assert_eq!(deleted.message, format!("{unreplied} flow entries have been deleted."));
    assert!(!lab.flows().is_empty() && lab.flows().iter().all(|flow| flow.has_seen_reply() == Some(true)));
}
