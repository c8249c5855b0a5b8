//! Features that conntrack(8) does not have.

use ctnetlink::{NewFlow, Tuple};

use super::side_by_side::{Outcome, SideBySide, fill};
use crate::{
    cases,
    lab::Lab,
    samples::{create, endpoint, udp_flow},
};

cases! {
    filter_option_works_for_every_command;
    explain_sends_nothing;
    explain_probe_asks_the_kernel;
    closed_pipe_ends_quietly;
    memory_does_not_grow_with_the_table;
    explained_dumps_are_sent: "strace";
    updates_are_explained_in_words;
    explanations_name_the_parts_in_use;
    single_flows_are_explained_in_words;
}

fn filter_option_works_for_every_command(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let run = |arguments: &[&str]| Outcome::of(&lab.output(&programs.ours, arguments));
    let filter = "proto udp and (sport 1000-1001 or zone 11)";
    let expected = "5 flow entries have been";
    assert_eq!(run(&["-L", "--filter", filter]).message, format!("{expected} shown."));
    assert_eq!(run(&["-U", "--filter", filter, "-m", "99"]).message, format!("{expected} updated."));
    assert_eq!(run(&["-D", "--filter", filter]).message, format!("{expected} deleted."));
    let refused = run(&["-L", "--filter", "dport"]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.message.starts_with("Invalid filter: column 6: "), "{refused:?}");
}

fn explain_sends_nothing(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let before = programs.table();
    for (line, said) in [
        ("-L -p tcp --dport 22 --explain", "filter: proto tcp and dport 22"),
        ("-D -p tcp --explain", "dump: "),
        ("-D -p tcp --explain", " by its release (`--explain=probe' asks it)\n"),
        ("-D --explain", "filter: any"),
        ("-U -p tcp -m 3 --explain", "update: "),
        ("-F --explain", "flush: every flow"),
        ("-F -f ipv6 --explain", "flush: every flow of ipv6"),
        ("-I -p udp -s 1.1.1.1 -d 2.2.2.2 --sport 1 --dport 2 -t 9 --explain", "create: "),
    ] {
        lab.without_capabilities(|| {
            let explained = programs.ours(line);
            assert_eq!(explained.status, Some(0), "{line}: {explained:?}");
            assert!(explained.stdout.contains(said), "{line}: {explained:?}");
        });
    }
    assert_eq!(programs.table(), before);
}

fn explain_probe_asks_the_kernel(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let before = programs.table();
    let explained = programs.ours("-D -p tcp --explain=probe");
    assert_eq!(explained.status, Some(0));
    assert!(explained.stdout.contains("\nkernel: as it answered\ndump: "), "{explained:?}");
    assert_eq!(programs.table(), before);
    lab.without_capabilities(|| {
        let explained = programs.ours("-D -p tcp --explain=probe");
        assert_eq!(explained.status, Some(0));
        assert!(explained.stdout.contains(" by its release; it could not be asked: "), "{explained:?}");
    });
    assert_eq!(programs.ours("-D -p tcp --explain=all").status, Some(2));
    // The next word is not an argument of `--explain`.
    assert_eq!(programs.ours("-L --explain probe").stdout, programs.ours("-L --explain").stdout);
}

fn closed_pipe_ends_quietly(lab: &Lab) {
    create(&mut lab.client(), (1..=5000).map(udp_flow));
    let ours = lab.example("conntrack");
    let output = lab.output("sh", &["-c", &format!("{{ {ours} -L; echo status $? >&2; }} | head -1")]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "status 0\n");
}

fn memory_does_not_grow_with_the_table(lab: &Lab) {
    let mut client = lab.client();
    let mut peaks = Vec::new();
    for block in 0..2_u8 {
        let flow = |number| {
            let tuple = Tuple::udp(endpoint(&format!("10.7.{block}.1"), number), endpoint("10.7.9.9", 53));
            NewFlow::untranslated(tuple, 600).unwrap()
        };
        create(&mut client, (1..=20_000).map(flow));
        peaks.push(peak(lab, &["-L"]));
    }
    assert!(peaks[1] < 16 << 10, "{peaks:?} KiB");
    assert!(peaks[1] < peaks[0] + 1024, "{peaks:?} KiB");
}

/// The peak memory of our example, in KiB.
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
    // Its last lines wait in the pipe.
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

/// The explained dumps are sent, in that order and no others.
fn explained_dumps_are_sent(lab: &Lab) {
    fill(lab);
    for (line, dumps) in [
        ("-L", vec!["every flow"]),
        ("-L -p tcp --dport 22", vec!["ipv4, protocol tcp", "ipv6, protocol tcp"]),
        ("-L -f ipv4 -p tcp", vec!["ipv4, protocol tcp"]),
        ("-L -m 5", vec!["all families, mark 0x5"]),
        ("-L -z", vec!["every flow, setting their counters to zero"]),
        ("-L dying", vec!["every dying flow"]),
        ("-D -p tcp", vec!["ipv4, protocol tcp", "ipv6, protocol tcp"]),
        ("-L --filter none", vec!["none, because no flow can match"]),
    ] {
        let explained = SideBySide::new(lab).ours(&format!("{line} --explain=probe")).stdout;
        let explained: Vec<&str> = explained.lines().filter_map(|line| line.strip_prefix("dump: ")).collect();
        assert_eq!(explained.len(), dumps.len(), "{line}: {explained:?}");
        for (explained, dump) in explained.iter().zip(&dumps) {
            assert!(explained.starts_with(dump), "{line}: {explained}");
        }
        let of_no_flow = dumps.iter().filter(|dump| dump.starts_with("none")).count();
        let probes = sent_dumps(lab, &format!("{line} --explain=probe"));
        assert_eq!(sent_dumps(lab, line) - probes, dumps.len() - of_no_flow, "{line}");
    }
}

/// Counts the dumps that a command line requests.
fn sent_dumps(lab: &Lab, line: &str) -> usize {
    let ours = lab.example("conntrack");
    let mut words = vec!["-f", "-e", "trace=sendto,sendmsg", &*ours];
    words.extend(line.split(' '));
    let traced = String::from_utf8_lossy(&lab.output("strace", &words).stderr).into_owned();
    traced.lines().filter(|line| line.contains("NLM_F_DUMP")).count()
}

fn updates_are_explained_in_words(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for (options, words) in [
        ("-m 3", "set mark to 3"),
        ("-m 0x10/0xf0", "set mark to 0x10 under mask 0xf0"),
        ("-t 60 -u ASSURED", "set timeout to 60 s, add status ASSURED"),
        ("-p tcp --state CLOSE --label-add 1,3", "set state to CLOSE, add labels 1,3"),
        ("--label-del 2", "remove labels 2"),
        ("--label-del", "remove every label"),
    ] {
        let explained = programs.ours(&format!("-U {options} --explain"));
        let update = explained.stdout.lines().last().unwrap_or_default();
        assert_eq!(update, format!("update: each of these flows that it changes: {words}"), "{options}: {explained:?}");
    }
}

fn explanations_name_the_parts_in_use(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let explained = |line: &str| programs.ours(&format!("{line} --explain")).stdout;
    let has = |text: &str, part: &str| text.lines().any(|line| line.starts_with(part));
    let list = explained("-L -p tcp --dport 22");
    assert!(has(&list, "dump: ") && !has(&list, "userspace: ") && !has(&list, "flush: ") && !has(&list, "events: "));
    let labels = explained("-L -p tcp -l 3");
    assert!(has(&labels, "dump: ipv4, protocol tcp") && has(&labels, "userspace: "), "{labels}");
    let events = explained("-E -p tcp --dport 22");
    assert!(has(&events, "socket: a program of ") && !has(&events, "dump: ") && !has(&events, "kernel: "), "{events}");
    let whole = explained("-E -e NEW");
    assert!(has(&whole, "groups: ") && !has(&whole, "socket: "), "{whole}");
    // Refused like the command itself.
    assert_eq!(programs.ours("-D -m 0/0 --explain").status, Some(2));
    assert_eq!(programs.ours("-U -p tcp --explain").status, Some(2));
}

fn single_flows_are_explained_in_words(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let flow = "-p udp -s 10.9.0.1 -d 10.9.0.2 --sport 1 --dport 2";
    for (line, explained) in [
        (format!("-G {flow} -w 7"), "get: udp 10.9.0.1:1 10.9.0.2:2 as original tuple, zone 7\n"),
        (
            "-G -p udp -r 10.9.0.2 -q 10.9.0.1 --reply-port-src 2 --reply-port-dst 1".to_owned(),
            "get: udp 10.9.0.2:2 10.9.0.1:1 as reply tuple\n",
        ),
        (
            format!("-I {flow} -t 9 -m 3 -n 10.9.0.9:77"),
            "create: udp      17 9 src=10.9.0.1 dst=10.9.0.2 sport=1 dport=2 [UNREPLIED] src=10.9.0.2 dst=10.9.0.1 \
             sport=2 dport=1 mark=3, source translated to 10.9.0.9 port 77\n",
        ),
    ] {
        assert_eq!(programs.ours(&format!("{line} --explain")).stdout, explained, "{line}");
    }
    let selected = programs.ours(&format!("-L {flow} -w 0 --explain")).stdout;
    assert!(selected.ends_with("\nget: udp 10.9.0.1:1 10.9.0.2:2 as original tuple, zone 0\n"), "{selected}");
}
