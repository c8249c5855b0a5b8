//! What conntrack 1.4.7 cannot do.

use ctnetlink::{Tuple, request::NewFlow};

use super::side_by_side::{Outcome, SideBySide, fill};
use crate::{
    cases,
    lab::Lab,
    samples::{create, endpoint, udp_flow},
};

cases! {
    filters_select_for_every_command;
    explaining_asks_nothing_of_the_kernel;
    explaining_by_probe_says_what_it_knows_from_where;
    a_closed_pipe_ends_quietly;
    memory_does_not_grow_with_the_table;
}

fn filters_select_for_every_command(lab: &Lab) {
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

fn explaining_asks_nothing_of_the_kernel(lab: &Lab) {
    fill(lab);
    let programs = SideBySide::new(lab);
    let before = programs.table();
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
            let explained = programs.ours(line);
            assert_eq!(explained.status, Some(0), "{line}: {explained:?}");
            assert!(explained.stdout.contains(said), "{line}: {explained:?}");
        });
    }
    assert_eq!(programs.table(), before);
}

fn explaining_by_probe_says_what_it_knows_from_where(lab: &Lab) {
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
    // What follows is no argument of it.
    assert_eq!(programs.ours("-L --explain probe").stdout, programs.ours("-L --explain").stdout);
}

fn a_closed_pipe_ends_quietly(lab: &Lab) {
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
