//! The socket that listens.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg},
};
use rustix::net::{netlink::SocketAddrNetlink, sockopt};

use super::{
    Event, EventGroups, EventRef, StopHandle,
    stop::Stop,
    stream::{EventStream, Source},
    synchronizer::Settings,
};
use crate::{
    client::{NetworkNamespace, check_netfilter, id_of_this_thread, receive, run_in, set_receive_buffer, sysctl},
    error::{ATTACH_PROGRAM, Errno, Error, LISTEN_TO_ALL},
    exchange::{Datagram, Deadline, NamespaceId, Wait},
    filter::{Filter, Instruction, SocketFilter},
};

/// The default request. Granted twice, it holds some 13,000 events.
const RECEIVE_BUFFER: usize = 8 << 20;
/// `SOL_NETLINK` (include/linux/socket.h).
const SOL_NETLINK: i32 = 270;
/// `NETLINK_LISTEN_ALL_NSID` (include/uapi/linux/netlink.h).
const NETLINK_LISTEN_ALL_NSID: i32 = 8;

/// A listener to the events of one network namespace.
///
/// It is an iterator over events in the order in which the kernel sent them. [`next_view`](Self::next_view) yields the
/// same events without copying them out of the receive buffer. Datagrams that do not come from the kernel are dropped
/// and counted. See the [module](crate::events) for lost events.
///
/// The kernel sends events only if `net.netfilter.nf_conntrack_events` is not 0. If it is 2 (the default since Linux
/// 5.19), flows that were created while nobody listened send no events: such a flow ends without a DESTROY.
///
/// # Waiting
///
/// - [`next`](Iterator::next) and [`next_view`](Self::next_view) wait until an event arrives, or for the builder's
///   [`timeout`](EventSocketBuilder::timeout), after which they fail with an error of kind
///   [`TimedOut`](crate::ErrorKind::TimedOut).
/// - [`next_within`](Self::next_within) and [`next_view_within`](Self::next_view_within) wait for a given time.
/// - [`try_next`](Self::try_next) and [`try_next_view`](Self::try_next_view) do not wait. A program that waits for
///   several things polls the descriptor ([`AsFd`]) and then calls them until they return `None`. The descriptor needs
///   no preparation for this.
///
/// A signal does not end a wait. A [`StopHandle`] does, from a signal handler or another thread.
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use ctnetlink::{EventGroups, EventSocket, format::Text};
///
/// let mut events = EventSocket::open(EventGroups::FLOWS)?;
/// while let Some(event) = events.next_within(Duration::from_secs(60))? {
///     if let Some((kind, event)) = event.flow() {
///         println!("{}", Text::new().event(kind).flow(&event.flow));
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct EventSocket {
    pub(super) stream: EventStream<Listener>,
}

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
        check_netfilter(&fd)?;
        let failed = |error: rustix::io::Errno| Error::io("set up a netfilter socket", error.into());
        let capacity = sockopt::socket_recv_buffer_size(&fd).map_err(failed)?;
        // Whether it listens to other namespaces is not known: look for their numbers.
        let listener = Listener { capacity, ..Listener::new(fd, true) };
        Ok(Self { stream: EventStream::new(listener, None, None) })
    }

    /// Waits for the next event and lends it. Returns `None` after the socket was [stopped](Self::stop_handle).
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](crate::ErrorKind::TimedOut) if the builder's [`timeout`](EventSocketBuilder::timeout) passed.
    /// - [`Decode`](crate::ErrorKind::Decode) if an event does not decode: see [`message`](Self::message).
    /// - [`Io`](crate::ErrorKind::Io) if the socket fails.
    ///
    /// The next call goes on after every error.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{EventGroups, EventRef, EventSocket};
    ///
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// while let Some(event) = events.next_view()? {
    ///     if let EventRef::New(new) = event {
    ///         println!("{}", new.flow.original().source());
    ///     }
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[inline]
    pub fn next_view(&mut self) -> Result<Option<EventRef<'_>>, Error> {
        self.stream.next_in_time()
    }

    /// Waits for the next event no longer than `timeout` and lends it. Returns `None` if there is none by then, or after
    /// the socket was stopped.
    ///
    /// # Errors
    ///
    /// Fails like [`next_view`](Self::next_view), but without `TimedOut`.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// # use std::time::Duration;
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// while let Some(event) = events.next_view_within(Duration::from_secs(1))? {
    ///     println!("{:?}", event.kind());
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn next_view_within(&mut self, timeout: Duration) -> Result<Option<EventRef<'_>>, Error> {
        self.stream.next(Deadline::after(timeout))
    }

    /// Lends the next event if there is one already. Returns `None` otherwise.
    ///
    /// # Errors
    ///
    /// Fails like [`next_view`](Self::next_view), but without `TimedOut`.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// while let Some(event) = events.try_next_view()? {
    ///     println!("{:?}", event.kind());
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[inline]
    pub fn try_next_view(&mut self) -> Result<Option<EventRef<'_>>, Error> {
        self.stream.next(Deadline::Now)
    }

    /// Waits for the next event no longer than `timeout`. Returns `None` if there is none by then, or after the socket
    /// was stopped.
    ///
    /// # Errors
    ///
    /// Fails like [`next_view`](Self::next_view), but without `TimedOut`.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// # use std::time::Duration;
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// match events.next_within(Duration::from_secs(1))? {
    ///     Some(event) => println!("{event:?}"),
    ///     None => println!("nothing happened for a second"),
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        Ok(self.next_view_within(timeout)?.map(|event| event.to_event()))
    }

    /// Returns the next event if there is one already, and `None` otherwise.
    ///
    /// # Errors
    ///
    /// Fails like [`next_view`](Self::next_view), but without `TimedOut`.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// while let Some(event) = events.try_next()? {
    ///     println!("{event:?}");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        Ok(self.try_next_view()?.map(|event| event.to_event()))
    }

    /// Returns a handle that ends every wait for events, from another thread or from a signal handler. All handles of a
    /// socket are the same.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// let stop = events.stop_handle()?;
    /// std::thread::spawn(move || {
    ///     let _ = std::io::stdin().read_line(&mut String::new());
    ///     stop.stop();
    /// });
    /// while let Some(event) = events.next_view()? {
    ///     println!("{:?}", event.kind());
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.stream.source().stop().handle()
    }

    /// Returns whether a [stop handle](Self::stop_handle) has stopped the socket.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stream.source().is_stopped()
    }

    /// Returns whether the kernel sends events in the socket's namespace at this moment: false if somebody has set
    /// `net.netfilter.nf_conntrack_events` to 0. Returns true if the setting cannot be read.
    #[must_use]
    pub fn events_enabled(&self) -> bool {
        self.stream.source().events_enabled()
    }

    /// Returns the bytes of the message that was yielded last. After an error of kind [`Decode`](crate::ErrorKind::Decode) they
    /// are the message that does not decode; if its length is not valid either, they are the rest of its datagram.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.stream.message()
    }

    /// Returns how many times events were lost: how many [`Event::Overrun`] were yielded.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.stream.overruns()
    }

    /// Returns the number of datagrams that were dropped because they did not come from the kernel.
    #[must_use]
    pub const fn rejected_datagrams(&self) -> u64 {
        self.stream.rejected()
    }

    /// Returns the bytes that the kernel granted for events that wait to be received. The kernel doubles the number of
    /// bytes that the builder asks for.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.stream.source().capacity()
    }
}

/// For a mirror.
impl EventSocket {
    pub(super) fn is_filtered(&self) -> bool {
        self.stream.has_filter() || self.stream.source().has_program
    }

    pub(super) const fn namespace_id(&self) -> Option<NamespaceId> {
        self.stream.source().namespace
    }

    /// Keeps the file open that a dump needs for each of its datagrams.
    pub(super) fn watch_buckets(&mut self) {
        self.stream.source_mut().buckets_setting = File::open(sysctl::BUCKETS.path()).ok();
    }
}

/// Waits for each event. The iterator ends after the socket was [stopped](EventSocket::stop_handle).
///
/// The errors are the same as for [`next_view`](EventSocket::next_view). The iterator goes on after every error.
impl Iterator for EventSocket {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_view().map(|event| event.map(|event| event.to_event())).transpose()
    }
}

impl AsFd for EventSocket {
    /// Returns the descriptor. It is readable if there is an event or a loss to report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.source().as_fd()
    }
}

impl AsRawFd for EventSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A builder for an [`EventSocket`].
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
    /// [`Event::Overrun`] still reports that the buffer was full. This has a price:
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
        Ok(EventSocket { stream: EventStream::new(listener, self.timeout, self.filter) })
    }

    /// Opens the socket in the namespace of this thread.
    fn listen(&self) -> Result<Listener, Error> {
        let mut listener = self.socket()?;
        // Before the groups are joined: everything is in place when the first event arrives.
        self.attach(&listener.socket).map_err(|error| Error::io(ATTACH_PROGRAM, error))?;
        listener.has_program = self.program.is_some();
        listener.namespace = id_of_this_thread();
        rustix::net::bind(&listener.socket, &SocketAddrNetlink::new(0, self.groups.bits()))
            .map_err(|error| Error::io(LISTEN, error.into()))?;
        // Joining a group loads the module that the setting belongs to.
        listener.events_setting = File::open(sysctl::EVENTS.path()).ok();
        if !self.groups.is_empty() && !self.allow_disabled && !listener.events_enabled() {
            return Err(Error::events_disabled());
        }
        Ok(listener)
    }

    fn socket(&self) -> Result<Listener, Error> {
        let failed = |error: io::Error| Error::io(LISTEN, error);
        let socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_NETFILTER).map_err(failed)?;
        set_receive_buffer(&socket, self.receive_buffer).map_err(failed)?;
        if self.reliable {
            socket.set_broadcast_error(true).map_err(failed)?;
        }
        if self.all_namespaces {
            socket.set_listen_all_namespaces(true).map_err(|error| Error::io(LISTEN_TO_ALL, error))?;
        }
        let capacity = sockopt::socket_recv_buffer_size(&socket).map_err(|error| failed(error.into()))?;
        // Every descriptor is owned alike, whether it was opened here or elsewhere.
        let socket = socket.as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Listener { capacity, ..Listener::new(socket, self.all_namespaces) })
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
pub(super) struct Listener {
    socket: OwnedFd,
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
    buckets_setting: Option<File>,
}

impl Listener {
    fn new(socket: OwnedFd, has_numbers: bool) -> Self {
        Self {
            socket,
            capacity: 0,
            has_numbers,
            has_program: false,
            stop: Stop::default(),
            namespace: None,
            events_setting: None,
            buckets_setting: None,
        }
    }

    pub(super) const fn stop(&self) -> &Stop {
        &self.stop
    }
}

impl Settings for Listener {
    fn buckets(&self) -> Option<u32> {
        read_number(self.buckets_setting.as_ref()?)
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

impl Source for Listener {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        match self.has_numbers {
            false => receive(&self.socket, buffer, Wait::No),
            true => receive_with_number(&self.socket, buffer),
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

/// Receives one datagram and the number of the namespace that it comes from, which the kernel attaches to it.
fn receive_with_number(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut attached = cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut attached), flags)?;
    Ok(Datagram {
        length: received.bytes,
        // Datagrams without a sender address are treated as foreign.
        sender: received.address.map_or(u32::MAX, |address| address.pid()),
        namespace: received.cmsgs()?.find_map(namespace_id),
    })
}

fn namespace_id(message: ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else { return None };
    let header = message.cmsg_header;
    let is_id = (header.cmsg_level, header.cmsg_type) == (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID);
    is_id.then(|| message.data_bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)))?
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl core::fmt::Debug for Listener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Listener").field("fd", &self.socket.as_fd()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

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
            let own = rustix::net::getsockname(&to.socket).unwrap();
            let own = SocketAddrNetlink::try_from(own).unwrap();
            // From user to user takes CAP_NET_ADMIN.
            if rustix::net::sendto(&to.socket, &[0; 16], rustix::net::SendFlags::empty(), &own).is_ok() {
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
