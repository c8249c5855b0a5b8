//! A live copy of the kernel's table.

#[cfg(all(target_os = "linux", feature = "client"))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

#[cfg(all(target_os = "linux", feature = "client"))]
use super::EventGroups;
use super::{
    Change, EventSocket, FlowTable,
    socket::Listener,
    stream::Source as _,
    synchronizer::{Settings as _, Synchronizer},
};
#[cfg(all(target_os = "linux", feature = "client"))]
use crate::client::Stop;
use crate::{
    client::{Client, Partition, StopHandle},
    error::{Error, ErrorKind},
    exchange::{Deadline, Transport},
};

/// Granted twice, it holds some 26,000 events.
#[cfg(all(target_os = "linux", feature = "client"))]
const RECEIVE_BUFFER: usize = 16 << 20;

/// A live copy of the kernel's table, kept in sync by events.
///
/// A mirror listens first, then dumps the table, then follows the events. If events were lost, it dumps the table again
/// while it follows the events, and yields the differences as changes. It is an iterator over the changes of its
/// [`table`](Self::table).
///
/// The table advances only inside of the calls that yield changes. Call one of them often enough that the events that
/// arrive in between fit the receive buffer.
///
/// # Changes without events
///
/// - A flow that was created while nobody listened ends without an event, unless `nf_conntrack_events` is 1.
/// - The kernel notices up to a minute late that a flow has timed out.
/// - An nft rule (`ct event set`) can limit the events of a flow.
/// - A flow that loses all its labels at once sends an event without labels, like that of any other change.
///
/// [`audit_every`](Self::audit_every) finds all of this by comparing the table with a dump from time to time.
///
/// If somebody sets `net.netfilter.nf_conntrack_events` to 0, the kernel sends no events for new flows. A mirror reads the
/// setting every ten seconds and reports once an error of kind [`EventsDisabled`](ErrorKind::EventsDisabled);
/// [`events_enabled`](Self::events_enabled) returns the state. Until the setting is back, only audits keep the table
/// current. When it is back, the mirror dumps the table.
///
/// # Messages that do not decode
///
/// If an entry of a dump does not decode, the mirror yields one error of kind [`Decode`](ErrorKind::Decode) and goes on
/// with the rest. The table then equals the kernel's except that it lacks such flows, unless a later event showed them.
/// The mirror does not report them again until a dump was free of them.
///
/// An event that does not decode is an error each time, and another dump shows the changes that the event may have
/// reported. If entries of the last dump did not decode either, the dump begins a minute later.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{ChangeKind, Mirror};
///
/// let mut mirror = Mirror::open()?;
/// mirror.synchronize()?;
/// for entry in mirror.table() {
///     println!("{} {:?}", entry.original(), entry.tcp_state());
/// }
/// while let Some(change) = mirror.next().transpose()? {
///     if change.kind == ChangeKind::Vanished {
///         println!("ended: {}, {} left", change.flow, mirror.table().len());
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirror {
    pub(crate) inner: Synchronizer<Box<dyn Listener>, Box<dyn Transport>>,
}

impl Mirror {
    /// Opens a mirror of the network namespace of the calling thread, with room for some 26,000 waiting events and without
    /// audits.
    ///
    /// # Errors
    ///
    /// Fails like [`EventSocket::open`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ctnetlink::Mirror;
    ///
    /// let mut mirror = Mirror::open()?.audit_every(Some(Duration::from_secs(60)));
    /// mirror.synchronize()?;
    /// println!("{} flows", mirror.table().len());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[cfg(all(target_os = "linux", feature = "client"))]
    pub fn open() -> Result<Self, Error> {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(RECEIVE_BUFFER).open()?;
        Self::new(events, Client::open()?)
    }

    /// Builds a mirror from a listener and a client of the same network namespace.
    ///
    /// The listener has to receive [`EventGroups::FLOWS`](crate::EventGroups::FLOWS). With fewer groups, the changes of the
    /// others appear only with audits.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the listener has a filter, or if listener and client are known to
    /// belong to different namespaces.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{Client, EventGroups, EventSocket, Mirror, NetworkNamespace};
    ///
    /// let blue = NetworkNamespace::from_path("/run/netns/blue")?;
    /// let client = Client::builder().namespace(blue.try_clone()?).open()?;
    /// let events = EventSocket::builder(EventGroups::FLOWS).namespace(blue).open()?;
    /// let mirror = Mirror::new(events, client)?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn new(events: EventSocket, client: Client) -> Result<Self, Error> {
        let refuse = |text: &'static str| Err(Error::message(ErrorKind::InvalidInput, text));
        if events.is_filtered() {
            return refuse("a mirror needs a listener without a filter: it would take the flows left out for ended");
        }
        if let (Some(one), Some(other)) =
            (events.stream.source().namespace_id(), client.connection.transport().namespace_id())
        {
            if one != other {
                return refuse("the listener and the client of a mirror belong to different network namespaces");
            }
        }
        Ok(Self::over(events, client))
    }

    /// A mirror of a listener and a client that belong together.
    pub(crate) fn over(mut events: EventSocket, client: Client) -> Self {
        events.stream.source_mut().watch_buckets();
        let mut inner = Synchronizer::new(events.stream, client.connection);
        inner.check_setting();
        Self { inner }
    }

    /// Sets how long after each dump the table is audited: compared with another dump, to find changes without events. A
    /// dump also makes the kernel end flows that are overdue. The default, `None`, is never.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ctnetlink::Mirror;
    ///
    /// let mirror = Mirror::open()?.audit_every(Some(Duration::from_secs(600)));
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn audit_every(mut self, period: Option<Duration>) -> Self {
        self.inner.set_audit_period(period);
        self
    }

    /// Lets threads dump the table, as many at once as there are processors and parts: see
    /// [`Client::dump_partitioned`]. This shortens the first dump, the dumps after losses, and audits.
    ///
    /// Each dump starts the threads and opens their sockets, and ends them. If this kernel cannot evaluate the parts,
    /// nothing changes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the partition leaves flows out, which one of zones does. Fails also if
    /// the kernel's capabilities cannot be probed, or if no other socket can be opened: the namespace of a client made by
    /// `from_fd` is not known ([`Unsupported`](ErrorKind::Unsupported)).
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{Mirror, Partition};
    ///
    /// let mut mirror = Mirror::open()?.dump_in_parts(&Partition::families())?;
    /// mirror.synchronize()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump_in_parts(mut self, partition: &Partition) -> Result<Self, Error> {
        self.inner.dump_in_parts(partition)?;
        Ok(self)
    }

    /// Audits the table as soon as no other dump is under way.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.audit();
    /// while let Some(change) = mirror.try_next()? {
    ///     println!("{} {}", change.kind, change.flow);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn audit(&mut self) {
        self.inner.audit();
    }

    /// Waits for the next change no longer than `timeout`. Returns `None` if there is none by then, or after the mirror
    /// was stopped.
    ///
    /// # Errors
    ///
    /// - [`Decode`](ErrorKind::Decode) if an event does not decode, and once if entries of a dump do not: see
    ///   [above](Self#messages-that-do-not-decode).
    /// - [`EventsDisabled`](ErrorKind::EventsDisabled) once, if somebody has switched events off.
    /// - Others if a socket or a dump fails.
    ///
    /// The mirror goes on after every error, and another dump makes up for events that may have been missed.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::Mirror;
    /// # use std::time::Duration;
    /// let mut mirror = Mirror::open()?;
    /// while let Some(change) = mirror.next_within(Duration::from_secs(1))? {
    ///     println!("{} {}", change.kind, change.flow);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Change>, Error> {
        self.inner.next(Deadline::after(timeout))
    }

    /// Returns the next change without waiting for events, and `None` if there is none at the moment.
    ///
    /// Does a bounded piece of work. It reads no more events without a change than may have waited when it was called,
    /// and if a dump is under way, it goes on with the next call, for which [`next_deadline`](Self::next_deadline) is now.
    ///
    /// # Errors
    ///
    /// Fails like [`next_within`](Self::next_within).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// while let Some(change) = mirror.try_next()? {
    ///     println!("{} {}", change.kind, change.flow);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn try_next(&mut self) -> Result<Option<Change>, Error> {
        self.inner.next(Deadline::Now)
    }

    /// Blocks until the table equals the kernel's. Changes until then are not yielded.
    ///
    /// If events are lost faster than a dump takes, that may never happen: see
    /// [`synchronize_within`](Self::synchronize_within).
    ///
    /// # Errors
    ///
    /// Fails like [`next_within`](Self::next_within), and if the mirror is stopped first.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.synchronize()?;
    /// println!("{} flows", mirror.table().len());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn synchronize(&mut self) -> Result<(), Error> {
        match self.inner.synchronize(Deadline::Never)? {
            true => Ok(()),
            false => Err(Error::message(ErrorKind::Other, "the mirror was stopped before it was synchronized")),
        }
    }

    /// Blocks until the table equals the kernel's, but no longer than `timeout`. Returns whether it does. Work done by
    /// then is kept, and the next call continues it.
    ///
    /// # Errors
    ///
    /// Fails like [`next_within`](Self::next_within).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// if !mirror.synchronize_within(std::time::Duration::from_secs(5))? {
    ///     println!("events are lost faster than the table can be dumped");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn synchronize_within(&mut self, timeout: Duration) -> Result<bool, Error> {
        self.inner.synchronize(Deadline::after(timeout))
    }

    /// Returns the table. It contains all changes that were yielded, and may contain some that are still to be yielded.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.synchronize()?;
    /// println!("{:?}", mirror.table().count_by(|entry| entry.protocol()));
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn table(&self) -> &FlowTable {
        self.inner.table()
    }

    /// Returns when the mirror has to be called again even if no event arrives: a dump begins or goes on then, the
    /// kernel's settings are read, or the first second after a dump ends. `None` if nothing is planned.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// use std::time::{Duration, Instant};
    ///
    /// let wait = mirror.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
    /// println!("poll for at most {wait:?}");
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.inner.next_deadline()
    }

    /// Returns whether the kernel sends events in the namespace at this moment. Returns true if the setting cannot be
    /// read.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// if !mirror.events_enabled() {
    ///     eprintln!("nf_conntrack_events is 0: only audits keep the table current");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn events_enabled(&self) -> bool {
        self.inner.stream().source().events_enabled()
    }

    /// Returns how many times events were lost. Each time, the table was compared with a dump.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.synchronize()?;
    /// println!("events were lost {} times, {} dumps", mirror.overruns(), mirror.dumps());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.inner.stream().overruns()
    }

    /// Returns the number of dumps that were completed.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.synchronize()?;
    /// assert!(mirror.dumps() >= 1);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn dumps(&self) -> u64 {
        self.inner.dumps()
    }

    /// Returns the number of datagrams that were dropped because they did not come from the kernel.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// if mirror.rejected_datagrams() > 0 {
    ///     eprintln!("another process sends to this socket");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn rejected_datagrams(&self) -> u64 {
        self.inner.stream().rejected()
    }

    /// Returns the bytes that the kernel granted for events that wait to be received.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// println!("room for about {} events", mirror.receive_buffer() / 1280);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.inner.stream().source().capacity()
    }

    /// Returns a handle that ends every wait of the mirror, from another thread or from a signal handler. It also ends the
    /// wait of every [`Waiter`] that is created afterwards.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// let stop = mirror.stop_handle()?;
    /// std::thread::spawn(move || {
    ///     let _ = std::io::stdin().read_line(&mut String::new());
    ///     stop.stop();
    /// });
    /// for change in &mut mirror {
    ///     println!("{}", change?.flow);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.inner.stream().source().stop().handle()
    }

    /// Returns whether a [stop handle](Self::stop_handle) has stopped the mirror.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// mirror.stop_handle()?.stop();
    /// assert!(mirror.is_stopped());
    /// assert!(mirror.next().is_none());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.stream().source().is_stopped()
    }

    /// Returns something to wait with while the mirror itself is borrowed or locked.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut mirror = ctnetlink::Mirror::open()?;
    /// let waiter = mirror.waiter()?;
    /// if waiter.wait(std::time::Duration::from_secs(1))? {
    ///     println!("{:?}", mirror.try_next()?);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[cfg(all(target_os = "linux", feature = "client"))]
    pub fn waiter(&self) -> Result<Waiter, Error> {
        let fd = self.as_fd().try_clone_to_owned().map_err(|error| Error::io("duplicate a descriptor", error))?;
        Ok(Waiter { fd, stop: self.inner.stream().source().stop().clone() })
    }
}

/// Waits for each change. The iterator ends after the mirror was [stopped](Mirror::stop_handle).
///
/// The errors are the same as for [`next_within`](Mirror::next_within), and [`TimedOut`](ErrorKind::TimedOut) if the
/// [`timeout`](crate::EventSocketBuilder::timeout) of the listener passed. The iterator goes on after every error.
impl Iterator for Mirror {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.inner.next(self.inner.stream().deadline()) {
            Ok(None) if !self.is_stopped() => Some(Err(Error::timed_out())),
            result => result.transpose(),
        }
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsFd for Mirror {
    /// Returns the descriptor of the events. Wait for it after [`try_next`](Mirror::try_next) returned `None`, and no longer
    /// than until [`next_deadline`](Mirror::next_deadline).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.stream().source().fd()
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsRawFd for Mirror {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Waits for the events of a [`Mirror`] while another thread may hold the mirror.
///
/// # Example
///
/// ```no_run
/// use std::{sync::{Arc, Mutex}, time::Duration};
/// use ctnetlink::Mirror;
///
/// let mirror = Mirror::open()?;
/// let waiter = mirror.waiter()?;
/// let mirror = Arc::new(Mutex::new(mirror)); // other threads lock it to read the table
/// loop {
///     waiter.wait(Duration::from_secs(1))?;
///     let mut mirror = mirror.lock().expect("no thread panics while it holds the mirror");
///     while mirror.try_next()?.is_some() {}
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[cfg(all(target_os = "linux", feature = "client"))]
#[derive(Debug)]
pub struct Waiter {
    fd: OwnedFd,
    stop: Stop,
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl Waiter {
    /// Waits no longer than `timeout` until an event can be read. Returns false if none can by then, or if the mirror is
    /// stopped. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// Fails if the system call fails.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        match self.stop.wait(self.fd.as_fd(), Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(false),
            result => result.map_err(|error| Error::io("wait for events", error)),
        }
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsRawFd for Waiter {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
