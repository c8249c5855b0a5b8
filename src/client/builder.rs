//! Opening a client.

use std::{io, os::fd::OwnedFd, time::Duration};

use super::{
    Client, NetworkNamespace,
    socket::{Socket, TIMEOUT},
};
use crate::{error::Error, exchange::Connection};

/// The options of a socket.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) receive_buffer: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(super) namespace: Option<NetworkNamespace>,
}

impl Options {
    pub(super) const DEFAULT: Self = Self { receive_buffer: None, timeout: Some(TIMEOUT), namespace: None };

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let namespace = self.namespace.as_ref().map(NetworkNamespace::try_clone).transpose()?;
        Ok(Self { receive_buffer: self.receive_buffer, timeout: self.timeout, namespace })
    }
}

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
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    options: Options,
}

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
