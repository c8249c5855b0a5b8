//! The two programs, controlled in the same way.
#![allow(dead_code, reason = "the tests and the figures use a part each")]

use std::{collections::BTreeSet, fs, process::Stdio};

use ctnetlink::{Flow, Layer4, Protocol};

use crate::network::{Folder, Namespace, Program, Usage, command, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_conntrackd");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program under test.
    Ours,
    /// conntrackd 1.4.7.
    Conntrackd,
}

/// One end of a link.
pub struct End<'h> {
    pub host: &'h Namespace,
    pub interface: &'static str,
    pub address: &'static str,
    pub peer: &'static str,
}

/// A daemon at one end.
pub struct Peer<'h> {
    pub host: &'h Namespace,
    kind: Kind,
    folder: Folder,
    arguments: Vec<String>,
    daemon: Program,
}

impl<'h> Peer<'h> {
    /// Starts a daemon. `mode` is `ftfw` or `notrack`.
    pub fn start(kind: Kind, end: &End<'h>, mode: &str) -> Self {
        Self::start_with(kind, end, mode, false)
    }

    /// Starts a daemon that also exchanges expectations, if `expectations` is true.
    pub fn start_with(kind: Kind, end: &End<'h>, mode: &str, expectations: bool) -> Self {
        let folder = Folder::new();
        let arguments: Vec<String> = match kind {
            Kind::Ours => {
                let End { interface, address, peer, .. } = end;
                let sync = if expectations { " --expectation-sync all" } else { "" };
                let line = format!("--address {address} --peer {peer} --interface {interface} --mode {mode}{sync}");
                let options = line.split(' ').map(String::from);
                options.chain(["--socket".into(), folder.file("socket")]).collect()
            }
            Kind::Conntrackd => {
                let path = folder.file("conf");
                fs::write(&path, configuration(end, mode, expectations, &folder)).unwrap();
                vec!["-C".into(), path]
            }
        };
        let daemon = Self::spawn(kind, end.host, &arguments);
        Self { host: end.host, kind, folder, arguments, daemon }
    }

    fn spawn(kind: Kind, host: &Namespace, arguments: &[String]) -> Program {
        let mut daemon = command(if kind == Kind::Ours { PROGRAM } else { "conntrackd" });
        daemon.args(arguments).stdout(Stdio::null());
        host.inside(|| Program::start(&mut daemon))
    }

    /// Kills the daemon without giving it time for anything.
    pub fn kill(&mut self) {
        self.daemon.kill();
        // conntrackd does not start beside the lock of another.
        let _ = fs::remove_file(self.folder.file("lock"));
    }

    pub fn start_again(&mut self) {
        self.daemon = Self::spawn(self.kind, self.host, &self.arguments);
    }

    /// Runs a command: ours, or the options of conntrackd.
    fn command(&self, ours: &str, conntrackd: &str) -> String {
        match self.kind {
            Kind::Ours => run(&format!("{PROGRAM} --socket {} {ours}", self.folder.file("socket"))),
            Kind::Conntrackd => self.host.run(&format!("conntrackd -C {} {conntrackd}", self.folder.file("conf"))),
        }
    }

    pub fn usage(&self) -> Usage {
        self.daemon.usage()
    }

    /// Returns whether the daemon answers commands.
    pub fn is_up(&self) -> bool {
        let socket = if self.kind == Kind::Ours { "socket" } else { "control" };
        std::os::unix::net::UnixStream::connect(self.folder.file(socket)).is_ok()
    }

    pub fn commit(&self) -> String {
        self.command("commit", "-c")
    }

    pub fn statistics(&self) -> String {
        self.command("stats", "-s network")
    }

    pub fn request_table(&self) {
        self.command("resync", "-n");
    }

    /// Returns the original tuples of the other side's flows.
    pub fn external(&self) -> BTreeSet<String> {
        let text = self.command("dump external", "-e");
        text.lines().filter(|line| line.contains("src=")).map(original_of_line).collect()
    }

    /// Returns the number of the other side's flows.
    pub fn external_count(&self) -> usize {
        let (statistics, name) = match self.kind {
            Kind::Ours => (self.statistics(), "external: "),
            Kind::Conntrackd => {
                (self.host.run(&format!("conntrackd -C {} -s cache", self.folder.file("conf"))), "active objects:")
            }
        };
        let count = |text: &str| text.split_whitespace().next()?.parse().ok();
        statistics.split(name).last().and_then(count).unwrap()
    }

    /// Returns the destination ports that the other side expects.
    pub fn external_expectations(&self) -> BTreeSet<u16> {
        let text = self.command("dump external expectations", "-e expect");
        let port = |line: &str| line.split_whitespace().find_map(|word| word.strip_prefix("dport=")?.parse().ok());
        text.lines().filter_map(port).collect()
    }
}

fn configuration(end: &End<'_>, mode: &str, expectations: bool, folder: &Folder) -> String {
    let options = if expectations { "Options {\n ExpectationSync On\n }\n" } else { "" };
    let mode = mode.to_uppercase();
    let End { interface, address, peer, .. } = end;
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    let (log, lock, control) = (folder.file("log"), folder.file("lock"), folder.file("control"));
    format!(
        "Sync {{\n Mode {mode} {{\n StartupResync yes\n DisableExternalCache no\n }}\n UDP {{\n {family}_address {address}\n \
         {family}_Destination_Address {peer}\n Port 3780\n Interface {interface}\n SndSocketBuffer 1249280\n \
         RcvSocketBuffer 1249280\n Checksum on\n }}\n{options}}}\nGeneral {{\n HashSize 262144\n HashLimit 2097152\n \
         LogFile {log}\n LockFile {lock}\n UNIX {{\n Path {control}\n }}\n NetlinkBufferSize 8388608\n \
         NetlinkBufferSizeMaxGrowth 33554432\n Filter From Userspace {{\n Address Ignore {{\n IPv4_address 127.0.0.1\n \
         IPv4_address 10.77.0.0/16\n }}\n }}\n}}\n"
    )
}

/// Returns protocol, addresses and ports of the original direction from a line of either program.
fn original_of_line(line: &str) -> String {
    // The name before the number differs for protocols that have none.
    let protocol = line.split_whitespace().nth(1).unwrap_or_default();
    let first = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap_or("-");
    format!("{protocol} {} {} {} {}", first("src="), first("dst="), first("sport="), first("dport="))
}

/// Returns the same of a flow.
pub fn original(flow: &Flow) -> String {
    let tuple = &flow.original;
    let (from, to) = match tuple.layer4 {
        Layer4::Ports { source, destination } => (source.to_string(), destination.to_string()),
        _ => ("-".into(), "-".into()),
    };
    let Protocol(protocol) = tuple.protocol;
    format!("{protocol} {} {} {from} {to}", tuple.source, tuple.destination)
}

pub fn originals(flows: &[Flow]) -> BTreeSet<String> {
    flows.iter().map(original).collect()
}

/// Creates a namespace in which flows older than a daemon send events too.
pub fn host() -> Namespace {
    let host = Namespace::new();
    host.sysctl("netfilter/nf_conntrack_events", 1);
    host
}

/// Returns the kernel's flows, apart from the link's own.
pub fn flows(host: &Namespace) -> Vec<Flow> {
    let is_of_the_link = |flow: &Flow| {
        let source = flow.original.source.to_string();
        ["10.77.", "fd77:", "fe80:"].iter().any(|prefix| source.starts_with(prefix))
    };
    let flows: Vec<Flow> = host.client().dump().unwrap().map(Result::unwrap).collect();
    flows.into_iter().filter(|flow| !is_of_the_link(flow)).collect()
}
