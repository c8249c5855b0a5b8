//! The program: sockets, the clock, and commands.

use std::{
    collections::HashSet,
    error::Error,
    fmt::{Display, Write as _},
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ctnetlink::{Client, sysctl};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signalfd::SignalFd,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    NAME,
    command::{Command, Commands},
    commit::{Candidates, commit},
    expectation::Subject,
    local::Local,
    node::{Node, Settings},
    options::Options,
    wire::Kind,
};
use crate::{program, signals};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// IPv4 and UDP headers, as conntrackd counts them. IPv6 has 20 bytes more.
const HEADERS: usize = 28;
/// Datagrams and changes that are taken before the other side gets its turn.
const TURN: usize = 512;
/// The most expectations of the peer. A kernel keeps a few thousand unless `nf_conntrack_expect_max` is raised.
const EXPECTATIONS: usize = 1 << 16;

/// Exchanges flows until SIGINT or SIGTERM.
///
/// # Errors
///
/// Fails if a socket cannot be opened or breaks, or the kernel's table cannot be read.
pub fn run(options: &Options) -> Outcome {
    // Must run before any thread starts: threads inherit the blocked signals.
    let signals = signals::stop_descriptor()?;
    let mut commands = Commands::listen(&options.socket)?;
    let link = Link::open(options)?;
    let mut daemon = Daemon::start(options, link)?;
    warn_about_settings();
    while !daemon.has_ended(&signals)? {
        daemon.wait(&signals, &commands)?;
        daemon.receive()?;
        daemon.follow();
        daemon.transmit()?;
        commands.answer(|command| daemon.execute(command));
    }
    Ok(())
}

fn warn_about_settings() {
    if sysctl::EVENTS.read().is_ok_and(|value| value == 2) {
        complain("nf_conntrack_events=2: flows older than this program send no events, audits find their changes late");
    }
}

fn complain(message: impl Display) {
    program::complain(NAME, message);
}

/// The UDP socket, bound to the address and interface of the link.
struct Link {
    socket: UdpSocket,
    peer: SocketAddr,
    /// Datagrams from others than the peer.
    strangers: u64,
    /// Datagrams that could not be sent, and the last reason.
    unsent: u64,
    reason: Option<ErrorKind>,
}

impl Link {
    fn open(options: &Options) -> Outcome<Self> {
        let socket = Socket::new(Domain::for_address(options.address), Type::DGRAM, Some(Protocol::UDP))?;
        // No SO_REUSEADDR: two programs that receive in turn would each see gaps.
        socket
            .bind_device(Some(options.interface.as_bytes()))
            .map_err(|error| format!("cannot bind to the interface {}: {error}", options.interface))?;
        socket.bind(&options.address.into()).map_err(|error| format!("cannot bind to {}: {error}", options.address))?;
        // With CAP_NET_ADMIN the limit of the system does not count.
        if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &options.link_buffer).is_err()
        {
            socket.set_recv_buffer_size(options.link_buffer)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket: socket.into(), peer: options.peer, strangers: 0, unsent: 0, reason: None })
    }

    /// Receives a datagram of the peer.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.recv_from(buffer) {
                // conntrackd sends from a port that the system chooses.
                Ok((length, sender)) if sender.ip() == self.peer.ip() => return Ok(Some(length)),
                Ok(_) => self.strangers += 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Also if a router answered an earlier datagram: the peer cannot be reached.
                Err(error) if error.kind() == ErrorKind::WouldBlock || is_passing(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a datagram. If the link is down it is lost, like any datagram on its way.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send_to(datagram, self.peer) {
                Ok(_) => {
                    self.reason = None;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut wanted = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    poll(&mut wanted, PollTimeout::from(100_u8))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_passing(&error) => {
                    self.unsent += 1;
                    if self.reason.replace(error.kind()) != Some(error.kind()) {
                        complain(format_args!("cannot send to {}: {error}", self.peer));
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether an error says something of the network rather than of this program.
fn is_passing(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let passing = [
        Errno::ECONNREFUSED,
        Errno::EHOSTUNREACH,
        Errno::EHOSTDOWN,
        Errno::ENETUNREACH,
        Errno::ENETDOWN,
        Errno::ENODEV,
        Errno::ENOBUFS,
        Errno::EPERM,
        Errno::EADDRNOTAVAIL,
        Errno::EINVAL,
    ];
    error.raw_os_error().is_some_and(|number| passing.contains(&Errno::from_raw(number)))
}

struct Daemon {
    local: Local,
    client: Client,
    link: Link,
    node: Node,
    begun: Instant,
    /// Whether datagrams or changes may wait that were not taken in the last turn.
    is_behind: bool,
    buffer: Vec<u8>,
}

impl Daemon {
    fn start(options: &Options, link: Link) -> Outcome<Self> {
        let (local, client) = (Local::open(options)?, Client::open()?);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
        let settings = Settings {
            datagram: options.mtu - HEADERS - if options.address.is_ipv6() { 20 } else { 0 },
            window: options.window,
            resend_queue: options.resend_queue,
            in_flight: Settings::new(options.mode, 0).in_flight.min(options.resend_queue / 2),
            external: options.external,
            expectations: if options.expectations.is_some() { EXPECTATIONS } else { 0 },
            ..Settings::new(options.mode, seconds as u32)
        };
        let (node, begun) = (Node::new(settings), Instant::now());
        Ok(Self { local, client, link, node, begun, is_behind: false, buffer: vec![0; 65_536] })
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn has_ended(&self, signals: &SignalFd) -> Outcome<bool> {
        Ok(signals.read_signal()?.is_some())
    }

    /// Waits until there is something to do.
    fn wait(&self, signals: &SignalFd, commands: &Commands) -> Outcome {
        let now = self.now();
        let link = self.node.next_deadline(now).saturating_sub(now);
        let table = self.local.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let wait = if self.is_behind { Duration::ZERO } else { table.map_or(link, |table| table.min(link)) };
        // Rounded up, or the last fraction of a millisecond would be spent in a loop.
        let milliseconds = u16::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        let others = [self.link.socket.as_fd(), signals.as_fd()];
        let sources = self.local.sources().chain(commands.sources()).chain(others);
        let mut sources: Vec<_> = sources.map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        match poll(&mut sources, PollTimeout::from(milliseconds)) {
            Err(nix::errno::Errno::EINTR) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self) -> Outcome {
        self.is_behind = true;
        for _ in 0..TURN {
            let Some(length) = self.link.receive(&mut self.buffer)? else {
                self.is_behind = false;
                break;
            };
            let now = self.begun.elapsed();
            self.node.receive(self.buffer.get(..length).unwrap_or_default(), now);
        }
        Ok(())
    }

    /// Notes the changes of the kernel's table.
    fn follow(&mut self) {
        let Self { local, node, .. } = self;
        self.is_behind |= local.follow(8 * TURN, |kind, subject| node.note(kind, subject));
    }

    fn transmit(&mut self) -> Outcome {
        let mut datagram = Vec::with_capacity(2048);
        for _ in 0..TURN {
            if !self.node.transmit(self.begun.elapsed(), &self.local, &mut datagram) {
                return Ok(());
            }
            self.link.send(&datagram)?;
        }
        self.is_behind = true;
        Ok(())
    }
}

/// Commands.
impl Daemon {
    fn execute(&mut self, command: Command) -> String {
        match command {
            Command::DumpInternal => self.dump_internal(),
            Command::DumpExternal => self.dump_external(),
            Command::DumpInternalExpectations => self.dump_internal_expectations(),
            Command::DumpExternalExpectations => self.dump_external_expectations(),
            Command::Commit => self.commit(),
            Command::Flush => {
                let external = self.node.external();
                let text = format!("forgot {}\n", entries(external.flows().len(), external.expectations().len()));
                self.node.clear_external();
                text
            }
            Command::Resync => {
                self.node.request_table();
                "the peer's table is requested\n".into()
            }
            Command::Bulk => {
                self.node.send_table();
                "the table is sent to the peer\n".into()
            }
            Command::Statistics => self.statistics(),
        }
    }

    fn dump_internal(&self) -> String {
        self.local.flows().map(|flow| format!("{flow}\n")).collect()
    }

    fn dump_internal_expectations(&self) -> String {
        self.local.expectations().map(|expectation| format!("{expectation}\n")).collect()
    }

    fn dump_external(&self) -> String {
        let flows = self.node.external().flows().iter();
        flows.filter_map(|(_, record, at)| Some(self.with_age(&record.to_flow()?, at))).collect()
    }

    fn dump_external_expectations(&self) -> String {
        let expectations = self.node.external().expectations().iter();
        expectations.filter_map(|(_, record, at)| Some(self.with_age(&record.to_expectation()?, at))).collect()
    }

    fn with_age(&self, entry: &impl Display, at: Duration) -> String {
        format!("{entry} age={}\n", self.now().saturating_sub(at).as_secs())
    }

    /// Creates the peer's flows and expectations. The resulting events are not sent to the peer: it knows them, and a peer
    /// that injects flows into its kernel would replace flows in use.
    fn commit(&mut self) -> String {
        let now = self.now();
        let Self { local, client, node, .. } = self;
        while local.follow(TURN, |kind, subject| node.note(kind, subject)) {}
        let candidates = Candidates::new(node.external(), now);
        let committed: HashSet<Subject> = candidates.subjects().collect();
        let before: Vec<Subject> = committed.iter().filter(|subject| local.has(subject)).cloned().collect();

        let report = commit(client, candidates, || {
            let mut note = |kind, subject| {
                if !committed.contains(&subject) {
                    node.note(kind, subject);
                }
            };
            while local.follow(TURN, &mut note) {}
        });
        for subject in before.into_iter().filter(|subject| !local.has(subject)) {
            node.note(Kind::Delete, subject);
        }
        match report {
            Ok(report) => report.to_string(),
            Err(error) => format!("error: cannot commit: {error}\n"),
        }
    }

    fn statistics(&self) -> String {
        let (now, mut text) = (self.now(), String::new());
        let state = if self.node.is_connected(now) { "connected to" } else { "waiting for" };
        let _ = writeln!(text, "{state} {}", self.link.peer);
        let (flows, expectations) = self.local.counts();
        let external = self.node.external();
        let peers = entries(external.flows().len(), external.expectations().len());
        let _ = writeln!(text, "internal: {}, external: {peers}", entries(flows, expectations));
        let _ = writeln!(text, "waiting or not acknowledged: {}", self.node.pending());
        let counts = [
            ("losses of events, made up for by dumps", self.local.overruns()),
            ("datagrams from strangers, dropped", self.link.strangers),
            ("datagrams not sent because the link was down", self.link.unsent),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let _ = writeln!(text, "{name}: {count}");
        }
        let _ = write!(text, "{}", self.node.statistics());
        text
    }
}

/// Counts flows, and expectations if there are any.
fn entries(flows: usize, expectations: usize) -> String {
    let count = |count, name| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    match expectations {
        0 => count(flows, "flow"),
        _ => format!("{} and {}", count(flows, "flow"), count(expectations, "expectation")),
    }
}
