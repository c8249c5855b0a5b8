//! Files of commands (`-R`).

use super::{scratch::Scratch, side_by_side::SideBySide};
use crate::{cases, lab::Lab};

cases! {
    load_continues_after_a_refusal;
    files_are_read_alike: "conntrack";
    helpers_and_nat_ranges_are_loaded;
    saved_file_is_loaded_in_batches: "strace";
}

/// Comments, blank lines, quotes, a last line without a newline, and lines that match no flow.
fn files_are_read_alike(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let created = "-A -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport";
    for (name, lines) in [
        ("indented", format!("{created} 1\n  # indented\n\t#\n{created} 2\n")),
        ("blank", format!("\n   \n{created} 1\n\n#\n{created} 2")),
        (
            "quoted",
            format!("{created} \"1\"\n-\"A\" -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport=53 --sport \"\\2\"\n"),
        ),
        ("idle", format!("-D -p udp --sport 7\n{created} 1\n-U -f ipv4 -p udp --sport 7 -m 1\n{created} 2\n")),
    ] {
        let file = Scratch::new(name, &lines);
        let [ours, theirs] = [SideBySide::ours, SideBySide::theirs].map(|run| {
            lab.client().delete_all().unwrap();
            let loaded = run(&programs, &format!("-R {}", file.0.display()));
            (loaded.status, programs.table())
        });
        assert_eq!(ours, theirs, "ours and theirs: {lines}");
        assert_eq!((ours.0, ours.1.len()), (Some(0), 2), "{lines}");
    }
}

fn load_continues_after_a_refusal(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let line = |port: u16| format!("-I -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport {port}\n");
    let many: String = (1..=3000).map(line).collect();
    let file = Scratch::new("lines", &format!("{}# comment\n{}{}-U -p tcp -m 1\n", many, line(7), line(4000)));
    let output = lab.output(&programs.ours, &["-R", file.0.to_str().unwrap()]);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(messages.contains("lines:3002: Operation failed: cannot create flow: EEXIST"), "{messages}");
    assert!(messages.contains(": loaded 3001 lines, 1 without a matching flow, 1 refused\n"), "{messages}");
    assert_eq!(lab.flows().len(), 3001);
    let file = Scratch::new("bad", &format!("{}-I --nosuch\n{}", line(5000), line(5001)));
    let refused = programs.ours(&format!("-R {}", file.0.display()));
    assert_eq!(refused.status, Some(2));
    assert!(refused.message.ends_with("bad:2: unknown option `--nosuch'"), "{refused:?}");
    assert_eq!(lab.flows().len(), 3002, "what the lines before it say was done");
}

/// conntrack(8) has no options for them.
fn helpers_and_nat_ranges_are_loaded(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let file = Scratch::new(
        "helpers",
        "-A -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --sport 1 --dport 69 --helper tftp\n\
         -A -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --sport 2 --dport 53 -n 10.9.0.7-10.9.0.7:500-500\n",
    );
    // The second time both flows exist, and a translation is not changed.
    for (status, is_refused) in [(0, false), (1, true)] {
        let output = lab.output(&programs.ours, &["-R", file.0.to_str().unwrap()]);
        let messages = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{messages}");
        assert_eq!(messages.contains(":2: Operation failed: such a flow exists"), is_refused, "{messages}");
        let flows = lab.flows();
        let helpers: Vec<&str> = flows.iter().filter_map(|flow| flow.helper_name()).collect();
        assert_eq!(helpers, ["tftp"]);
        let translated = flows.iter().find_map(|flow| flow.snat()).unwrap();
        assert_eq!(translated.to_string(), "10.9.0.7:500");
    }
    let created = programs.ours("-I -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --sport 3 --dport 69 --helper tftp");
    assert_eq!(created.status, Some(0));
    assert_eq!(lab.flows().iter().filter(|flow| flow.helper_name() == Some("tftp")).count(), 2);
}

/// One system call sends many lines.
fn saved_file_is_loaded_in_batches(lab: &Lab) {
    let line = |port: u16| format!("-A -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport {port}\n");
    let file = Scratch::new("batches", &(1..=2560).map(line).collect::<String>());
    let ours = lab.example("conntrack");
    let words = ["-f", "-e", "trace=sendto,sendmsg", &ours, "-R", file.0.to_str().unwrap()];
    let traced = String::from_utf8_lossy(&lab.output("strace", &words).stderr).into_owned();
    let sends = traced.lines().filter(|line| line.contains("IPCTNL_MSG_CT_NEW")).count();
    assert!((1..=40).contains(&sends), "{sends}");
    assert_eq!(lab.flows().len(), 2560);
}
