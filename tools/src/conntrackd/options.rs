//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ctnetlink::Filter;
use lexopt::{Arg, Parser, ValueExt as _};

use super::{
    command::{Command, UnknownCommand},
    node::Mode,
    own_expectations::Helpers,
};
use crate::program::Parsed;

/// The text of `--help`.
pub const USAGE: &str = "\
Exchanges flows with a peer that speaks the protocol of conntrackd 1.4.7, so that two gateways back each other up.

usage: conntrackd --address ADDRESS --peer ADDRESS --interface NAME [OPTIONS]
       conntrackd [--socket PATH] COMMAND

The protocol has no authentication and no encryption: whoever can send datagrams from the peer's address can create and
delete flows here. Use a link of its own between the two gateways, or IPsec or WireGuard below the protocol. This program
receives on the given address and interface only, and drops datagrams from other addresses than the peer's.

Link:
  --address ADDRESS       own address on the link
  --peer ADDRESS          the peer's address
  --interface NAME        the interface of the link
  --port PORT             UDP port of both ends (3780)
  --mode MODE             ftfw: messages are acknowledged (default). notrack: they are sent once
  --mtu BYTES             MTU of the link (1500)
  --ack-window COUNT      messages that are acknowledged together, as ACKWindowSize of conntrackd (300)
  --resend-queue COUNT    messages that the peer keeps, as ResendQueueSize of conntrackd (131072)
  --link-buffer BYTES     receive buffer of the link (8388608)

Flows:
  --filter EXPRESSION     flows to send, in the language of the ctnetlink crate: \"proto tcp and not dst 10.0.0.1\"
                          Flows of loopback addresses and of the link's addresses are never sent.
  --external COUNT        the most flows of the peer to keep (1048576)
  --expectation-sync HELPERS
                          exchange expectations as well, as ExpectationSync of conntrackd does: of all helpers (all), or
                          of those that are named (ftp,sip). A peer that injects flows into its kernel must have
                          ExpectationSync too: without it, conntrackd 1.4.7 ends with an assertion.
  --event-buffer BYTES    receive buffer for events of the kernel (16777216)
  --audit SECONDS         how often the table is compared with the kernel's, 0 for never (60)

Commands to a running program:
  dump internal           print the flows of this gateway that are sent to the peer
  dump external           print the flows of the peer
  dump internal expectations, dump external expectations
                          print expectations
  commit                  create the flows of the peer in the kernel, and then the expectations
  flush                   forget the flows and expectations of the peer
  resync                  request the peer's whole table
  bulk                    send the whole table to the peer
  stats                   print the state of the link, and counts

  --socket PATH           socket for commands (/run/ctnetlink-conntrackd.sock)
";

/// The task that the command line asks for.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "used by the program alone")]
pub enum Task {
    /// Exchange flows.
    Run(Box<Options>),
    /// Send a command to a running program.
    Send(PathBuf, Command),
}

/// The options of the program.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "used by the program alone")]
pub struct Options {
    /// The own address on the link.
    pub address: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The interface of the link.
    pub interface: String,
    /// The mode.
    pub mode: Mode,
    /// The MTU of the link.
    pub mtu: usize,
    /// Messages that are acknowledged together.
    pub window: u32,
    /// Messages that the peer keeps.
    pub resend_queue: usize,
    /// The receive buffer of the link, in bytes.
    pub link_buffer: usize,
    /// The flows to send.
    pub filter: Option<Filter>,
    /// The most flows of the peer to keep.
    pub external: usize,
    /// The helpers whose expectations are exchanged.
    pub expectations: Option<Helpers>,
    /// The receive buffer for events, in bytes.
    pub event_buffer: usize,
    /// How often the table is audited.
    pub audit: Option<Duration>,
    /// The socket for commands.
    pub socket: PathBuf,
}

/// Reads the arguments.
///
/// # Errors
///
/// A message for the user.
pub fn parse(mut parser: Parser) -> Parsed<Task> {
    let (mut address, mut peer, mut interface) = (None::<IpAddr>, None::<IpAddr>, None);
    let mut port = 3780;
    let mut words = Vec::new();
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut options = Options {
        address: unspecified,
        peer: unspecified,
        interface: String::new(),
        mode: Mode::FtFw,
        mtu: 1500,
        window: 300,
        resend_queue: 131_072,
        link_buffer: 8 << 20,
        filter: None,
        external: 1 << 20,
        expectations: None,
        event_buffer: 16 << 20,
        audit: Some(Duration::from_secs(60)),
        socket: PathBuf::from("/run/ctnetlink-conntrackd.sock"),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("address") => address = Some(parser.value()?.parse()?),
            Arg::Long("peer") => peer = Some(parser.value()?.parse()?),
            Arg::Long("interface") => interface = Some(parser.value()?.string()?),
            Arg::Long("port") => port = parser.value()?.parse()?,
            Arg::Long("mode") => options.mode = parser.value()?.parse_with(mode)?,
            Arg::Long("mtu") => options.mtu = parser.value()?.parse_with(|text| within(text, 200, 65_535))?,
            Arg::Long("ack-window") => {
                options.window = parser.value()?.parse_with(|text| within(text, 2, 1 << 20))? as u32;
            }
            Arg::Long("resend-queue") => {
                options.resend_queue = parser.value()?.parse_with(|text| within(text, 64, 1 << 30))?;
            }
            Arg::Long("link-buffer") => options.link_buffer = parser.value()?.parse()?,
            Arg::Long("filter") => options.filter = Some(parser.value()?.parse()?),
            Arg::Long("external") => options.external = parser.value()?.parse()?,
            Arg::Long("expectation-sync") => options.expectations = Some(parser.value()?.parse()?),
            Arg::Long("event-buffer") => options.event_buffer = parser.value()?.parse()?,
            Arg::Long("audit") => {
                let seconds = parser.value()?.parse()?;
                options.audit = Some(Duration::from_secs(seconds)).filter(|period| !period.is_zero());
            }
            Arg::Long("socket") => options.socket = parser.value()?.into(),
            Arg::Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if !words.is_empty() {
        let command = words.join(" ").parse().map_err(|error: UnknownCommand| error.to_string())?;
        return Ok(Some(Task::Send(options.socket, command)));
    }
    let (Some(address), Some(peer), Some(interface)) = (address, peer, interface) else {
        return Err("--address, --peer and --interface are required, or a command".into());
    };
    if address.is_ipv4() != peer.is_ipv4() {
        return Err("--address and --peer have different families".into());
    }
    options.address = SocketAddr::new(address, port);
    options.peer = SocketAddr::new(peer, port);
    options.interface = interface;
    Ok(Some(Task::Run(Box::new(options))))
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    match text {
        "ftfw" => Ok(Mode::FtFw),
        "notrack" => Ok(Mode::NoTrack),
        _ => Err("expected ftfw or notrack"),
    }
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Task>, String> {
        parse(Parser::from_args(line.split(' '))).map_err(|error| error.to_string())
    }

    const LINK: &str = "--address 10.0.0.1 --peer 10.0.0.2 --interface eth2";

    #[test]
    fn options_of_the_link_are_read() {
        let Ok(Some(Task::Run(options))) = parsed(&format!("{LINK} --port 3781 --mode notrack --audit 0")) else {
            panic!()
        };
        assert_eq!(options.peer, "10.0.0.2:3781".parse().unwrap());
        assert_eq!((options.mode, options.audit, options.expectations), (Mode::NoTrack, None, None));
        let Ok(Some(Task::Run(options))) = parsed(&format!("{LINK} --expectation-sync all")) else { panic!() };
        assert_eq!(options.expectations, Some(Helpers::All));
    }

    #[test]
    fn commands_are_read() {
        assert!(matches!(parsed("dump external"), Ok(Some(Task::Send(_, Command::DumpExternal)))));
        let Ok(Some(Task::Send(path, Command::Commit))) = parsed("--socket /tmp/x commit") else { panic!() };
        assert_eq!(path, PathBuf::from("/tmp/x"));
        assert!(parsed("dump").unwrap_err().contains("dump internal"));
    }

    #[test]
    fn wrong_options_are_explained() {
        assert!(parsed("--address 10.0.0.1").unwrap_err().contains("--interface"));
        assert!(parsed(&format!("{LINK} --mtu 100")).unwrap_err().contains("from 200 to 65535"));
        assert!(parsed(&format!("{LINK} --mode alarm")).unwrap_err().contains("ftfw or notrack"));
        assert!(parsed(&format!("{LINK} --filter prot")).unwrap_err().contains("proto"));
        assert!(parsed("--address ::1 --peer 10.0.0.2 --interface lo").unwrap_err().contains("families"));
    }

    #[test]
    fn help_warns_of_the_missing_authentication() {
        assert!(matches!(parsed("--help"), Ok(None)));
        assert!(USAGE.contains("no authentication"));
    }
}
