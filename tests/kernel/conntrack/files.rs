//! Files of commands.

use super::bench::{Bench, Scratch};
use crate::{cases, lab::Lab};

cases! {
    files_have_marks_and_labels_of_their_own: "nft";
    a_file_is_loaded_past_a_refusal_which_is_told_by_its_line;
}

fn files_have_marks_and_labels_of_their_own(lab: &Lab) {
    lab.nft("table inet labels { chain c { type filter hook output priority 0; ct label 1; }; }");
    let bench = Bench::new(lab);
    let labels = Scratch::new("labels", "1 web\n2 \"mail\n3 voice over ip\n");
    let new = "-t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport";
    let file = Scratch::new(
        "marks",
        &format!(
            "# a comment\n\n-I {new} 1 --label-add web\n-I {new} 2 --label-add \"voice over ip\"\n-I {new} 3\n\
             -U -p udp --sport 1 -m 11 --label-add voice\\ over\\ ip\n-U -p udp --sport 2 -m 12 --label-del\n-U -p udp --sport 3 -m 13\n\
             -I {new} 4\n-D -p udp --sport 4\n"
        ),
    );
    let loaded = bench.ours(&format!("-R {} --labelmap {}", file.0.display(), labels.0.display()));
    assert_eq!((loaded.status, &*loaded.message), (Some(0), "8 lines have been loaded, 0 have been refused."));
    let listed = bench.ours(&format!("-L -o labels --labelmap {}", labels.0.display())).stdout;
    for (port, end) in [(1, "mark=11 use=1 labels=web,voice over ip"), (2, "mark=12 use=1"), (3, "mark=13 use=1")] {
        let line = listed.lines().find(|line| line.contains(&format!("sport={port} dport=53"))).unwrap();
        assert!(line.ends_with(end), "{line}");
    }
    assert_eq!(listed.lines().count(), 3);
    let with_label = bench.ours(&format!("-L -l web --labelmap {}", labels.0.display()));
    assert_eq!(with_label.message, "1 flow entries have been shown.");
}

fn a_file_is_loaded_past_a_refusal_which_is_told_by_its_line(lab: &Lab) {
    let bench = Bench::new(lab);
    let line = |port: u16| format!("-I -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport {port}\n");
    let many: String = (1..=3000).map(line).collect();
    let file = Scratch::new("lines", &format!("{}# comment\n{}{}-U -p tcp -m 1\n", many, line(7), line(4000)));
    let output = lab.output(&bench.ours, &["-R", file.0.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("lines:3002: Operation failed: create flow: EEXIST"), "{told}");
    assert!(told.contains("lines:3004: no flow fits it"), "{told}");
    assert!(told.contains("3001 lines have been loaded, 2 have been refused."), "{told}");
    assert_eq!(lab.flows().len(), 3001);
    let file = Scratch::new("bad", &format!("{}-I --nosuch\n{}", line(5000), line(5001)));
    let refused = bench.ours(&format!("-R {}", file.0.display()));
    assert_eq!(refused.status, Some(2));
    assert!(refused.message.ends_with("bad:2: unknown option `--nosuch'"), "{refused:?}");
    assert_eq!(lab.flows().len(), 3002, "what the lines before it say was done");
}
