//! The netlink socket that listens.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
    time::Duration,
};

use super::{
    EventGroups,
    socket::{EventSocket, Listener},
    stream::{EventStream, Inbox, Source},
    synchronizer::Settings,
};
use crate::{
    client::{
        NetfilterSocket, NetworkNamespace, ReadBuckets, Stop, id_of_this_thread, run_in, set_receive_buffer, sysctl,
    },
    error::{ATTACH_PROGRAM, Errno, Error, LISTEN_TO_ALL},
    exchange::{Datagram, NamespaceId, Wait},
    filter::{Filter, Instruction, SocketFilter},
};

/// The default request. Granted twice, it holds some 13,000 events.
const RECEIVE_BUFFER: usize = 8 << 20;

impl EventSocket {
    /// Opens a socket that listens to these groups in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without CAP_NET_ADMIN in the user namespace that owns the
    ///   network namespace.
    /// - [`EventsDisabled`](crate::ErrorKind::EventsDisabled) if `net.netfilter.nf_conntrack_events` is 0.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) if the kernel has no netfilter netlink.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{EventGroups, EventSocket};
    ///
    /// for event in EventSocket::open(EventGroups::NEW | EventGroups::DESTROY)? {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn open(groups: EventGroups) -> Result<Self, Error> {
        Self::builder(groups).open()
    }

    /// Returns a builder for a socket with a filter, another buffer, a timeout, reliable delivery, or in another
    /// namespace.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ctnetlink::{EventGroups, EventSocket};
    ///
    /// let builder = EventSocket::builder(EventGroups::FLOWS).receive_buffer(64 << 20);
    /// let events = builder.timeout(Some(Duration::from_secs(5))).open()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub const fn builder(groups: EventGroups) -> EventSocketBuilder {
        EventSocketBuilder {
            groups,
            receive_buffer: RECEIVE_BUFFER,
            timeout: None,
            namespace: None,
            reliable: false,
            all_namespaces: false,
            allow_disabled: false,
            filter: None,
            program: None,
        }
    }

    /// Takes over a socket that was opened elsewhere: received over a Unix socket, or from a service manager.
    ///
    /// It has to be a netlink socket of netfilter that has joined its groups already. The kernel's setting for events
    /// is not checked, because the namespace of the socket is not known.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the descriptor is not such a socket.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # fn received_from_the_parent_process() -> std::os::fd::OwnedFd { unimplemented!() }
    /// use ctnetlink::EventSocket;
    ///
    /// let mut events = EventSocket::from_fd(received_from_the_parent_process())?;
    /// println!("{:?}", events.next());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let socket = NetfilterSocket::adopt(fd)?;
        // Whether it listens to other namespaces is not known: look for their numbers.
        let listener =
            NetlinkListener::new(socket, true).map_err(|error| Error::io("set up a netfilter socket", error))?;
        Ok(Self { stream: EventStream::new(Box::new(listener), None, None) })
    }
}

/// A builder for an [`EventSocket`].
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use ctnetlink::{EventGroups, EventSocket, NetworkNamespace};
///
/// let events = EventSocket::builder(EventGroups::FLOWS)
///     .namespace(NetworkNamespace::from_path("/run/netns/blue")?)
///     .receive_buffer(32 << 20)
///     .timeout(Some(Duration::from_secs(1)))
///     .open()?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct EventSocketBuilder {
    groups: EventGroups,
    receive_buffer: usize,
    timeout: Option<Duration>,
    namespace: Option<NetworkNamespace>,
    reliable: bool,
    all_namespaces: bool,
    allow_disabled: bool,
    filter: Option<Filter>,
    program: Option<SocketFilter>,
}

impl EventSocketBuilder {
    /// Sets how many bytes of events the kernel is asked to keep until they are received, at about 1,280 bytes an event.
    /// The default is 8 MiB.
    ///
    /// The kernel grants twice as much, or as much as it can: see [`EventSocket::receive_buffer`]. More than
    /// `net.core.rmem_max` (212,992 unless changed) needs CAP_NET_ADMIN in the initial user namespace.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Sets how long [`next`](Iterator::next) and [`next_view`](EventSocket::next_view) wait. The default is
    /// `None`: without a limit.
    pub const fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens the socket in that namespace. A separate thread enters it; the calling thread stays where it is.
    pub fn namespace(mut self, namespace: NetworkNamespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Makes the kernel retry events that it cannot deliver (`NETLINK_BROADCAST_ERROR`).
    ///
    /// The end of a flow is then repeated until it arrives, and other events are merged into the next one of their flow.
    /// [`Event::Overrun`](crate::Event::Overrun) still reports that the buffer was full. This has a price:
    ///
    /// - Flows that have ended stay in memory and count against `nf_conntrack_max` until this listener has read their
    ///   end. A listener that stops reading can fill the table, and then no new connection gets through.
    /// - Every other listener of the namespace receives the repeated events too, at a time when the tuple may belong to
    ///   another flow. A [`Mirror`](super::Mirror) copes with that.
    #[doc(alias = "NETLINK_BROADCAST_ERROR")]
    pub const fn reliable(mut self, reliable: bool) -> Self {
        self.reliable = reliable;
        self
    }

    /// Listens to the other network namespaces as well that have a number in the socket's own
    /// (`NETLINK_LISTEN_ALL_NSID`). Events carry the number as `namespace_id`.
    ///
    /// A namespace has a number if one was assigned (`ip netns set NAME NUMBER`), or if a device of this namespace has
    /// its other end there. `ip netns list-id` lists the numbers. Receiving takes slightly longer. After an overrun, it
    /// is not known in which namespace events were lost.
    ///
    /// Needs CAP_NET_BROADCAST in the user namespace that owns the network namespace. No events arrive from a namespace
    /// whose user namespace does not grant it. A [`Mirror`](super::Mirror) ignores events of other namespaces.
    #[doc(alias = "NETLINK_LISTEN_ALL_NSID")]
    pub const fn all_namespaces(mut self, all: bool) -> Self {
        self.all_namespaces = all;
        self
    }

    /// Opens the socket even if the kernel sends no events (`net.netfilter.nf_conntrack_events` is 0), for a program that
    /// expects them to be switched on later.
    pub const fn allow_disabled(mut self, allow: bool) -> Self {
        self.allow_disabled = allow;
        self
    }

    /// Yields only events of flows that the filter matches. Expectations always pass.
    ///
    /// The filter runs in the kernel, before an event takes room in the buffer, as far as a socket program can express
    /// it. The socket checks the rest in userspace. It is evaluated on the attributes of each event: an event of a flow
    /// without counters does not match a filter on counters.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{EventGroups, EventSocket, Filter};
    ///
    /// let filter: Filter = "proto tcp and dport 22".parse()?;
    /// let events = EventSocket::builder(EventGroups::FLOWS).filter(&filter).open()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn filter(mut self, filter: &Filter) -> Self {
        self.filter = Some(filter.clone());
        self
    }

    /// Attaches a program to the socket, instead of the one that [`filter`](Self::filter) would attach. Nothing is checked
    /// in userspace unless a filter is set as well, so events pass that an
    /// [inexact](SocketFilter::is_exact) program lets through.
    pub fn program(mut self, program: &SocketFilter) -> Self {
        self.program = Some(program.clone());
        self
    }

    /// Opens the socket and joins the groups.
    ///
    /// # Errors
    ///
    /// Fails like [`EventSocket::open`], and if the namespace cannot be entered or the kernel refuses the program.
    pub fn open(self) -> Result<EventSocket, Error> {
        let listener = run_in(self.namespace.as_ref(), || self.listen())??;
        Ok(EventSocket { stream: EventStream::new(Box::new(listener), self.timeout, self.filter) })
    }

    /// Opens the socket in the namespace of this thread.
    fn listen(&self) -> Result<NetlinkListener, Error> {
        let failed = |error: io::Error| Error::io(LISTEN, error);
        let socket = self.socket()?;
        // Before the groups are joined: everything is in place when the first event arrives.
        self.attach(&socket).map_err(|error| Error::io(ATTACH_PROGRAM, error))?;
        let socket = NetfilterSocket::bind(socket, self.groups.bits()).map_err(failed)?;
        let mut listener = NetlinkListener::new(socket, self.all_namespaces).map_err(failed)?;
        listener.has_program = self.program.is_some();
        listener.namespace = id_of_this_thread();
        // Joining a group loads the module that the setting belongs to.
        listener.events_setting = File::open(sysctl::EVENTS.path()).ok();
        if !self.groups.is_empty() && !self.allow_disabled && !listener.events_enabled() {
            return Err(Error::events_disabled());
        }
        Ok(listener)
    }

    fn socket(&self) -> Result<netlink_sys::Socket, Error> {
        let failed = |error: io::Error| Error::io(LISTEN, error);
        let socket = NetfilterSocket::open().map_err(failed)?;
        set_receive_buffer(&socket, self.receive_buffer).map_err(failed)?;
        if self.reliable {
            socket.set_broadcast_error(true).map_err(failed)?;
        }
        if self.all_namespaces {
            socket.set_listen_all_namespaces(true).map_err(|error| Error::io(LISTEN_TO_ALL, error))?;
        }
        Ok(socket)
    }

    /// Lets a program choose in the kernel which datagrams reach the socket.
    fn attach(&self, socket: &impl AsFd) -> io::Result<()> {
        match (&self.program, &self.filter) {
            (Some(program), _) => attach(socket, program.instructions()),
            (None, Some(filter)) => attach_filter(socket, filter),
            (None, None) => Ok(()),
        }
    }
}

const LISTEN: &str = "listen to connection tracking events";

/// Attaches the most selective program for which the socket has memory. The socket checks the rest in userspace.
fn attach_filter(socket: &impl AsFd, filter: &Filter) -> io::Result<()> {
    for longest in [usize::MAX, 1024, 256, 64] {
        let program = SocketFilter::per_event_within(longest, filter, filter, filter);
        match attach(socket, program.instructions()) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOMEM.0) => {}
            result => return result,
        }
    }
    Ok(())
}

fn attach(socket: &impl AsFd, instructions: &[Instruction]) -> io::Result<()> {
    let program: Vec<socket2::SockFilter> = instructions
        .iter()
        .map(|step| socket2::SockFilter::new(step.code, step.jump_true, step.jump_false, step.value))
        .collect();
    socket2::SockRef::from(socket).attach_filter(&program)
}

/// The descriptor and its namespace.
struct NetlinkListener {
    socket: NetfilterSocket,
    capacity: usize,
    /// Whether datagrams may carry the number of another namespace.
    has_numbers: bool,
    /// Whether a program chooses which datagrams arrive.
    has_program: bool,
    stop: Stop,
    /// `None` if it is not known.
    namespace: Option<NamespaceId>,
    /// `nf_conntrack_events` of the namespace: an open file stays that namespace's, wherever it is read.
    events_setting: Option<File>,
    /// `nf_conntrack_buckets`, which all namespaces share.
    buckets_setting: Option<Arc<File>>,
}

impl NetlinkListener {
    fn new(socket: NetfilterSocket, has_numbers: bool) -> io::Result<Self> {
        Ok(Self {
            capacity: socket.receive_capacity()?,
            socket,
            has_numbers,
            has_program: false,
            stop: Stop::default(),
            namespace: None,
            events_setting: None,
            buckets_setting: None,
        })
    }
}

impl Listener for NetlinkListener {
    fn stop(&self) -> &Stop {
        &self.stop
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn has_program(&self) -> bool {
        self.has_program
    }

    fn namespace_id(&self) -> Option<NamespaceId> {
        self.namespace
    }

    fn watch_buckets(&mut self) {
        self.buckets_setting = File::open(sysctl::BUCKETS.path()).ok().map(Arc::new);
    }
}

impl Settings for NetlinkListener {
    fn buckets(&self) -> Option<u32> {
        read_number(self.buckets_setting.as_ref()?)
    }

    fn read_buckets(&self) -> Option<ReadBuckets> {
        let setting = Arc::clone(self.buckets_setting.as_ref()?);
        Some(Arc::new(move || read_number(&setting)))
    }

    fn events_enabled(&self) -> bool {
        self.events_setting.as_ref().and_then(read_number) != Some(0)
    }
}

/// Reads a setting again: in a microsecond, a fifth of the time that opening the file takes as well.
fn read_number(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = file.read_at(&mut text, 0).ok()?;
    core::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

impl Source for NetlinkListener {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        match self.has_numbers {
            false => self.socket.receive(buffer, Wait::No),
            true => self.socket.receive_with_number(buffer),
        }
    }

    fn receive_several(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        match self.has_numbers {
            false => inbox.receive_several(|buffers, received| self.socket.receive_several(buffers, received)),
            true => inbox.receive_one(|buffer| self.socket.receive_with_number(buffer)),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.stop.wait(self.socket.as_fd(), timeout).map(drop)
    }

    #[inline]
    fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl core::fmt::Debug for NetlinkListener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetlinkListener").field("fd", &self.socket.as_fd()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd, unix::net::UnixDatagram};

    use nix::sys::socket::{MsgFlags, NetlinkAddr, getsockname, sendto};

    use super::*;
    use crate::ErrorKind;

    const fn give_back(value: u32) -> Instruction {
        Instruction { code: 6, jump_true: 0, jump_false: 0, value }
    }

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn the_program_decides_which_datagrams_arrive() {
        // Opening needs no permission as long as no group is joined.
        let Ok(mut all) = EventSocket::builder(EventGroups::empty()).listen() else { return };
        let mut none = EventSocket::builder(EventGroups::empty()).listen().unwrap();
        attach(&none.socket, &[give_back(0)]).unwrap();
        for (to, expected) in [(&mut all, true), (&mut none, false)] {
            let own = getsockname::<NetlinkAddr>(to.socket.as_raw_fd()).unwrap();
            // From user to user takes CAP_NET_ADMIN.
            if sendto(to.socket.as_raw_fd(), &[0; 16], &own, MsgFlags::empty()).is_ok() {
                assert_eq!(to.receive(&mut [0; 64]).is_ok(), expected);
            }
        }
        let not_valid = Instruction { code: 0xffff, ..give_back(0) };
        assert!(attach(&all.socket, &[not_valid]).is_err(), "the kernel checks programs");
    }

    #[test]
    fn other_descriptors_are_refused() {
        let file = File::open("/dev/null").unwrap().into();
        let socket = UnixDatagram::unbound().unwrap().into();
        for fd in [file, socket] {
            assert_eq!(EventSocket::from_fd(fd).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
