//! The program: sockets, the clock, and the table of the kernel.

use std::{
    collections::HashSet,
    error::Error,
    fmt::Write as _,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ctnetlink::{Change, ChangeKind, Client, EventGroups, EventSocket, Filter, FlowKey, FlowTable, Mirror, sysctl};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    command::{Command, Commands},
    commit::{commit, key_of},
    convert::Key,
    node::{Node, Settings, Table},
    options::Options,
    record::FlowRecord,
    wire::Kind,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// IPv4 and UDP headers, as conntrackd counts them. IPv6 has 20 bytes more.
const HEADERS: usize = 28;
/// Datagrams and changes that are taken before the other side gets its turn.
const TURN: usize = 512;

/// Exchanges flows until SIGINT or SIGTERM.
///
/// # Errors
///
/// Fails if a socket cannot be opened or breaks, or the kernel's table cannot be read.
pub fn run(options: &Options) -> Outcome {
    // Must run before any thread starts: threads inherit the blocked signals.
    let signals = block_signals()?;
    let commands = Commands::listen(&options.socket)?;
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

fn block_signals() -> Outcome<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn warn_about_settings() {
    if sysctl::EVENTS.read().is_ok_and(|value| value == 2) {
        complain("nf_conntrack_events=2: flows older than this program send no events, audits find their changes late");
    }
}

/// Unlike `eprintln!`, this does not panic if nobody reads.
fn complain(message: impl std::fmt::Display) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("conntrackd: {message}\n").as_bytes());
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

/// Which flows are sent.
struct Selection {
    /// The two addresses of the link.
    link: [IpAddr; 2],
    filter: Option<Filter>,
    /// With a filter: the flows that matched it when they last changed, and that the peer may know.
    announced: HashSet<Key>,
}

impl Selection {
    /// Translates a change of the table into the change that the peer sees. `None` if the peer need not know.
    fn translate(&mut self, change: &Change) -> Option<(Kind, Key)> {
        let key = Key::of(&change.flow).filter(|key| !self.is_local(key))?;
        let kind = match change.kind {
            ChangeKind::Appeared => Kind::New,
            ChangeKind::Changed => Kind::Update,
            ChangeKind::Vanished => Kind::Delete,
        };
        let Some(filter) = &self.filter else { return Some((kind, key)) };
        // A change can take a flow into the filter or out of it.
        let matches = kind != Kind::Delete && filter.matches(&change.flow);
        let kind = match (matches, matches && !self.announced.contains(&key)) {
            (true, true) => Kind::New,
            (true, false) => kind,
            (false, _) => Kind::Delete,
        };
        let is_known = if matches { !self.announced.insert(key) } else { self.announced.remove(&key) };
        (matches || is_known).then_some((kind, key))
    }

    fn is_local(&self, key: &Key) -> bool {
        [key.tuple.source, key.tuple.destination].iter().any(|end| end.is_loopback() || self.link.contains(end))
    }

    /// Takes in the flows that were there at the start.
    fn announce(&mut self, table: &FlowTable) {
        if let Some(filter) = &self.filter {
            let matching = table.iter().filter(|entry| filter.matches(entry));
            self.announced.extend(matching.filter_map(|entry| Key::of(&entry)));
        }
    }
}

/// The flows of the kernel's table that are sent.
struct Internal<'t> {
    table: &'t FlowTable,
    selection: &'t Selection,
}

impl Table for Internal<'_> {
    fn record(&self, key: &Key) -> Option<FlowRecord> {
        if self.selection.filter.is_some() && !self.selection.announced.contains(key) {
            return None;
        }
        FlowRecord::new(&self.table.get(flow_key(key))?.to_flow())
    }

    fn for_each_key(&self, take: &mut dyn FnMut(Key)) {
        let Selection { filter, announced, .. } = self.selection;
        match filter {
            Some(_) => announced.iter().filter(|key| !self.selection.is_local(key)).copied().for_each(take),
            None => {
                let keys = self.table.iter().filter_map(|entry| Key::of(&entry));
                keys.filter(|key| !self.selection.is_local(key)).for_each(take);
            }
        }
    }
}

fn flow_key(key: &Key) -> FlowKey {
    let flow = FlowKey::original(key.tuple);
    if key.zone == 0 { flow } else { flow.in_zone(key.zone) }
}

struct Daemon {
    mirror: Mirror,
    client: Client,
    link: Link,
    node: Node,
    selection: Selection,
    begun: Instant,
    /// Whether datagrams or changes may wait that were not taken in the last turn.
    is_behind: bool,
    buffer: Vec<u8>,
}

impl Daemon {
    fn start(options: &Options, link: Link) -> Outcome<Self> {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(options.event_buffer).open()?;
        let mut mirror = Mirror::new(events, Client::open()?)?.audit_every(options.audit);
        // The first table that is sent has to be complete.
        mirror.synchronize()?;
        let address = options.address.ip();
        let mut selection =
            Selection { link: [address, options.peer.ip()], filter: options.filter.clone(), announced: HashSet::new() };
        selection.announce(mirror.table());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
        let settings = Settings {
            datagram: options.mtu - HEADERS - if address.is_ipv6() { 20 } else { 0 },
            window: options.window,
            resend_queue: options.resend_queue,
            in_flight: Settings::new(options.mode, 0).in_flight.min(options.resend_queue / 2),
            external: options.external,
            ..Settings::new(options.mode, seconds as u32)
        };
        Ok(Self {
            mirror,
            client: Client::open()?,
            link,
            node: Node::new(settings),
            selection,
            begun: Instant::now(),
            is_behind: false,
            buffer: vec![0; 65_536],
        })
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
        let table = self.mirror.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let wait = if self.is_behind { Duration::ZERO } else { table.map_or(link, |table| table.min(link)) };
        // Rounded up, or the last fraction of a millisecond would be spent in a loop.
        let milliseconds = u16::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        let mut sources = [
            PollFd::new(self.mirror.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.link.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(commands.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
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
        for _ in 0..8 * TURN {
            match next_change(&mut self.mirror) {
                Some(change) => {
                    if let Some((kind, key)) = self.selection.translate(&change) {
                        self.node.note(kind, key);
                    }
                }
                None => return,
            }
        }
        self.is_behind = true;
    }

    fn transmit(&mut self) -> Outcome {
        let mut datagram = Vec::with_capacity(2048);
        for _ in 0..TURN {
            let internal = Internal { table: self.mirror.table(), selection: &self.selection };
            if !self.node.transmit(self.begun.elapsed(), &internal, &mut datagram) {
                return Ok(());
            }
            self.link.send(&datagram)?;
        }
        self.is_behind = true;
        Ok(())
    }
}

/// Returns the next change that waits.
fn next_change(mirror: &mut Mirror) -> Option<Change> {
    // The mirror goes on after an error with the next call, in the next turn.
    mirror.try_next().unwrap_or_else(|error| {
        complain(error);
        None
    })
}

/// Commands.
impl Daemon {
    fn execute(&mut self, command: Command) -> String {
        match command {
            Command::DumpInternal => self.dump_internal(),
            Command::DumpExternal => self.dump_external(),
            Command::Commit => self.commit(),
            Command::Flush => {
                let count = self.node.external().len();
                self.node.clear_external();
                format!("forgot {}\n", flows(count))
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
        let internal = Internal { table: self.mirror.table(), selection: &self.selection };
        let mut text = String::new();
        internal.for_each_key(&mut |key| {
            if let Some(entry) = internal.table.get(flow_key(&key)) {
                let _ = writeln!(text, "{}", entry.to_flow());
            }
        });
        text
    }

    fn dump_external(&self) -> String {
        let (now, mut text) = (self.now(), String::new());
        for (_, record, at) in self.node.external().iter() {
            if let Some(flow) = record.to_flow() {
                let _ = writeln!(text, "{flow} age={}", now.saturating_sub(at).as_secs());
            }
        }
        text
    }

    /// Creates the peer's flows. The resulting events are not sent to the peer: it knows the flows, and a peer that
    /// injects flows into its kernel would replace flows in use.
    fn commit(&mut self) -> String {
        while let Some(change) = next_change(&mut self.mirror) {
            if let Some((kind, key)) = self.selection.translate(&change) {
                self.node.note(kind, key);
            }
        }
        let now = self.now();
        let flows: Vec<_> =
            self.node.external().iter().filter_map(|(_, record, at)| record.to_new_flow(now - at)).collect();
        let committed: HashSet<Key> = flows.iter().map(key_of).collect();
        let is_there = |mirror: &Mirror, key: &Key| mirror.table().get(flow_key(key)).is_some();
        let before: Vec<Key> = committed.iter().filter(|key| is_there(&self.mirror, key)).copied().collect();

        let Self { mirror, client, node, selection, .. } = self;
        let report = commit(client, flows, || {
            while let Some(change) = next_change(mirror) {
                if let Some((kind, key)) = selection.translate(&change).filter(|(_, key)| !committed.contains(key)) {
                    node.note(kind, key);
                }
            }
        });
        for key in before.into_iter().filter(|key| !is_there(&self.mirror, key)) {
            self.node.note(Kind::Delete, key);
        }
        match report {
            Ok(report) => report.to_string(),
            Err(error) => format!("error: cannot commit: {error}\n"),
        }
    }

    fn statistics(&self) -> String {
        let (now, mut text) = (self.now(), String::new());
        let state = if self.node.is_connected(now) { "connected to" } else { "waiting for" };
        let internal = Internal { table: self.mirror.table(), selection: &self.selection };
        let mut sent = 0;
        internal.for_each_key(&mut |_| sent += 1);
        let _ = writeln!(text, "{state} {}", self.link.peer);
        let _ = writeln!(text, "internal: {}, external: {}", flows(sent), flows(self.node.external().len()));
        let _ = writeln!(text, "waiting or not acknowledged: {}", flows(self.node.pending()));
        let counts = [
            ("losses of events, made up for by dumps", self.mirror.overruns()),
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

fn flows(count: usize) -> String {
    format!("{count} {}", if count == 1 { "flow" } else { "flows" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctnetlink::{NewFlow, fake::FakeKernel};

    fn selection(filter: Option<&str>) -> Selection {
        let link = ["10.77.0.1".parse().unwrap(), "10.77.0.2".parse().unwrap()];
        Selection { link, filter: filter.map(|text| text.parse().unwrap()), announced: HashSet::new() }
    }

    fn changes(kernel: &FakeKernel, mirror: &mut Mirror, flow: &NewFlow, mark: u32) -> Vec<Change> {
        let mut client = kernel.client();
        client.create(flow).unwrap();
        client.update(FlowKey::original(flow.original), &ctnetlink::FlowUpdate::new().mark(mark)).unwrap();
        client.delete(FlowKey::original(flow.original)).unwrap();
        std::iter::from_fn(|| mirror.try_next().unwrap()).collect()
    }

    #[test]
    fn flow_that_leaves_the_filter_ends_for_the_peer() {
        let kernel = FakeKernel::new();
        let mut mirror = kernel.mirror();
        mirror.synchronize().unwrap();
        let flow = NewFlow::udp("10.0.0.1:1".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
        let mut kinds = |filter, flow: &NewFlow, mark| {
            let mut selection = selection(filter);
            let changes = changes(&kernel, &mut mirror, flow, mark);
            changes.iter().filter_map(|change| selection.translate(change).map(|(kind, _)| kind)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(None, &flow, 7), [Kind::New, Kind::Update, Kind::Delete]);
        assert_eq!(kinds(Some("not mark 7"), &flow, 7), [Kind::New, Kind::Delete]);
        assert_eq!(kinds(Some("mark 7"), &flow, 7), [Kind::New, Kind::Delete]);
        assert_eq!(kinds(Some("mark 8"), &flow, 7), []);
        let own = NewFlow::udp("10.77.0.2:3780".parse().unwrap(), "10.77.0.1:3780".parse().unwrap());
        assert_eq!(kinds(None, &own, 7), []);
        let local = NewFlow::udp("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(kinds(None, &local, 7), []);
    }
}
