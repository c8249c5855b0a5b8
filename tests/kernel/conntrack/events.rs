//! Events are printed as by conntrack(8), until a signal.

use std::{
    fs,
    io::Read as _,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{FlowUpdate, sysctl};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{listings::expect, side_by_side::timeless};
use crate::{
    cases,
    lab::{Lab, PATIENCE, is_readable, until},
    samples::{create, tcp_flow, udp_flow, udp6_flow},
};

cases! {
    events_are_printed_the_same: "conntrack";
    filter_selects_events;
    signal_closes_the_xml_document;
    events_before_a_signal_are_shown;
    overrun_is_reported_and_listening_continues;
    overrun_warnings_are_rate_limited;
    disabled_events_cause_a_warning;
    gone_reader_is_noticed_without_an_event;
    destroy_events_are_saved_short;
    expectation_events_have_no_sender: "conntrack";
}

/// A program that listens.
pub struct Listener {
    child: Child,
    /// Output that was read already.
    printed: Vec<u8>,
}

impl Listener {
    pub fn start(program: &str, arguments: &str) -> Self {
        let before = listening();
        let child = Command::new(program)
            .args(arguments.split_whitespace())
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until(|| listening() > before);
        Self { child, printed: Vec::new() }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has printed that many lines and waits for events again.
    ///
    /// conntrack(8) exits in its signal handler. A signal between printing and waiting makes it print a line twice, or report
    /// a count without it.
    fn until_printed(&mut self, lines: usize) {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut buffer = [0; 4096];
        while self.printed.iter().filter(|byte| **byte == b'\n').count() < lines {
            assert!(is_readable(&*stdout, PATIENCE), "{}", String::from_utf8_lossy(&self.printed));
            let length = stdout.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended: {}", String::from_utf8_lossy(&self.printed));
            self.printed.extend_from_slice(&buffer[..length]);
        }
        let state = format!("/proc/{}/stat", self.child.id());
        until(|| fs::read_to_string(&state).unwrap().contains(") S "));
    }

    /// Sends a signal, and returns the exit status, the lines and the messages.
    pub fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>, String) {
        self.signal(signal);
        let mut stderr = String::new();
        self.child.stdout.take().unwrap().read_to_end(&mut self.printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let stdout = String::from_utf8(self.printed).unwrap();
        (self.child.wait().unwrap().code(), stdout.lines().map(str::to_owned).collect(), stderr)
    }
}

/// Counts the netfilter sockets of this namespace that are members of a group.
fn listening() -> usize {
    let sockets = fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let listens = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(1) == Some(&"12") && columns.get(3).is_some_and(|groups| groups.bytes().any(|digit| digit != b'0'))
    };
    sockets.lines().filter(listens).count()
}

/// Causes one event of each kind for three flows.
pub fn happen(lab: &Lab) {
    let mut client = lab.client();
    for flow in [tcp_flow(1), udp_flow(2), udp6_flow(3)] {
        client.create(&flow).unwrap();
        client.update(&lab.flow(flow.original), &FlowUpdate::new().mark(7)).unwrap();
        client.delete(&lab.flow(flow.original)).unwrap();
    }
}

fn count(stderr: &str) -> String {
    stderr.lines().filter_map(|line| line.split_once("): ")).map(|(_, count)| count.to_owned()).collect()
}

fn events_are_printed_the_same(lab: &Lab) {
    let ours = lab.example("conntrack");
    for arguments in
        ["-E", "-E -o extended,id", "-E -e NEW,DESTROY", "-E -e UPDATES -p udp", "-E -f ipv6", "-E -p tcp -o xml"]
    {
        let ours = Listener::start(&ours, arguments);
        let mut theirs = Listener::start("conntrack", arguments);
        happen(lab);
        let ours = ours.end(Signal::SIGINT);
        // A signal ends conntrack(8) at once, whereas ours first shows the events that have arrived.
        theirs.until_printed(ours.1.iter().filter(|line| !line.starts_with("</")).count());
        let [ours, theirs] = [ours, theirs.end(Signal::SIGINT)].map(|(status, lines, stderr)| {
            // The name of the program may be missing, and 1.4.7 prints it after the end of an XML element.
            let lines: Vec<String> =
                lines.iter().map(|line| timeless(line.split(" [USERSPACE]").next().unwrap())).collect();
            (status, lines, count(&stderr))
        });
        assert_eq!(ours, theirs, "ours and theirs: conntrack {arguments}");
        assert!(!ours.1.is_empty() && ours.0 == Some(0), "{ours:?}");
    }
}

fn filter_selects_events(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -p udp -d 10.1.0.2 -o save");
    happen(lab);
    let (status, lines, stderr) = listener.end(Signal::SIGTERM);
    assert_eq!((status, &*count(&stderr)), (Some(0), "3 flow events have been shown."));
    let commands: Vec<&str> = lines.iter().map(|line| &line[..2]).collect();
    assert_eq!(commands, ["-A", "-A", "-D"], "{lines:?}");
}

fn signal_closes_the_xml_document(lab: &Lab) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for (arguments, root) in [("-E -o xml", "conntrack"), ("-E expect -o xml", "expect")] {
            let listener = Listener::start(&lab.example("conntrack"), arguments);
            let (status, lines, _) = listener.end(signal);
            assert_eq!(status, Some(0));
            assert_eq!(
                lines,
                ["<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned(), format!("<{root}>"), format!("</{root}>")]
            );
        }
    }
}

fn events_before_a_signal_are_shown(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -b 16000000");
    listener.signal(Signal::SIGSTOP);
    create(&mut lab.client(), (1..=5000).map(udp_flow));
    listener.signal(Signal::SIGINT);
    listener.signal(Signal::SIGCONT);
    let (status, lines, stderr) = listener.end(Signal::SIGINT);
    assert_eq!((status, lines.len(), &*count(&stderr)), (Some(0), 5000, "5000 flow events have been shown."));
}

fn overrun_is_reported_and_listening_continues(lab: &Lab) {
    let mut listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -b 20000");
    listener.signal(Signal::SIGSTOP);
    let mut client = lab.client();
    for number in 1..=500 {
        client.create(&udp_flow(number)).unwrap();
    }
    listener.signal(Signal::SIGCONT);
    // After the warning there is room in the buffer again.
    let messages = wait_for(&mut listener, "events were lost");
    client.create(&udp_flow(7777)).unwrap();
    let (status, lines, stderr) = listener.end(Signal::SIGINT);
    assert_eq!(status, Some(0));
    assert!(messages.contains("NOTICE: Netlink socket buffer size has been set to 40000 bytes."), "{messages}");
    assert!(lines.len() < 500, "{}", lines.len());
    assert!(lines.last().unwrap().contains("sport=7777 "), "{lines:?}");
    assert!(
        count(&stderr).starts_with(&format!("{} flow events have been shown; overruns: ", lines.len())),
        "{stderr}"
    );
}

/// Reads messages until one contains the text.
fn wait_for(listener: &mut Listener, text: &str) -> String {
    let stderr = listener.child.stderr.as_mut().unwrap();
    let (mut messages, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&messages).contains(text) || !messages.ends_with(b"\n") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&messages));
        messages.extend(byte);
    }
    String::from_utf8(messages).unwrap()
}

fn gone_reader_is_noticed_without_an_event(lab: &Lab) {
    let mut listener = Listener::start(&lab.example("conntrack"), "-E");
    let reader: Option<ChildStdout> = listener.child.stdout.take();
    drop(reader);
    assert_eq!(listener.child.wait().unwrap().code(), Some(0));
}

/// A line that deletes the flow of an event has no values that may have changed.
fn destroy_events_are_saved_short(lab: &Lab) {
    let listener = Listener::start(&lab.example("conntrack"), "-E -e DESTROY -o save");
    happen(lab);
    let (_, lines, _) = listener.end(Signal::SIGINT);
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with("-D -w 0 -s ")), "{lines:?}");
}

fn expectation_events_have_no_sender(lab: &Lab) {
    let ours = Listener::start(&lab.example("conntrack"), "-E expect");
    let mut theirs = Listener::start("conntrack", "-E expect");
    expect(lab, ["10.9.0.1", "10.9.0.2"], 1);
    let ours = ours.end(Signal::SIGINT).1;
    theirs.until_printed(1);
    assert_eq!(ours, theirs.end(Signal::SIGINT).1);
    assert!(ours.len() == 1 && !ours[0].contains("USERSPACE"), "{ours:?}");
}

/// At most one warning a second.
fn overrun_warnings_are_rate_limited(lab: &Lab) {
    let begun = Instant::now();
    let listener = Listener::start(&lab.example("conntrack"), "-E -e NEW -b 4096");
    for cycle in 0..20 {
        listener.signal(Signal::SIGSTOP);
        create(&mut lab.client(), (1..=200).map(|number| udp_flow(cycle * 200 + number)));
        listener.signal(Signal::SIGCONT);
        // Time to empty the buffer, and to find that it was full.
        thread::sleep(Duration::from_millis(20));
    }
    let (_, _, stderr) = listener.end(Signal::SIGINT);
    let warnings = stderr.lines().filter(|line| line.starts_with("WARNING: events were lost")).count();
    let overruns: usize = stderr.rsplit_once("overruns: ").unwrap().1.trim_end_matches(".\n").parse().unwrap();
    assert!(overruns > 1, "{stderr}");
    let seconds = begun.elapsed().as_secs_f64().ceil();
    assert!(warnings > 0 && warnings as f64 <= 1.0 + seconds, "{warnings} of {overruns} in {seconds} s");
}

fn disabled_events_cause_a_warning(lab: &Lab) {
    for (setting, is_warned) in [(0, true), (1, false), (2, false)] {
        lab.sysctl(sysctl::EVENTS, setting);
        let (status, _, stderr) = Listener::start(&lab.example("conntrack"), "-E").end(Signal::SIGINT);
        assert_eq!(status, Some(0));
        let warning = "WARNING: nf_conntrack_events is 0: the kernel sends no events of flows\n";
        assert_eq!(stderr.contains(warning), is_warned, "{setting}: {stderr}");
    }
}
