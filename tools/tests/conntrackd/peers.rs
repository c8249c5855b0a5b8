//! The two programs, controlled in the same way.

use std::{collections::BTreeSet, fs};

use ctnetlink::{Flow, Layer4, Protocol};

use crate::gateways::{Daemon, Folder, Host, run};

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
    pub host: &'h Host,
    pub interface: &'static str,
    pub address: &'static str,
    pub peer: &'static str,
}

/// A daemon at one end.
pub struct Peer<'h> {
    pub host: &'h Host,
    kind: Kind,
    folder: Folder,
    arguments: Vec<String>,
    daemon: Daemon,
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
                options.chain(["--socket".into(), folder.path("socket")]).collect()
            }
            Kind::Conntrackd => {
                let path = folder.path("conf");
                fs::write(&path, configuration(end, mode, expectations, &folder)).unwrap();
                vec!["-C".into(), path]
            }
        };
        let daemon = Self::spawn(kind, end.host, &arguments);
        Self { host: end.host, kind, folder, arguments, daemon }
    }

    fn spawn(kind: Kind, host: &Host, arguments: &[String]) -> Daemon {
        let program = if kind == Kind::Ours { PROGRAM } else { "conntrackd" };
        host.spawn(program, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Kills the daemon without giving it time for anything.
    pub fn kill(&mut self) {
        self.daemon.kill();
        // conntrackd does not start beside the lock of another.
        let _ = fs::remove_file(self.folder.path("lock"));
    }

    pub fn start_again(&mut self) {
        self.daemon = Self::spawn(self.kind, self.host, &self.arguments);
    }

    /// Runs a command: the text that both understand, or each in its way.
    fn command(&self, ours: &str, conntrackd: &[&str]) -> String {
        match self.kind {
            Kind::Ours => {
                let words: Vec<&str> = ours.split(' ').collect();
                run(PROGRAM, &[&["--socket", &self.folder.path("socket")][..], &words].concat())
            }
            Kind::Conntrackd => {
                self.host.run("conntrackd", &[&["-C", &self.folder.path("conf")][..], conntrackd].concat())
            }
        }
    }

    /// Returns whether the daemon answers commands.
    pub fn is_up(&self) -> bool {
        let socket = if self.kind == Kind::Ours { "socket" } else { "control" };
        std::os::unix::net::UnixStream::connect(self.folder.path(socket)).is_ok()
    }

    pub fn commit(&self) -> String {
        self.command("commit", &["-c"])
    }

    pub fn statistics(&self) -> String {
        self.command("stats", &["-s", "network"])
    }

    pub fn request_table(&self) {
        self.command("resync", &["-n"]);
    }

    /// Returns the original tuples of the other side's flows.
    pub fn external(&self) -> BTreeSet<String> {
        let text = self.command("dump external", &["-e"]);
        text.lines().filter(|line| line.contains("src=")).map(original_of_line).collect()
    }

    /// Returns the destination ports that the other side expects.
    pub fn external_expectations(&self) -> BTreeSet<u16> {
        let text = self.command("dump external expectations", &["-e", "expect"]);
        let port = |line: &str| line.split_whitespace().find_map(|word| word.strip_prefix("dport=")?.parse().ok());
        text.lines().filter_map(port).collect()
    }
}

fn configuration(end: &End<'_>, mode: &str, expectations: bool, folder: &Folder) -> String {
    let options = if expectations { "Options {\n ExpectationSync On\n }\n" } else { "" };
    let mode = mode.to_uppercase();
    let End { interface, address, peer, .. } = end;
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    let (log, lock, control) = (folder.path("log"), folder.path("lock"), folder.path("control"));
    format!(
        "Sync {{\n Mode {mode} {{\n StartupResync yes\n DisableExternalCache no\n }}\n UDP {{\n {family}_address {address}\n \
         {family}_Destination_Address {peer}\n Port 3780\n Interface {interface}\n SndSocketBuffer 1249280\n \
         RcvSocketBuffer 1249280\n Checksum on\n }}\n{options}}}\nGeneral {{\n HashSize 32768\n HashLimit 524288\n \
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
