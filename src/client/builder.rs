//! How a client's socket is opened.

use std::{io, time::Duration};

use super::{Client, NetworkNamespace, Socket, socket::TIMEOUT};
use crate::{error::Error, exchange::Connection};

/// What a socket is opened with.
#[derive(Debug)]
pub(crate) struct Options {
    pub(super) receive_buffer: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(super) namespace: Option<NetworkNamespace>,
}

impl Options {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let namespace = self.namespace.as_ref().map(NetworkNamespace::try_clone).transpose()?;
        Ok(Self { receive_buffer: self.receive_buffer, timeout: self.timeout, namespace })
    }
}

/// How a [`Client`] is to be opened.
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
    pub(super) const fn new() -> Self {
        Self { options: Options { receive_buffer: None, timeout: Some(TIMEOUT), namespace: None } }
    }

    /// Asks for room for that many bytes of answers in the kernel. It bounds how many operations of a batch are on
    /// their way at once; a dump does not need it.
    ///
    /// Where the kernel does not grant it all, it grants what it can: see [`Client::receive_buffer`].
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = Some(bytes);
        self
    }

    /// How long to wait for each datagram of an answer. `None` waits for ever. The default is ten seconds; the kernel
    /// answers at once, so that only a fault takes it.
    pub const fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Opens the socket in that namespace. A thread of its own enters it; the calling thread stays where it is.
    pub fn namespace(mut self, namespace: NetworkNamespace) -> Self {
        self.options.namespace = Some(namespace);
        self
    }

    /// Opens the client.
    ///
    /// # Errors
    ///
    /// Where the kernel has no netfilter netlink, or the namespace cannot be entered. Permission is looked at with each
    /// request, not here.
    pub fn open(self) -> Result<Client, Error> {
        let timeout = self.options.timeout;
        let socket = Socket::open(self.options)?;
        // While this thread is where the first socket is: later there is no telling.
        let writer = if socket.knows_its_namespace() { None } else { Some(socket.open_beside()?) };
        let writer = writer.map(|writer| Connection::new(writer, timeout));
        Ok(Client { connection: Connection::new(socket, timeout), writer, capabilities: None, zones: None })
    }
}
