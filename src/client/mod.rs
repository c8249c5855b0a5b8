//! The synchronous client: everything that can be asked of the kernel, one exchange at a time.
//!
//! A [`Client`] works over any transport. The transport of [`Client::open`] is a netlink socket, which exists on Linux only.

mod batch;
mod bulk;
mod bulk_report;
mod dump;
mod expectations;
mod flows;
mod kept;
mod kernel;
mod partition;
mod stop;

#[cfg(all(target_os = "linux", feature = "client"))]
mod netfilter_socket;
#[cfg(all(target_os = "linux", feature = "client"))]
mod socket;
#[cfg(all(target_os = "linux", feature = "client"))]
pub mod sysctl;

#[cfg(all(target_os = "linux", feature = "client"))]
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use batch::Batch;
pub use bulk_report::BulkReport;
pub use dump::{Dump, Entry, ReplyStream};
pub use partition::{Partition, PartitionedDump};
pub(crate) use partition::{PartitionedDumps, ReadBuckets};
pub(crate) use stop::Stop;
pub use stop::StopHandle;
#[cfg(all(target_os = "linux", feature = "client", feature = "fake"))]
pub(crate) use stop::new_eventfd;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub(crate) use {
    bulk::{BulkChange, NO_OBSERVER},
    flows::{destination_of, reply_key},
};

#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) use netfilter_socket::{NetfilterSocket, set_receive_buffer};
#[cfg(all(target_os = "linux", feature = "client"))]
pub use socket::NetworkNamespace;
#[cfg(all(target_os = "linux", feature = "client"))]
use socket::{Options, Socket, TIMEOUT};
#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) use socket::{id_of_this_thread, run_in};

#[cfg(all(target_os = "linux", feature = "client"))]
use crate::error::Error;
use crate::{
    exchange::{Connection, Transport},
    filter::Capabilities,
};

/// A client of the connection tracking of one network namespace.
///
/// It has one socket, opened in the namespace of the calling thread (or another: see [`builder`](Self::builder)), and runs
/// one exchange at a time. Every wait has a bound. Datagrams from any sender but the kernel are dropped.
///
/// Opening needs no permission. Everything else needs CAP_NET_ADMIN in the user namespace that owns the network
/// namespace.
///
/// # Examples
///
/// ```no_run
/// use ctnetlink::Client;
///
/// let mut client = Client::open()?;
/// for flow in client.dump_matching(&"proto tcp and dport 22".parse()?)? {
///     println!("{}", flow?);
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    pub(crate) connection: Connection,
    /// A second connection, opened when it is needed: for changes while the first is busy with a dump.
    writer: Option<Connection>,
    capabilities: Option<Capabilities>,
    /// Whether the kernel was built with zones.
    zones: Option<bool>,
    /// Ends changes by a filter.
    stop: Stop,
}

impl Client {
    /// A client over any transport.
    pub(crate) fn over(transport: Box<dyn Transport>, timeout: Option<Duration>) -> Self {
        let (connection, stop) = (Connection::new(transport, timeout), Stop::default());
        Self { connection, writer: None, capabilities: None, zones: None, stop }
    }

    /// The same client, if its kernel is known to have zones: it is not probed for them.
    #[cfg(feature = "fake")]
    pub(crate) fn with_zones(self) -> Self {
        Self { zones: Some(true), ..self }
    }

    /// Replaces the transports.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) fn map_transports(self, map: impl Fn(Box<dyn Transport>) -> Box<dyn Transport>) -> Self {
        let writer = self.writer.map(|writer| writer.map_transport(&map));
        Self { connection: self.connection.map_transport(&map), writer, ..self }
    }

    /// Returns the bytes that the kernel granted for answers that wait to be received: twice what was requested, since it
    /// counts its own bookkeeping.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let client = ctnetlink::Client::open()?;
    /// println!("{} bytes", client.receive_buffer());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.connection.transport().receive_capacity()
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl Client {
    /// Opens a client in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no netfilter netlink. Permission is checked by each request, not here.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::Client;
    ///
    /// let mut client = Client::open()?;
    /// println!("{} flows", client.dump()?.count());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn open() -> Result<Self, Error> {
        Self::builder().open()
    }

    /// Returns a builder, for other buffers and time-outs and for another network namespace.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ctnetlink::{Client, NetworkNamespace};
    ///
    /// let blue = NetworkNamespace::from_path("/run/netns/blue")?;
    /// let mut client = Client::builder().namespace(blue).timeout(Some(Duration::from_secs(5))).open()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub const fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Makes a client of a netlink socket that was opened elsewhere: received over a Unix socket, inherited, or opened in
    /// another namespace.
    ///
    /// The namespace of such a socket is not known, so no other socket can be opened beside it: an abandoned dump is read to
    /// its end by the next request, and a change by a filter dumps the matching flows into memory before it changes them.
    /// Refusals have the kernel's own text only if `NETLINK_EXT_ACK` was set on the socket. The time-out of ten seconds is
    /// set on it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn receive_descriptor() -> std::os::fd::OwnedFd { unimplemented!() }
    /// let mut client = ctnetlink::Client::from_fd(receive_descriptor())?;
    /// println!("{} flows", client.statistics()?.entries.unwrap_or(0));
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the descriptor is not a socket of domain
    /// `AF_NETLINK` and protocol `NETLINK_NETFILTER`.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Ok(Self::over(Box::new(Socket::from_fd(fd)?), Some(TIMEOUT)))
    }
}

/// Options for opening a [`Client`].
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use ctnetlink::Client;
///
/// let client = Client::builder().receive_buffer(1 << 20).timeout(Some(Duration::from_secs(1))).open()?;
/// println!("{} bytes granted", client.receive_buffer());
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[cfg(all(target_os = "linux", feature = "client"))]
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    options: Options,
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl ClientBuilder {
    const fn new() -> Self {
        Self { options: Options::DEFAULT }
    }

    /// Requests a receive buffer of that many bytes for answers. It bounds the number of operations of a batch that are
    /// under way at once; a dump does not need it.
    ///
    /// The kernel may grant less: see [`Client::receive_buffer`].
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = Some(bytes);
        self
    }

    /// Sets how long to wait for each datagram of an answer; `None` waits without a bound. The default is ten seconds. The
    /// kernel answers at once, so only a fault takes that long.
    pub const fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Opens the socket in that network namespace. A separate thread enters it; the calling thread stays where it is.
    pub fn namespace(mut self, namespace: NetworkNamespace) -> Self {
        self.options.namespace = Some(namespace);
        self
    }

    /// Opens the client.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no netfilter netlink, or the namespace cannot be entered. Permission is checked by each
    /// request, not here.
    pub fn open(self) -> Result<Client, Error> {
        let timeout = self.options.timeout;
        let socket = Socket::open(self.options)?;
        // Without /proc the namespace cannot be found again later, so the second socket is opened now.
        let writer = if socket.knows_its_namespace() { None } else { Some(socket.open_beside()?) };
        let mut client = Client::over(Box::new(socket), timeout);
        client.writer = writer.map(|writer| Connection::new(Box::new(writer) as _, timeout));
        Ok(client)
    }
}
