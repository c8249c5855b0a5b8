//! The synchronous client: everything that can be asked of the kernel, one exchange at a time.
//!
//! A [`Client`] works over any transport. The transport of [`Client::open`] is a netlink socket, which exists on Linux only.

mod batch;
mod bulk;
mod capabilities;
mod dump;
mod expectations;
mod flows;
mod lookup;
mod original_destination;
mod statistics;
mod stop;

#[cfg(all(target_os = "linux", feature = "client"))]
mod builder;
#[cfg(all(target_os = "linux", feature = "client"))]
mod namespace;
#[cfg(all(target_os = "linux", feature = "client"))]
mod socket;
#[cfg(all(target_os = "linux", feature = "client"))]
pub mod sysctl;

use std::time::Duration;

pub use batch::Batch;
pub use bulk::BulkReport;
pub use dump::{Dump, Entry, ReplyStream};
pub(crate) use stop::Stop;
pub use stop::StopHandle;
#[cfg(all(target_os = "linux", feature = "client", feature = "fake"))]
pub(crate) use stop::new_eventfd;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub(crate) use {
    bulk::{BulkChange, NO_OBSERVER},
    original_destination::{destination_of, reply_key},
};

#[cfg(all(target_os = "linux", feature = "client"))]
pub use {builder::ClientBuilder, namespace::NetworkNamespace};
#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) use {
    namespace::{id_of_this_thread, run_in},
    socket::{check_netfilter, receive, set_receive_buffer},
};

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
