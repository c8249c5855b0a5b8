//! A table that follows the kernel's by itself.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use super::{
    Change, EventGroups, EventSocket, FlowTable,
    socket::Listener,
    stream::{Patience, Source as _},
    synchroniser::Synchroniser,
};
use crate::{
    client::{Client, sysctl, wait_readable},
    error::Error,
    exchange::Transport,
};

/// Room for some 26,000 events.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A table that follows the kernel's by itself, and tells what changes.
///
/// It listens first, then dumps, then follows the events; where events were lost it dumps again, while events go on, and
/// tells the differences. The table is worked on only inside of the calls that give changes, which never wait for one
/// another: call one of them often enough for the events to fit the receive buffer meanwhile.
///
/// Natural ends come late where the kernel is late to notice them (a minute at worst), and flows that began before
/// anybody listened end without an event: [`audit_every`](Self::audit_every) finds both.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::Mirror;
///
/// let mut mirror = Mirror::open()?;
/// loop {
///     let change = mirror.next()?;
///     println!("{:<8} {} ({} now)", change.kind, change.flow, mirror.table().len());
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirror {
    inner: Synchroniser<Listener, Box<dyn Transport>>,
}

impl Mirror {
    /// A mirror of the namespace of the calling thread, with room for some 26,000 events that wait, and without audits.
    ///
    /// # Errors
    ///
    /// As [`EventSocket::open`].
    pub fn open() -> Result<Self, Error> {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(RECEIVE_BUFFER).open()?;
        Ok(Self::new(events, Client::open()?))
    }

    /// A mirror made of a listener and a client of the same namespace.
    ///
    /// The listener has to hear [`EventGroups::FLOWS`]. With fewer groups the table is as true as its last audit in what
    /// they would have told.
    #[must_use]
    pub fn new(events: EventSocket, client: Client) -> Self {
        let buckets = || sysctl::BUCKETS.read().ok();
        Self { inner: Synchroniser::new(events.stream, client.connection, buckets) }
    }

    /// Dumps the table that long after each dump, to find what no event tells. A dump also has the kernel end the flows
    /// that are overdue. `None`, the default, is never.
    #[must_use]
    pub fn audit_every(mut self, period: Option<Duration>) -> Self {
        self.inner.set_audit_period(period);
        self
    }

    /// Audits the table as soon as no other dump is under way.
    pub fn audit(&mut self) {
        self.inner.audit();
    }

    /// Waits for the next change.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) where none came within the [`timeout`](super::EventSocketBuilder::timeout) of the
    /// listener; [`Decode`](crate::ErrorKind::Decode) for an event or entry that cannot be read; or where a socket or a dump fails.
    /// After each of them the mirror goes on, and what may have been missed is made up for by another dump.
    #[allow(clippy::should_implement_trait, reason = "it has no end, as `EventSocket::next`")]
    pub fn next(&mut self) -> Result<Change, Error> {
        self.inner.next(Patience::OfSource)?.ok_or_else(Error::timed_out)
    }

    /// Waits for the next change, and no longer than that; `None` where none came.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Change>, Error> {
        self.inner.next(Patience::within(timeout))
    }

    /// The next change, without waiting for events; `None` where there is none for now. It does a bounded piece of work: a
    /// dump that is under way goes on with the next call, which is [`due`](Self::due) at once.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<Change>, Error> {
        self.inner.next(Patience::None)
    }

    /// Works until the table is the kernel's. The changes until then are dropped: they are in the table. Where events are
    /// lost faster than a dump takes, there is no end to it: see [`synchronise_within`](Self::synchronise_within).
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn synchronise(&mut self) -> Result<(), Error> {
        self.inner.synchronise(None).map(drop)
    }

    /// As [`synchronise`](Self::synchronise), and no longer than that: whether the table is the kernel's. What was done
    /// by then is not lost, and goes on with the next call.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn synchronise_within(&mut self, timeout: Duration) -> Result<bool, Error> {
        // Where no clock counts so far, there is no end.
        self.inner.synchronise(Instant::now().checked_add(timeout))
    }

    /// The table, with every change that was taken, and some that wait to be.
    #[must_use]
    pub const fn table(&self) -> &FlowTable {
        self.inner.table()
    }

    /// When the mirror has to be called again even if no event comes: a dump is to begin then, or goes on. `None` where
    /// none is planned.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.inner.due()
    }

    /// How often events were lost. Each time the table was compared with a dump.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.inner.stream().overruns()
    }

    /// How many dumps the table has been through.
    #[must_use]
    pub const fn dumps(&self) -> u64 {
        self.inner.dumps()
    }

    /// Datagrams that were dropped since they did not come from the kernel.
    #[must_use]
    pub const fn foreign_datagrams(&self) -> u64 {
        self.inner.stream().foreign()
    }

    /// Bytes that the kernel granted for events that wait to be received.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.inner.stream().source().capacity()
    }

    /// Something to wait with while the mirror itself is lent or locked.
    ///
    /// # Errors
    ///
    /// Where this process has too many open files.
    pub fn waiter(&self) -> Result<Waiter, Error> {
        let fd = self.as_fd().try_clone_to_owned().map_err(|error| Error::io("duplicate a descriptor", error))?;
        Ok(Waiter { fd })
    }
}

impl AsFd for Mirror {
    /// The descriptor of the events, to be waited for, but not beyond what is [`due`](Mirror::due).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.stream().source().as_fd()
    }
}

impl AsRawFd for Mirror {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Waits for the events of a [`Mirror`] that another thread may hold meanwhile.
#[derive(Debug)]
pub struct Waiter {
    fd: OwnedFd,
}

impl Waiter {
    /// Waits until an event can be taken, and no longer than that; `false` where none came.
    ///
    /// # Errors
    ///
    /// Where the system refuses to wait.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        match wait_readable(&self.fd, timeout) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(false),
            result => result.map_err(|error| Error::io("wait for events", error)),
        }
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Waiter {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
