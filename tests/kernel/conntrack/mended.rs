//! What goes wrong in the middle of the work, and what is done then.

use super::bench::{Bench, Scratch};
use crate::{cases, lab::Lab};

cases! {
    a_line_that_cannot_be_sent_is_refused_alone;
    what_stands_before_a_line_without_sense_is_done;
    a_line_is_not_explained;
}

const NEW: &str = "-I -t 300 -s 10.9.0.1 -d 10.9.0.2 -p udp --dport 53 --sport";

/// Loads the lines, and gives the status and everything that was said.
fn load(lab: &Lab, name: &str, lines: &[String]) -> (Option<i32>, String) {
    let file = Scratch::new(name, &lines.join("\n"));
    let output = lab.output(&Bench::new(lab).ours, &["-R", file.0.to_str().unwrap()]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn a_line_that_cannot_be_sent_is_refused_alone(lab: &Lab) {
    for (wrong, reason) in [
        ("-p udp --sport 2 --dport 53 -u EXPECTED", "only the kernel sets EXPECTED"),
        ("-p icmp --icmp-type 3 --icmp-code 0", "an ICMP type that is no query"),
    ] {
        lab.client().flush().unwrap();
        let wrong = format!("-I -t 300 -s 10.9.0.1 -d 10.9.0.2 {wrong}");
        let (status, told) = load(lab, "cannot", &[format!("{NEW} 1"), wrong, format!("{NEW} 3")]);
        assert_eq!((status, lab.flows().len()), (Some(1), 2), "{told}");
        assert!(told.contains(&format!("cannot:2: Operation failed: {reason}")), "{told}");
        assert!(told.contains("2 lines have been loaded, 1 have been refused."), "{told}");
    }
}

/// Addresses of two families are no flow: the line makes no sense, which ends the load.
fn what_stands_before_a_line_without_sense_is_done(lab: &Lab) {
    let (status, told) =
        load(lab, "senseless", &[format!("{NEW} 1"), format!("{NEW} 2 -n fd08::9"), format!("{NEW} 3")]);
    assert_eq!((status, lab.flows().len()), (Some(2), 1), "{told}");
    assert!(told.contains("senseless:2: mismatched address family"), "{told}");
}

fn a_line_is_not_explained(lab: &Lab) {
    let (status, told) = load(lab, "explained", &[format!("{NEW} 1"), "-F --explain".to_owned()]);
    assert_eq!((status, lab.flows().len()), (Some(2), 1), "{told}");
    assert!(told.contains("explained:2: Cannot use `--explain' in a line"), "{told}");
}
