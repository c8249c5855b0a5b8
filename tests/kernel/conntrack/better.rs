//! What conntrack 1.4.7 gets wrong.

use ctnetlink::{Flow, Tuple, request::NewFlow};

use super::bench::{Bench, Result, fill};
use crate::{
    cases,
    lab::{Lab, endpoint},
};

cases! {
    flows_in_a_zone_are_updated_and_got;
    live_tcp_keeps_its_flags_in_an_update;
    options_that_mean_nothing_delete_nothing;
    a_flush_of_a_family_leaves_the_other;
    xml_documents_are_closed;
    filters_select_for_every_command;
    explaining_asks_nothing_of_the_kernel;
    explaining_by_probe_says_what_it_knows_from_where;
    a_closed_pipe_ends_quietly;
    memory_does_not_grow_with_the_table;
}

fn flows_in_a_zone_are_updated_and_got(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    let updated = bench.ours("-U -p udp -w 11 -m 44");
    assert_eq!((updated.status, &*updated.message), (Some(0), "1 flow entries have been updated."));
    assert!(updated.stdout.contains("mark=44 zone=11"), "{updated:?}");
    let got = bench.ours("-G -p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1003 --dport 53 -w 11");
    assert!(got.stdout.contains("mark=44 zone=11"), "{got:?}");
}

fn live_tcp_keeps_its_flags_in_an_update(lab: &Lab) {
    lab.client().create(&plain_tcp()).unwrap();
    let bench = Bench::new(lab);
    assert_eq!(bench.ours("-U -p tcp -m 6").status, Some(0));
    let flow: Flow = lab.flow(plain_tcp().original);
    assert_eq!(flow.mark, Some(6));
    let flags = flow.protocol_info.unwrap().tcp().unwrap().flags_original.unwrap().flags;
    assert!(!flags.contains(ctnetlink::TcpFlags::BE_LIBERAL), "{flags}");
}

fn plain_tcp() -> NewFlow {
    NewFlow::untranslated(Tuple::tcp(endpoint("10.9.0.1", 1), endpoint("10.9.0.2", 2)), 600).unwrap()
}

fn options_that_mean_nothing_delete_nothing(lab: &Lab) {
    let bench = Bench::new(lab);
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
        assert_eq!(bench.ours(line).status, Some(status), "{line}");
        assert_eq!(lab.flows().len(), all, "{line}");
    }
    let deleted = bench.ours("-D -u UNREPLIED -p tcp");
    assert_eq!(deleted.message, "1 flow entries have been deleted.");
    let unreplied = lab.flows().iter().filter(|flow| flow.has_seen_reply() == Some(false)).count();
    let deleted = bench.ours("-D -u UNREPLIED");
    assert_eq!(deleted.message, format!("{unreplied} flow entries have been deleted."));
    assert!(!lab.flows().is_empty() && lab.flows().iter().all(|flow| flow.has_seen_reply() == Some(true)));
}

fn a_flush_of_a_family_leaves_the_other(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    assert_eq!(bench.ours("-F -f ipv6").message, "connection tracking table has been emptied.");
    assert!(!lab.flows().is_empty() && lab.flows().iter().all(|flow| flow.original.source.is_ipv4()));
}

fn xml_documents_are_closed(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    for line in [
        "-L -o xml",
        "-L dying -o xml",
        "-L unconfirmed -o xml",
        "-L -p 99 -o xml",
        "-G -p tcp -s 10.9.0.1 -d 10.9.0.2 --sport 1000 --dport 22 -o xml",
        "-U -p tcp -m 3 -o xml",
        "-D -p udp -o xml",
    ] {
        let document = bench.ours(line).stdout;
        assert!(
            document.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n"),
            "{line}: {document}"
        );
        assert!(document.ends_with("</conntrack>\n"), "{line}: {document}");
    }
    let document = bench.ours("-L expect -o xml").stdout;
    assert!(document.contains("<expect>\n") && document.ends_with("</expect>\n"), "{document}");
}

fn filters_select_for_every_command(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    let run = |arguments: &[&str]| Result::of(&lab.output(&bench.ours, arguments));
    let filter = "proto udp and (sport 1000-1001 or zone 11)";
    let expected = "5 flow entries have been";
    assert_eq!(run(&["-L", "--filter", filter]).message, format!("{expected} shown."));
    assert_eq!(run(&["-U", "--filter", filter, "-m", "99"]).message, format!("{expected} updated."));
    assert_eq!(run(&["-D", "--filter", filter]).message, format!("{expected} deleted."));
    let refused = run(&["-L", "--filter", "dport"]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.message.starts_with("Invalid filter: column 6: "), "{refused:?}");
}

fn explaining_asks_nothing_of_the_kernel(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    let before = bench.table();
    for (line, said) in [
        ("-L -p tcp --dport 22 --explain", "filter: proto tcp and dport 22"),
        ("-D -p tcp --explain", "dump: "),
        ("-D -p tcp --explain", " by its release, and not asked\n"),
        ("-D --explain", "filter: any"),
        ("-U -p tcp -m 3 --explain", "update: "),
        ("-F --explain", "flush: every flow"),
        ("-F -f ipv6 --explain", "flush: every flow of ipv6"),
        ("-I -p udp -s 1.1.1.1 -d 2.2.2.2 --sport 1 --dport 2 -t 9 --explain", "create: "),
    ] {
        lab.without_capabilities(|| {
            let explained = bench.ours(line);
            assert_eq!(explained.status, Some(0), "{line}: {explained:?}");
            assert!(explained.stdout.contains(said), "{line}: {explained:?}");
        });
    }
    assert_eq!(bench.table(), before);
}

fn explaining_by_probe_says_what_it_knows_from_where(lab: &Lab) {
    fill(lab);
    let bench = Bench::new(lab);
    let before = bench.table();
    let explained = bench.ours("-D -p tcp --explain=probe");
    assert_eq!(explained.status, Some(0));
    assert!(explained.stdout.contains("\nkernel: as it answered\ndump: "), "{explained:?}");
    assert_eq!(bench.table(), before);
    lab.without_capabilities(|| {
        let explained = bench.ours("-D -p tcp --explain=probe");
        assert_eq!(explained.status, Some(0));
        assert!(explained.stdout.contains(" by its release; it could not be asked: "), "{explained:?}");
    });
    assert_eq!(bench.ours("-D -p tcp --explain=all").status, Some(2));
    // What follows is no argument of it.
    assert_eq!(bench.ours("-L --explain probe").stdout, bench.ours("-L --explain").stdout);
}

fn a_closed_pipe_ends_quietly(lab: &Lab) {
    let mut client = lab.client();
    let mut batch = client.batch();
    for number in 1..=5000 {
        batch.push(&crate::lab::udp_flow(number)).unwrap();
    }
    batch.finish().unwrap();
    let ours = lab.example("conntrack");
    let output = lab.output("sh", &["-c", &format!("{{ {ours} -L; echo status $? >&2; }} | head -1")]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "status 0\n");
}

fn memory_does_not_grow_with_the_table(lab: &Lab) {
    let mut client = lab.client();
    let mut peaks = Vec::new();
    for block in 0..2_u8 {
        let mut batch = client.batch();
        for number in 1..=20_000_u16 {
            let tuple = Tuple::udp(endpoint(&format!("10.7.{block}.1"), number), endpoint("10.7.9.9", 53));
            batch.push(&NewFlow::untranslated(tuple, 600).unwrap()).unwrap();
        }
        batch.finish().unwrap();
        peaks.push(peak(lab, &["-L"]));
    }
    assert!(peaks[1] < 16 << 10, "{peaks:?} KiB");
    assert!(peaks[1] < peaks[0] + 1024, "{peaks:?} KiB");
}

/// The most memory that our example had, in KiB.
fn peak(lab: &Lab, arguments: &[&str]) -> u64 {
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut child = std::process::Command::new(lab.example("conntrack"))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let status = format!("/proc/{}/status", child.id());
    // Its last lines wait in the pipe while it is looked at.
    let (mut line, mut peak) = (String::new(), 0);
    let mut count = 0;
    while reader.read_line(&mut line).unwrap() > 0 {
        count += 1;
        if count % 1000 == 0 {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let high = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))
                .and_then(|text| text.split_whitespace().next());
            peak = high.and_then(|number| number.parse().ok()).unwrap_or(0).max(peak);
        }
        line.clear();
    }
    reader.read_to_string(&mut line).unwrap();
    child.wait().unwrap();
    assert!(peak > 0);
    peak
}
