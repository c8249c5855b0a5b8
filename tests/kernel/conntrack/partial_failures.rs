//! Failures in the middle of the work.

use super::{
    scratch::Scratch,
    side_by_side::{SideBySide, fill},
};
use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    unsendable_line_is_refused_alone;
    lines_before_a_wrong_line_are_run;
    explain_is_refused_in_lines;
    labels_in_options_are_shown: "nft";
    add_does_not_change_a_translation;
    saved_flows_load_twice;
    changes_finish_without_a_reader;
    explained_file_reports_refusals;
    load_prints_its_count_and_no_flows: "conntrack";
    refused_update_does_not_stop_others;
}

const NEW: &str = "-I -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport";

/// Loads the lines, and returns the exit status and the messages.
fn load(lab: &Lab, name: &str, lines: &[String]) -> (Option<i32>, String) {
    let file = Scratch::new(name, &lines.join("\n"));
    let output = lab.output(&SideBySide::new(lab).ours, &["-R", file.0.to_str().unwrap()]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn unsendable_line_is_refused_alone(lab: &Lab) {
    for (wrong, reason) in [
        ("-p udp --sport 2 --dport 53 -u EXPECTED", "only the kernel sets EXPECTED"),
        ("-p icmp --icmp-type 3 --icmp-code 0", "this ICMP type has no reply"),
    ] {
        lab.client().delete_all().unwrap();
        let wrong = format!("-I -t 300 -s 10.9.0.1 -d 10.9.0.2 {wrong}");
        let (status, messages) = load(lab, "cannot", &[format!("{NEW} 1"), wrong, format!("{NEW} 3")]);
        assert_eq!((status, lab.flows().len()), (Some(1), 2), "{messages}");
        assert!(messages.contains(&format!("cannot:2: Operation failed: {reason}")), "{messages}");
        assert!(messages.contains(": loaded 2 lines, 1 refused\n"), "{messages}");
    }
}

/// A line with addresses of two families is invalid, which ends the load.
fn lines_before_a_wrong_line_are_run(lab: &Lab) {
    let (status, messages) =
        load(lab, "senseless", &[format!("{NEW} 1"), format!("{NEW} 2 -n fd08::9"), format!("{NEW} 3")]);
    assert_eq!((status, lab.flows().len()), (Some(2), 1), "{messages}");
    assert!(messages.contains("senseless:2: mismatched address family"), "{messages}");
}

fn explain_is_refused_in_lines(lab: &Lab) {
    let (status, messages) = load(lab, "explained", &[format!("{NEW} 1"), "-F --explain".to_owned()]);
    assert_eq!((status, lab.flows().len()), (Some(2), 1), "{messages}");
    assert!(messages.contains("explained:2: Cannot use `--explain' in a line"), "{messages}");
}

fn labels_in_options_are_shown(lab: &Lab) {
    lab.nft("table inet labels { chain c { type filter hook output priority 0; ct label set 1; }; }");
    let labels = Scratch::new("shown", "1 web\n2 mail\n");
    let programs = SideBySide::new(lab);
    let ours = |line: &str| {
        let result = programs.ours(&format!("{line} --labelmap {}", labels.0.display()));
        assert_eq!(result.status, Some(0), "{line}: {result:?}");
        result.stdout
    };
    ours(&format!("{NEW} 1 --label-add web"));
    for (line, shown) in [
        ("-L", ""),
        ("-L -l web", " labels=web\n"),
        ("-L -l web -o xml", "<labels><label>web</label></labels>"),
        ("-L -l web -o save", ""),
        ("-U -p udp --label-add mail", " labels=web,mail\n"),
        ("-U -p udp --label-del web", " labels=mail\n"),
        ("-D -l mail", ""),
    ] {
        let printed = ours(line);
        assert!(printed.contains(shown) && printed.contains("labels") != shown.is_empty(), "{line}: {printed}");
    }
}

fn add_does_not_change_a_translation(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let plain = NEW.replace("-I", "-A");
    let translated = format!("{plain} 2 -n 10.9.0.9:77");
    for line in [&format!("{plain} 1"), &translated] {
        assert_eq!(programs.ours(line).status, Some(0), "{line}");
    }
    let before = programs.table();
    for line in [
        format!("{plain} 1 -n 10.9.0.9"),
        format!("{plain} 1 -g 10.9.0.8"),
        format!("{plain} 1 -r 10.9.0.8 -q 10.9.0.1"),
        format!("{plain} 1 --reply-port-src 54"),
        format!("{plain} 2 -n 10.9.0.9:78"),
        format!("{plain} 2 -r 10.9.0.2 -q 10.9.0.1"),
    ] {
        let added = programs.ours(&line);
        assert_eq!(added.status, Some(1), "{line}: {added:?}");
        assert!(added.message.ends_with("a translation cannot be changed"), "{line}: {added:?}");
        let (status, messages) =
            load(lab, "translation", &[line, format!("{plain} 1 -m 7"), format!("{plain} 1 -m 0")]);
        assert_eq!(status, Some(1), "{messages}");
        assert!(
            messages.contains("translation:1: ") && messages.contains(": loaded 2 lines, 1 refused\n"),
            "{messages}"
        );
        assert_eq!(programs.table(), before);
    }
    // Equal or missing values are not a change.
    for line in [translated, format!("{plain} 2 -m 9"), format!("{plain} 2 -q 10.9.0.9")] {
        let added = programs.ours(&line);
        assert_eq!((added.status, &*added.message), (Some(0), "1 flow entries have been added."), "{line}");
    }
}

/// Saved lines have the whole reply tuple, and may be loaded twice.
fn saved_flows_load_twice(lab: &Lab) {
    fill(lab);
    let before = SideBySide::new(lab).table();
    let saved = SideBySide::new(lab).ours("-L -o save").stdout;
    // The kernel refuses to update a fixed timeout.
    let loaded = saved.lines().filter(|line| !line.contains("FIXED_TIMEOUT")).map(str::to_owned);
    let (status, messages) = load(lab, "again", &loaded.collect::<Vec<_>>());
    assert_eq!(status, Some(0), "{messages}");
    assert_eq!(SideBySide::new(lab).table(), before);
}

fn changes_finish_without_a_reader(lab: &Lab) {
    let ours = lab.example("conntrack");
    let run = |line: &str| String::from_utf8(lab.output("sh", &["-c", line]).stderr).unwrap();
    for (command, what) in [("-U -p udp -m 7", "updated"), ("-D -p udp", "deleted")] {
        for (stdout, status) in [("| head -1", "status 0\n"), ("> /dev/full", "status 1\n")] {
            let mut client = lab.client();
            client.delete_all().unwrap();
            let mut batch = client.batch();
            (1..=5000).for_each(|number| batch.push(&udp_flow(number)).unwrap());
            batch.finish().unwrap();
            let said = run(&format!("{{ {ours} {command}; echo status $? >&2; }} {stdout}"));
            assert!(said.contains(&format!(": 5000 flow entries have been {what}.\n")), "{command} {stdout}: {said}");
            assert!(said.ends_with(status), "{command} {stdout}: {said}");
            assert_eq!(said.contains("No space left"), stdout.contains("full"), "{command} {stdout}: {said}");
            let changed = lab.flows().iter().filter(|flow| flow.mark == Some(7)).count();
            assert_eq!(changed, if what == "updated" { 5000 } else { 0 });
        }
    }
}

fn explained_file_reports_refusals(lab: &Lab) {
    let file = Scratch::new("dry", &format!("{NEW} 1\n{NEW} 2 -u EXPECTED\n{NEW} 3\n"));
    let explained = lab.output(&SideBySide::new(lab).ours, &["-R", file.0.to_str().unwrap(), "--explain"]);
    let messages = String::from_utf8(explained.stderr).unwrap();
    assert_eq!((explained.status.code(), lab.flows().len()), (Some(1), 0), "{messages}");
    assert!(messages.contains("dry:2: Operation failed: only the kernel sets EXPECTED"), "{messages}");
    assert!(messages.contains(": checked 2 lines, 1 would be refused; nothing was sent\n"), "{messages}");
}

/// conntrack(8) prints updated and deleted flows, and no count.
fn load_prints_its_count_and_no_flows(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let file = Scratch::new("silent", &format!("{NEW} 1\n-U -f ipv4 -p udp -m 5\n-D -p udp\n"));
    let line = format!("-R {}", file.0.display());
    let (ours, theirs) = (programs.ours(&line), programs.theirs(&line));
    assert_eq!((ours.status, theirs.status), (Some(0), Some(0)));
    assert!(theirs.stdout.contains("sport=1 dport=53") && theirs.message.is_empty(), "{theirs:?}");
    assert_eq!((&*ours.stdout, &*ours.message), ("", "loaded 3 lines"));
}

/// The kernel does not change a fixed timeout.
fn refused_update_does_not_stop_others(lab: &Lab) {
    fill(lab);
    let output = lab.output(&SideBySide::new(lab).ours, &["-U", "-p", "tcp", "-t", "777"]);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert!(messages.contains(": 2 flow entries have been updated.\n"), "{messages}");
    assert!(messages.contains(": Operation failed: cannot update flow: EPERM: "), "{messages}");
}
