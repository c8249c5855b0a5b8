//! The synchronous client: everything that can be asked of the kernel, over one socket.

mod answer;
mod batch;
mod builder;
mod capabilities;
mod dump;
mod expectations;
mod filtered;
mod flows;
mod lookup;
mod matching;
mod namespace;
mod socket;
mod statistics;
pub mod sysctl;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

pub use answer::Answer;
pub use batch::Batch;
pub use builder::ClientBuilder;
pub(crate) use builder::Options;
pub use dump::{ExpectationDump, ExpectationIterator, FlowDump, FlowIterator};
pub use filtered::{FilteredDump, FilteredIterator};
pub use matching::{MatchError, MatchReport};
pub use namespace::NetworkNamespace;
pub(crate) use namespace::run_in;
pub(crate) use socket::{Socket, receive, set_receive_buffer, set_timeout, wait_readable};

use crate::{
    error::Error,
    exchange::{Connection, Transport},
    filter::Capabilities,
};

/// A connection to the connection tracking of one network namespace.
///
/// One socket, opened in the namespace of the calling thread (or another: see [`builder`](Self::builder)), and one
/// exchange at a time. Every wait has a bound. What comes from anybody but the kernel is dropped.
///
/// Everything but opening needs CAP_NET_ADMIN in the user namespace that owns the network namespace.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::Client;
///
/// let mut client = Client::open()?;
/// let mut flows = client.dump()?;
/// while let Some(flow) = flows.next() {
///     let flow = flow?;
///     if flow.original().destination_port() == Some(22) {
///         println!("{}", flow.original().source());
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    pub(crate) connection: Connection<Socket>,
    /// A second one, opened when it is needed: for changes while the first is busy with a dump.
    writer: Option<Connection<Socket>>,
    capabilities: Option<Capabilities>,
    /// Whether the kernel was built with zones.
    zones: Option<bool>,
}

impl Client {
    /// Opens a client in the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Where the kernel has no netfilter netlink. Permission is looked at with each request, not here.
    pub fn open() -> Result<Self, Error> {
        Self::builder().open()
    }

    /// A client with other buffers, time-outs, or in another namespace.
    pub const fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Bytes that the kernel granted for answers that wait to be received. The kernel doubles what was asked for, to
    /// make room for its own bookkeeping.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.connection.transport().receive_capacity()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Client {
    /// The socket, to be waited for. An exchange that is given up in the middle makes the client open another.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.transport().as_fd()
    }
}
