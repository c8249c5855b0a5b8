//! An in-memory kernel for tests.
//!
//! A [`FakeKernel`] holds a table of flows and a table of expectations, and answers every request that a [`Client`] sends.
//! It needs no root, no network namespace and no Linux: tests that use it run wherever the crate builds.
//!
//! The client is an ordinary [`Client`] that exchanges netlink messages with the fake kernel. A test therefore runs the
//! same code as production: encoding, sequence numbers, dumps of many datagrams, acknowledgements, error paths. Only the
//! socket is replaced.
//!
//! # Testing a function
//!
//! A function that takes `&mut Client` is tested unchanged:
//!
//! ```
//! use std::{net::IpAddr, time::Duration};
//! use ctnetlink::{Client, Error, Filter, NewFlow, fake::FakeKernel};
//!
//! /// The code under test: deletes the flows of a backend that is gone, and returns how many there were.
//! fn forget(client: &mut Client, backend: IpAddr) -> Result<u64, Error> {
//!     let filter = Filter::any_address(backend);
//!     Ok(client.delete_matching(&filter)?.changed())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = FakeKernel::new();
//! for (port, backend) in [(40_000, "10.0.0.7:53"), (40_001, "10.0.0.8:53"), (40_002, "10.0.0.7:53")] {
//!     kernel.insert(&NewFlow::udp(([192, 0, 2, 1], port).into(), backend.parse()?).timeout(30))?;
//! }
//!
//! let mut client = kernel.client();
//! assert_eq!(forget(&mut client, "10.0.0.7".parse()?)?, 2);
//! assert_eq!(kernel.flows().len(), 1);
//!
//! // Time passes when the test says so.
//! kernel.advance(Duration::from_secs(30));
//! assert!(kernel.flows().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//!
//! [`FakeKernel::event_socket`] is an ordinary [`EventSocket`]:
//!
//! ```
//! use ctnetlink::{EventGroups, EventKind, Tuple, fake::FakeKernel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = FakeKernel::new();
//! let mut events = kernel.event_socket(EventGroups::FLOWS);
//! kernel.packet(&Tuple::udp("192.0.2.1:40000".parse()?, "192.0.2.2:53".parse()?), 60)?;
//! kernel.client().delete_all()?;
//!
//! for expected in [EventKind::New, EventKind::Destroy] {
//!     let event = events.try_next()?.expect("an event");
//!     assert_eq!(event.kind(), Some(expected));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! As in Linux, a flow that begins while no socket listens sends no events later (`nf_conntrack_events` is 2): open the
//! event socket first, or set [`FakeKernelBuilder::events`] to 1.
//!
//! # Failures
//!
//! [`FakeKernel::inject`] makes a request fail, and [`FakeKernelBuilder`] imitates older kernels and small limits:
//!
//! ```
//! use ctnetlink::{Errno, Filter, fake::{FakeKernel, Fault}};
//!
//! let kernel = FakeKernel::new();
//! let mut client = kernel.client();
//! kernel.inject(Fault::Refuse(Errno::EPERM));
//! assert!(client.delete_all().unwrap_err().is_permission_denied());
//! kernel.inject(Fault::NoReply);
//! assert!(client.delete_all().unwrap_err().is_timed_out());
//!
//! // Linux 5.4 ignores filters by status. The client detects this and filters in userspace.
//! let kernel = FakeKernel::builder().linux(5, 4).build();
//! assert_eq!(kernel.client().dump_matching(&Filter::assured())?.count(), 0);
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # What is modeled
//!
//! | | |
//! |---|---|
//! | requests | every request of [`Client`], with the kernel's error numbers and extended acknowledgements |
//! | lookup | by either tuple, with zones of both directions or of one |
//! | filters | those that each version supports, including the kernel's bug that inverts IPv6 addresses |
//! | flows | status, mark, labels, helper, master, state of TCP and SCTP, sequence adjustments, SYN proxy, counters, times |
//! | translation | ranges of addresses and ports, ports in use, reuse of the mapping of a source |
//! | expectations | masks, limits of each class, permanent and inactive expectations, deletion with the master |
//! | events | groups, attributes, port of the process, loss if a receive buffer is full |
//! | identifiers | reused if a flow is deleted and created again at once |
//! | dumps | one datagram at a time while the table changes; a dump ends the expired flows that it finds |
//!
//! # What is not modeled
//!
//! - Packets: [`FakeKernel::packet`] follows the course of a healthy flow. Set any other TCP state with an update.
//! - Chance: Linux starts at a random port, the fake kernel takes the first free port. Hash chains are never too long.
//! - Waiting: the clock stands still unless the test [advances](FakeKernel::advance) it, and a client that gets no answer
//!   times out at once.
//! - Several network namespaces, security contexts, offloaded flows, early drop, the contents of
//!   [`Helper::info`](crate::Helper::info), and [reliable](crate::EventSocket) event sockets.
//!
//! # Comparison with Linux
//!
//! The kernel tests of this crate run random sequences of requests against a fake kernel and against the running kernel.
//! After every request they compare the answers, error numbers, events and tables (`tests/kernel/fake_parity`).

mod answer;
mod change;
mod datagram;
mod expectation;
mod filter;
mod flow;
mod release;
mod socket;
mod state;
mod table;

use core::time::Duration;
use std::sync::Arc;

pub use state::Fault;

use self::{
    answer::write_flow,
    datagram::Head,
    release::Release,
    socket::{FakeListener, FakeSocket, Shared},
    state::{Kernel, KernelSettings},
};
use crate::{
    client::Client,
    error::{Errno, Error, KernelError, Operation},
    events::{EventGroups, EventSocket, Mirror},
    model::{Direction, Flow, Timestamp, Tuple},
    request::{EncodeRequest as _, NewFlow},
    wire::{Encoder, Flags, MessageType, Messages},
};

/// The timeout of a client. It is never waited for, since all answers are queued when a request is sent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The receive buffer of an event socket: room for 13,000 events.
const EVENT_BUFFER: usize = 16 << 20;

/// The port of the process that creates flows through [`FakeKernel::insert`].
const OTHER_PROCESS: u32 = 1000;

/// An in-memory kernel: see the [module](self).
///
/// A clone is another handle to the same kernel. Handles and sockets may be moved to other threads.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, NewFlow, Tuple, fake::FakeKernel};
///
/// let kernel = FakeKernel::new();
/// let tuple = Tuple::udp("192.0.2.1:40000".parse()?, "192.0.2.2:53".parse()?);
/// kernel.insert(&NewFlow::udp("192.0.2.1:40000".parse()?, "192.0.2.2:53".parse()?).mark(7))?;
///
/// let flow = kernel.client().get(FlowKey::original(tuple))?.expect("the flow exists");
/// assert_eq!(flow.mark, Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FakeKernel {
    shared: Arc<Shared>,
}

impl Default for FakeKernel {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeKernel {
    /// Starts a kernel with empty tables and the default settings of Linux 6.18.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Configures a kernel first.
    pub fn builder() -> FakeKernelBuilder {
        FakeKernelBuilder::new()
    }

    /// Opens a client of this kernel: an ordinary [`Client`].
    #[must_use]
    pub fn client(&self) -> Client {
        Client::over(Box::new(FakeSocket::new(Arc::clone(&self.shared))), Some(TIMEOUT)).with_zones()
    }

    /// Opens an event socket of this kernel: an ordinary [`EventSocket`] with a receive buffer of 16 MiB and no timeout.
    ///
    /// # Panics
    ///
    /// On Linux, panics if this process has too many open files: the socket can be polled.
    #[must_use]
    pub fn event_socket(&self, groups: EventGroups) -> EventSocket {
        self.event_socket_with(groups, EVENT_BUFFER)
    }

    /// Opens an event socket with a receive buffer of this size. An event takes 1280 bytes of it.
    ///
    /// # Panics
    ///
    /// Panics like [`event_socket`](Self::event_socket).
    #[must_use]
    pub fn event_socket_with(&self, groups: EventGroups, receive_buffer: usize) -> EventSocket {
        EventSocket::over(Box::new(FakeListener::new(Arc::clone(&self.shared), groups, receive_buffer)))
    }

    /// Opens a mirror of this kernel, which is not synchronized yet.
    ///
    /// # Panics
    ///
    /// Panics like [`event_socket`](Self::event_socket).
    #[must_use]
    pub fn mirror(&self) -> Mirror {
        Mirror::over(self.event_socket(EventGroups::FLOWS), self.client())
    }

    /// Creates a flow, as another process would, and returns it as a dump shows it.
    ///
    /// # Errors
    ///
    /// As [`Client::create`](crate::Client::create).
    pub fn insert(&self, flow: &NewFlow) -> Result<Flow, Error> {
        let mut buffer = vec![0; 4096];
        let mut encoder = Encoder::new(&mut buffer);
        flow.encode(1, &mut encoder);
        let length = encoder.finish()?;
        let Some(Ok(request)) = Messages::new(buffer.get(..length).unwrap_or_default()).next() else {
            return Err(refused(Errno::EINVAL));
        };
        self.shared.with(|kernel| {
            kernel.answer(&request, OTHER_PROCESS).map_err(|refused| self::refused(refused.errno))?;
            let found = kernel.find_key(&flow.original, Direction::Original, flow.zone).map_err(refused)?;
            let place = found.ok_or_else(|| refused(Errno::ENOENT))?;
            read_flow(&write_flow(kernel, place, false, 0, HEAD))
        })
    }

    /// Simulates a packet with these addresses and ports. It adds to the counters of its flow, in the original or reply
    /// direction, or begins a flow.
    ///
    /// The packet is always the expected next packet of the protocol: the first two TCP packets are a SYN and its reply, and
    /// the third establishes the connection. Use [`Client::update`](crate::Client::update) for any other state. If an
    /// expectation matches the packet, the new flow has a master and the expectation ends.
    ///
    /// # Errors
    ///
    /// Fails if the tuple lacks what its protocol needs, or the table is full.
    pub fn packet(&self, tuple: &Tuple, bytes: u64) -> Result<(), Error> {
        self.shared.with(|kernel| kernel.track(tuple, bytes)).map_err(refused)
    }

    /// Advances the clock, which stands still otherwise. Flows and expectations that have expired end at once, with events.
    /// In Linux the garbage collection may take up to a minute.
    pub fn advance(&self, time: Duration) {
        self.shared.with(|kernel| {
            kernel.now = kernel.now.saturating_add(time);
            kernel.collect_garbage();
        });
    }

    /// Returns the time of the kernel's clock, which starts at the real time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.lock().time()
    }

    /// Returns every flow, as a dump shows it, in no particular order.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        self.shared.with(|kernel| {
            let places: Vec<_> = kernel.flows.iter().map(|(place, _)| place).collect();
            let written = places.into_iter().map(|place| write_flow(kernel, place, false, 0, HEAD));
            written.filter_map(|bytes| read_flow(&bytes).ok()).collect()
        })
    }

    /// Makes the next request fail.
    pub fn inject(&self, fault: Fault) {
        self.inject_after(0, fault);
    }

    /// Makes a request fail after this number of other requests. Each operation of a batch counts as a request, and so do
    /// requests that the client sends on its own, such as probes of filters
    /// and the lookup of a flow before it is changed.
    pub fn inject_after(&self, requests: usize, fault: Fault) {
        self.shared.lock().faults.inject_after(requests, fault);
    }

    /// Makes every event socket lose events, as if its receive buffer had overrun, until it has read all queued events. The
    /// loss is reported as [`Event::Overrun`](crate::Event::Overrun).
    pub fn overrun(&self) {
        self.shared.with(|kernel| kernel.queues.overrun());
    }

    /// Grants or denies `CAP_NET_ADMIN` to all later requests.
    pub fn set_privileged(&self, is_privileged: bool) {
        self.shared.lock().is_privileged = is_privileged;
    }
}

/// Configures a [`FakeKernel`]. The defaults are those of Linux 6.18.
///
/// # Example
///
/// ```
/// use ctnetlink::{ErrorKind, NewFlow, fake::FakeKernel};
///
/// let kernel = FakeKernel::builder().accounting(true).max(1).build();
/// let flow = kernel.insert(&NewFlow::udp("192.0.2.1:40000".parse()?, "192.0.2.2:53".parse()?))?;
/// assert_eq!(flow.total_counters().map(|total| total.packets), Some(0));
///
/// let second = NewFlow::udp("192.0.2.1:40001".parse()?, "192.0.2.2:53".parse()?);
/// assert_eq!(kernel.insert(&second).unwrap_err().kind(), ErrorKind::NoSpace);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeKernelBuilder {
    settings: KernelSettings,
    events: Option<u8>,
    is_privileged: bool,
}

impl FakeKernelBuilder {
    pub(super) fn new() -> Self {
        let settings = KernelSettings {
            release: Release::DEFAULT,
            accounting: false,
            timestamps: false,
            events: 2,
            labels: false,
            max: 262_144,
            expect_max: 4096,
            processors: 2,
            entries_per_datagram: usize::MAX,
            receive_buffer: 212_992,
            started: Timestamp::now(),
        };
        Self { settings, events: None, is_privileged: true }
    }

    /// Imitates this version of Linux, 5.4 or later. Older versions ignore filters that they do not know and send fewer
    /// attributes in events. Which single values a request may carry is always as in 6.18, since stable updates change that.
    pub const fn linux(mut self, major: u32, minor: u32) -> Self {
        self.settings.release = Release(major, minor);
        self
    }

    /// Counts packets and bytes (`nf_conntrack_acct`). Off by default, as in Linux.
    pub const fn accounting(mut self, on: bool) -> Self {
        self.settings.accounting = on;
        self
    }

    /// Records the start and the end of flows (`nf_conntrack_timestamp`). Off by default, as in Linux.
    pub const fn timestamps(mut self, on: bool) -> Self {
        self.settings.timestamps = on;
        self
    }

    /// Sets `nf_conntrack_events`: 0 sends no events, 1 sends all events, and 2 sends events only for flows that began
    /// while a socket was listening. The default is 2, and 1 before Linux 5.19.
    pub const fn events(mut self, setting: u8) -> Self {
        self.events = Some(setting);
        self
    }

    /// Gives new flows room for labels, as any rule with `ct label` does. Off by default.
    pub const fn labels(mut self, on: bool) -> Self {
        self.settings.labels = on;
        self
    }

    /// Limits the table to this many flows (`nf_conntrack_max`). A create beyond the limit fails with `ENOMEM`.
    pub const fn max(mut self, flows: usize) -> Self {
        self.settings.max = flows;
        self
    }

    /// Sets the number of processors in the per-processor statistics. The default is 2.
    pub const fn processors(mut self, count: u16) -> Self {
        self.settings.processors = count;
        self
    }

    /// Limits the number of entries in each datagram of a dump. With 1, a test can change the table between two entries of
    /// a small dump. Like Linux, the fake kernel prepares the next datagram when one is received.
    pub const fn entries_per_datagram(mut self, count: usize) -> Self {
        self.settings.entries_per_datagram = if count == 0 { 1 } else { count };
        self
    }

    /// Sets the receive buffer of clients in bytes. An acknowledgement takes 832 of them.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.settings.receive_buffer = bytes;
        self
    }

    /// Denies every request, as Linux does without `CAP_NET_ADMIN`: see [`FakeKernel::set_privileged`].
    pub const fn unprivileged(mut self) -> Self {
        self.is_privileged = false;
        self
    }

    /// Starts the kernel, with empty tables.
    #[must_use]
    pub fn build(self) -> FakeKernel {
        let mut settings = self.settings;
        let by_default = if settings.release < Release::AUTOMATIC_EVENTS { 1 } else { 2 };
        settings.events = self.events.unwrap_or(by_default);
        let mut kernel = Kernel::new(settings);
        kernel.is_privileged = self.is_privileged;
        FakeKernel { shared: Shared::new(kernel) }
    }
}

/// A header for messages that are decoded at once.
const HEAD: Head = Head { message_type: MessageType::FLOW_NEW, flags: Flags::MULTI, sequence: 0, port: 0 };

fn read_flow(bytes: &[u8]) -> Result<Flow, Error> {
    match Messages::new(bytes).next() {
        Some(message) => Ok(Flow::decode(&message?)?),
        None => Err(refused(Errno::ENOENT)),
    }
}

fn refused(errno: Errno) -> Error {
    KernelError::new(Operation::CreateFlow, errno).into()
}
