//! Messages on the standard error: errors, warnings, and a reader that is gone.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use super::side_by_side::{SideBySide, fill};
use crate::{
    cases,
    lab::{Lab, command},
};

cases! {
    closed_stderr_is_not_a_panic;
    permission_errors_name_the_capability;
    file_errors_name_the_file;
}

fn closed_stderr_is_not_a_panic(lab: &Lab) {
    fill(lab);
    for (line, status) in [
        ("-L", 0),
        ("-L -c 5", 0),
        ("-L -a 1.1.1.1 -o labels --labelmap /nonexistent", 0),
        ("-L --nosuch", 2),
        ("-U -p udp -m 3", 0),
        ("-D -p udp", 0),
        ("-R /nonexistent", 2),
    ] {
        let (ours, reader) = UnixStream::pair().unwrap();
        drop(reader);
        let ended = command(&lab.example("conntrack"))
            .args(line.split(' '))
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(ours))
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(status), "{line}");
    }
}

fn permission_errors_name_the_capability(lab: &Lab) {
    let programs = SideBySide::new(lab);
    lab.without_capabilities(|| {
        for line in ["-L", "-L -p tcp", "-C", "-D -p tcp", "-U -m 3", "-F", "-E"] {
            let refused = programs.ours(line);
            assert_eq!(refused.status, Some(1), "{line}: {refused:?}");
            assert!(refused.message.starts_with("Operation failed: needs CAP_NET_ADMIN"), "{line}: {refused:?}");
        }
    });
}

fn file_errors_name_the_file(lab: &Lab) {
    let programs = SideBySide::new(lab);
    for (line, said) in [
        ("-R /nonexistent/file", "Failed to open file /nonexistent/file for reading"),
        ("-R /", "/: "),
        ("-R /nonexistent/file --explain", "Failed to open file /nonexistent/file for reading"),
    ] {
        let failed = programs.ours(line);
        assert!(failed.message.starts_with(said), "{line}: {failed:?}");
    }
    let said = lab.output(&programs.ours, &["-L", "-o", "labels", "--labelmap", "/nonexistent/map"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("/nonexistent/map: "));
}
