//! The socket that listens.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use rustix::net::{netlink::SocketAddrNetlink, sockopt};

use super::{
    Event, EventGroups,
    namespaces::receive_with_namespace,
    stream::{EventStream, Patience, Source},
};
use crate::{
    client::{NetworkNamespace, receive, run_in, set_receive_buffer, set_timeout, wait_readable},
    error::{ATTACH_PROGRAM, Error, LISTEN_TO_ALL},
    exchange::{Datagram, Wait},
    filter::{Instruction, SocketFilter},
};

/// A listener to the events of one network namespace.
///
/// Events are lent one at a time, in the order in which the kernel sent them. Events from anybody but the kernel are
/// dropped, and counted. See the [module](crate::events) for what becomes of loss.
///
/// The kernel sends events only if `net.netfilter.nf_conntrack_events` is not 0, and, where it is 2 (the default since
/// Linux 5.19), only for flows that began while somebody listened: a flow from before ends without a word.
///
/// One that waits for many things waits for the descriptor to be readable ([`AsFd`], [`AsRawFd`]), and then takes events
/// with [`try_next`](Self::try_next) until there is none. Nothing has to be set on the descriptor for that.
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use ctnetlink::{EventGroups, EventSocket, format::Text};
///
/// let mut events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(16 << 20).open()?;
/// while let Some(event) = events.next_within(Duration::from_secs(60))? {
///     if let Some((kind, event)) = event.flow() {
///         println!("{}", Text::new().event(kind).flow(&event.flow.to_flow()));
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct EventSocket {
    pub(super) stream: EventStream<Listener>,
}

impl EventSocket {
    /// Listens to these groups in the namespace of the calling thread, without a bound on the wait for an event.
    ///
    /// # Errors
    ///
    /// [`is_permission_denied`](Error::is_permission_denied) without CAP_NET_ADMIN in the user namespace that owns the
    /// network namespace; or where the kernel has no netfilter netlink.
    pub fn open(groups: EventGroups) -> Result<Self, Error> {
        Self::builder(groups).open()
    }

    /// A listener with another buffer, a time-out, reliable delivery, or in another namespace.
    pub const fn builder(groups: EventGroups) -> EventSocketBuilder {
        EventSocketBuilder {
            groups,
            receive_buffer: None,
            timeout: None,
            namespace: None,
            reliable: false,
            all_namespaces: false,
            instructions: Vec::new(),
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) where none came within the builder's [`timeout`](EventSocketBuilder::timeout), or
    /// where the socket fails. The stream goes on after every error.
    #[allow(clippy::should_implement_trait, reason = "it lends, which `Iterator` cannot, and it has no end")]
    #[inline]
    pub fn next(&mut self) -> Result<Event<'_>, Error> {
        match self.stream.next(Patience::OfSource) {
            Ok(event) => event.ok_or_else(Error::timed_out),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next event, and no longer than that; `None` where none came.
    ///
    /// # Errors
    ///
    /// Where the socket fails. The stream goes on after every error.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event<'_>>, Error> {
        self.stream.next(Patience::within(timeout))
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// Where the socket fails. The stream goes on after every error.
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.stream.next(Patience::None)
    }

    /// How often events were lost: how many times [`Event::Overrun`] was given.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.stream.overruns()
    }

    /// Datagrams that were dropped since they did not come from the kernel.
    #[must_use]
    pub const fn foreign_datagrams(&self) -> u64 {
        self.stream.foreign()
    }

    /// Bytes that the kernel granted for events that wait to be received. The kernel doubles what was asked for.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.stream.source().capacity()
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.source().as_fd()
    }
}

impl AsRawFd for EventSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// How an [`EventSocket`] is to be opened.
#[derive(Debug)]
#[must_use]
pub struct EventSocketBuilder {
    groups: EventGroups,
    receive_buffer: Option<usize>,
    timeout: Option<Duration>,
    namespace: Option<NetworkNamespace>,
    reliable: bool,
    all_namespaces: bool,
    instructions: Vec<Instruction>,
}

impl EventSocketBuilder {
    /// Asks for room for that many bytes of events in the kernel, about 1280 for each event that may have to wait.
    ///
    /// Where the kernel does not grant it all, it grants what it can: see [`EventSocket::receive_buffer`]. Beyond
    /// `net.core.rmem_max` (212,992 unless changed) it goes only with CAP_NET_ADMIN in the initial user namespace.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// How long [`EventSocket::next`] waits. The default is for ever.
    pub const fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Listens in that namespace. A thread of its own enters it; the calling thread stays where it is.
    pub fn namespace(mut self, namespace: NetworkNamespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Has the kernel try again where it cannot deliver (`NETLINK_BROADCAST_ERROR`).
    ///
    /// The end of a flow is then repeated until it gets through, and other events are merged into the next one of their
    /// flow; [`Event::Overrun`] still comes. The price: flows that have ended stay in memory and count against
    /// `nf_conntrack_max` until this listener has read of them. One that does not read can fill the table, so that no
    /// new connection gets through.
    #[doc(alias = "NETLINK_BROADCAST_ERROR")]
    pub const fn reliable(mut self, reliable: bool) -> Self {
        self.reliable = reliable;
        self
    }

    /// Listens to other network namespaces too: to those that the socket's own knows by a number
    /// (`NETLINK_LISTEN_ALL_NSID`). Events tell it as their `namespace_id`.
    ///
    /// A namespace has a number where somebody gave it one (`ip netns set NAME NUMBER`), or where a device of here has
    /// its other end there. The numbers are those of `ip netns list-id`. Receiving takes a little longer then, and
    /// where the buffer overran there is no telling in which namespace events were lost.
    ///
    /// It takes CAP_NET_BROADCAST in the user namespace that owns the network namespace; where the capability is missing
    /// in that of another, nothing comes from there. A [`Mirror`](super::Mirror) passes over events of other namespaces.
    #[doc(alias = "NETLINK_LISTEN_ALL_NSID")]
    pub const fn all_namespaces(mut self, all: bool) -> Self {
        self.all_namespaces = all;
        self
    }

    /// Lets only those events through that the program selects, before they take room in the buffer.
    ///
    /// A program may let more through than its filter matches
    /// ([`is_exact`](SocketFilter::is_exact)): hold what comes against the filter again. Expectations always pass.
    ///
    /// ```no_run
    /// use ctnetlink::{EventGroups, EventSocket, Filter, filter::SocketFilter};
    ///
    /// let filter: Filter = "proto tcp and dport 22".parse()?;
    /// let events = EventSocket::builder(EventGroups::FLOWS).filter(&SocketFilter::new(&filter)).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(mut self, program: &SocketFilter) -> Self {
        self.instructions = program.instructions().to_vec();
        self
    }

    /// Opens the socket and joins the groups.
    ///
    /// # Errors
    ///
    /// As [`EventSocket::open`], and where the namespace cannot be entered.
    pub fn open(self) -> Result<EventSocket, Error> {
        let listener = run_in(self.namespace.as_ref(), || self.listen())??;
        Ok(EventSocket { stream: EventStream::new(listener, self.timeout) })
    }

    fn listen(&self) -> Result<Listener, Error> {
        let socket = self.socket().map_err(|error| Error::io(LISTEN, error))?;
        if self.all_namespaces {
            socket.set_listen_all_namespaces(true).map_err(|error| Error::io(LISTEN_TO_ALL, error))?;
        }
        // Before the groups are joined: everything is in place when the first event comes.
        attach(&socket, &self.instructions).map_err(|error| Error::io(ATTACH_PROGRAM, error))?;
        self.join(socket).map_err(|error| Error::io(LISTEN, error))
    }

    fn socket(&self) -> io::Result<netlink_sys::Socket> {
        let socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_NETFILTER)?;
        if let Some(bytes) = self.receive_buffer {
            set_receive_buffer(&socket, bytes)?;
        }
        set_timeout(&socket, self.timeout)?;
        if self.reliable {
            socket.set_broadcast_error(true)?;
        }
        Ok(socket)
    }

    fn join(&self, socket: netlink_sys::Socket) -> io::Result<Listener> {
        let capacity = sockopt::socket_recv_buffer_size(&socket)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, self.groups.bits()))?;
        Ok(Listener { socket, capacity, all_namespaces: self.all_namespaces })
    }
}

const LISTEN: &str = "listen to connection tracking events";

/// Lets a program choose in the kernel which datagrams reach the socket; without instructions, all do.
fn attach(socket: &impl AsFd, instructions: &[Instruction]) -> io::Result<()> {
    if instructions.is_empty() {
        return Ok(());
    }
    let program: Vec<socket2::SockFilter> = instructions
        .iter()
        .map(|step| socket2::SockFilter::new(step.code, step.jump_true, step.jump_false, step.value))
        .collect();
    socket2::SockRef::from(socket).attach_filter(&program)
}

/// The descriptor.
pub(super) struct Listener {
    socket: netlink_sys::Socket,
    capacity: usize,
    all_namespaces: bool,
}

impl Source for Listener {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        match self.all_namespaces {
            false => receive(&self.socket, buffer, wait),
            true => receive_with_namespace(&self.socket, buffer, wait),
        }
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        wait_readable(&self.socket, patience)
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
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
    use super::*;

    const fn give_back(value: u32) -> Instruction {
        Instruction { code: 6, jump_true: 0, jump_false: 0, value }
    }

    fn listener(instructions: Vec<Instruction>) -> Result<Listener, Error> {
        let builder = EventSocket::builder(EventGroups::empty());
        EventSocketBuilder { instructions, ..builder }.listen()
    }

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn a_program_is_attached_before_the_first_event() {
        // Opening needs no permission as long as no group is joined.
        let Ok(mut all) = listener(Vec::new()) else { return };
        let mut none = listener(vec![give_back(0)]).unwrap();
        for (to, expected) in [(&mut all, true), (&mut none, false)] {
            let own = rustix::net::getsockname(&to.socket).unwrap();
            let own = SocketAddrNetlink::try_from(own).unwrap();
            // From user to user takes CAP_NET_ADMIN.
            if rustix::net::sendto(&to.socket, &[0; 16], rustix::net::SendFlags::empty(), &own).is_ok() {
                assert_eq!(to.receive(&mut [0; 64], Wait::No).is_ok(), expected);
            }
        }
        assert!(listener(vec![Instruction { code: 0xffff, ..give_back(0) }]).is_err(), "the kernel checks programs");
    }
}
