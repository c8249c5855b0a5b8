//! Long work shows its progress on a terminal, and stops at a signal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    pty::openpty,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cases,
    lab::{Lab, PATIENCE, is_readable, until},
    samples::{create, udp_flow},
};

cases! {
    terminal_shows_lines_loaded;
    terminal_shows_flows_changed;
    pipe_shows_counts_only;
    no_progress_beside_entries_on_a_terminal;
    interrupted_changes_report_their_count;
    interrupted_load_reports_its_count;
}

/// Longer than the time between two updates of the counter.
const LONG: Duration = Duration::from_millis(300);

/// The program and the terminal for its messages.
struct Watched {
    child: Child,
    screen: File,
}

impl Watched {
    fn start(lab: &Lab, arguments: &[&str], stdout: impl FnOnce(&OwnedFd) -> Stdio) -> Self {
        let terminal = openpty(None, None).unwrap();
        let child = Command::new(lab.example("conntrack"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(stdout(&terminal.slave))
            .stderr(terminal.slave)
            .spawn()
            .unwrap();
        Self { child, screen: terminal.master.into() }
    }

    /// Returns the text of the screen and the exit status.
    fn end(mut self) -> (String, Option<i32>) {
        drop(self.child.stdin.take());
        let (mut screen, mut buffer) = (Vec::new(), [0; 4096]);
        // Reading a terminal without writers is an error.
        while let Ok(length @ 1..) = self.screen.read(&mut buffer) {
            screen.extend_from_slice(&buffer[..length]);
        }
        (String::from_utf8(screen).unwrap(), self.child.wait().unwrap().code())
    }
}

fn lines(ports: std::ops::RangeInclusive<u16>) -> String {
    ports.map(|port| format!("-A -t 300 -p udp -s 10.9.0.1 -d 10.9.0.2 --sport {port} --dport 53\n")).collect()
}

/// Writes lines, with a pause that makes the load long.
fn feed(child: &mut Child) {
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(lines(1..=1500).as_bytes()).unwrap();
    thread::sleep(LONG);
    stdin.write_all(lines(1501..=3000).as_bytes()).unwrap();
}

/// Reads entries, with a pause that makes the work long: they do not all fit into the pipe.
fn drain(mut stdout: ChildStdout) -> usize {
    assert!(is_readable(&stdout, PATIENCE), "no entry comes");
    thread::sleep(LONG);
    let mut entries = String::new();
    stdout.read_to_string(&mut entries).unwrap();
    entries.lines().count()
}

fn fill(lab: &Lab) {
    create(&mut lab.client(), (1..=5000).map(udp_flow));
}

fn terminal_shows_lines_loaded(lab: &Lab) {
    // A load prints no entries, so the standard output may be the same terminal.
    let outputs: [fn(&OwnedFd) -> Stdio; 2] = [|_| Stdio::null(), |terminal| terminal.try_clone().unwrap().into()];
    for stdout in outputs {
        lab.client().delete_all().unwrap();
        let mut watched = Watched::start(lab, &["-R", "-"], stdout);
        feed(&mut watched.child);
        let (screen, status) = watched.end();
        assert_eq!(status, Some(0), "{screen}");
        let (progress, rest) = screen.split_once("\r\u{1b}[K").unwrap();
        assert!(progress.starts_with('\r') && progress.ends_with(" lines loaded"), "{screen:?}");
        assert!(rest.ends_with(": loaded 3000 lines\r\n"), "{screen:?}");
    }
}

fn terminal_shows_flows_changed(lab: &Lab) {
    fill(lab);
    for (arguments, what) in [(["-U", "-p", "udp", "-m", "7"].as_slice(), "updated"), (&["-D", "-p", "udp"], "deleted")]
    {
        let mut watched = Watched::start(lab, arguments, |_| Stdio::piped());
        assert_eq!(drain(watched.child.stdout.take().unwrap()), 5000);
        let (screen, status) = watched.end();
        assert_eq!(status, Some(0), "{screen}");
        let (progress, rest) = screen.split_once("\r\u{1b}[K").unwrap();
        assert!(progress.starts_with('\r') && progress.ends_with(&format!(" flows {what}")), "{screen:?}");
        assert!(rest.ends_with(&format!(": 5000 flow entries have been {what}.\r\n")), "{screen:?}");
    }
}

fn pipe_shows_counts_only(lab: &Lab) {
    let start = |arguments: &[&str]| {
        let mut command = Command::new(lab.example("conntrack"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let messages = |child: Child| String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let mut loading = start(&["-R", "-"]);
    feed(&mut loading);
    let loading_messages = messages(loading);
    assert!(!loading_messages.contains('\r') && loading_messages.lines().count() == 1, "{loading_messages:?}");
    let mut deleting = start(&["-D", "-p", "udp"]);
    assert_eq!(drain(deleting.stdout.take().unwrap()), 3000);
    let deleting_messages = messages(deleting);
    assert!(!deleting_messages.contains('\r') && deleting_messages.lines().count() == 1, "{deleting_messages:?}");
}

fn no_progress_beside_entries_on_a_terminal(lab: &Lab) {
    fill(lab);
    let watched = Watched::start(lab, &["-D", "-p", "udp"], |terminal| terminal.try_clone().unwrap().into());
    // The entries do not all fit into the terminal.
    assert!(is_readable(&watched.screen, PATIENCE), "no entry comes");
    thread::sleep(LONG);
    let (screen, status) = watched.end();
    assert_eq!(status, Some(0));
    assert!(!screen.contains("\u{1b}[K") && !screen.contains(" flows deleted"), "{screen:?}");
    assert_eq!(screen.lines().count(), 5001);
}

/// A change is long if nobody reads its entries.
fn interrupted_changes_report_their_count(lab: &Lab) {
    for (arguments, what) in [(["-U", "-p", "udp", "-m", "7"].as_slice(), "updated"), (&["-D", "-p", "udp"], "deleted")]
    {
        fill(lab);
        let mut child = Command::new(lab.example("conntrack"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        assert!(is_readable(&stdout, PATIENCE), "no entry comes");
        interrupt(&child);
        let mut entries = String::new();
        stdout.read_to_string(&mut entries).unwrap();
        let ended = child.wait_with_output().unwrap();
        let messages = String::from_utf8(ended.stderr).unwrap();
        let count = entries.lines().count();
        assert!(count > 0 && count < 5000, "{count}");
        let is_changed = |flow: &ctnetlink::Flow| flow.mark == Some(7);
        let changed = match what {
            "updated" => lab.flows().iter().filter(|flow| is_changed(flow)).count(),
            _ => 5000 - lab.flows().len(),
        };
        assert_eq!(changed, count);
        let said: Vec<&str> =
            messages.lines().filter_map(|line| line.split_once("): ")).map(|(_, said)| said).collect();
        assert_eq!(said, [&*format!("{count} flow entries have been {what}."), "interrupted by SIGINT"]);
        assert_eq!(ended.status.code(), Some(130));
        lab.client().delete_all().unwrap();
    }
}

fn interrupted_load_reports_its_count(lab: &Lab) {
    let mut child = Command::new(lab.example("conntrack"))
        .args(["-R", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines(1..=512).as_bytes()).unwrap();
    until(|| lab.flows().len() == 512);
    // It waits for another line.
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    let messages = String::from_utf8(ended.stderr).unwrap();
    assert!(messages.contains(": loaded 512 lines\n"), "{messages}");
    assert!(messages.ends_with(": interrupted by SIGINT\n"), "{messages}");
    assert_eq!(ended.status.code(), Some(130));
    drop(stdin);
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
}
