//! An event socket over any listener.

#[cfg(all(target_os = "linux", feature = "client"))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::{fmt, io, time::Duration};

use super::{
    Event, EventRef,
    stream::{EventStream, Inbox, Source},
    synchronizer::Settings,
};
use crate::{
    client::{ReadBuckets, Stop, StopHandle},
    error::Error,
    exchange::{Datagram, Deadline, NamespaceId},
};

/// The listening end of an event socket: a netlink socket, or something that stands in for the kernel.
pub(crate) trait Listener: Source + Settings + fmt::Debug + Send + Sync {
    /// The handles that end a wait.
    fn stop(&self) -> &Stop;

    /// The descriptor to poll.
    #[cfg(all(target_os = "linux", feature = "client"))]
    fn fd(&self) -> BorrowedFd<'_>;

    /// Returns true if a program chooses which datagrams arrive.
    fn has_program(&self) -> bool {
        false
    }

    /// The network namespace of the listener, if it is known.
    fn namespace_id(&self) -> Option<NamespaceId> {
        None
    }

    /// Prepares for reading the number of buckets with each datagram of a dump.
    fn watch_buckets(&mut self) {}
}

impl Source for Box<dyn Listener> {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        (**self).receive(buffer)
    }

    fn receive_several(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        (**self).receive_several(inbox)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).wait(timeout)
    }

    #[inline]
    fn is_stopped(&self) -> bool {
        (**self).is_stopped()
    }

    fn capacity(&self) -> usize {
        (**self).capacity()
    }
}

impl Settings for Box<dyn Listener> {
    fn buckets(&self) -> Option<u32> {
        (**self).buckets()
    }

    fn read_buckets(&self) -> Option<ReadBuckets> {
        (**self).read_buckets()
    }

    fn events_enabled(&self) -> bool {
        (**self).events_enabled()
    }
}

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
///   [`timeout`](crate::EventSocketBuilder::timeout), after which they fail with an error of kind
///   [`TimedOut`](crate::ErrorKind::TimedOut).
/// - [`next_within`](Self::next_within) and [`next_view_within`](Self::next_view_within) wait for a given time.
/// - [`try_next`](Self::try_next) and [`try_next_view`](Self::try_next_view) do not wait. A program that waits for
///   several things polls the descriptor ([`AsFd`](std::os::fd::AsFd)) and then calls them until they return `None`: the
///   socket receives several events at once, and the descriptor is not readable because of events that the socket holds.
///   The descriptor needs no preparation for this.
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
    pub(crate) stream: EventStream<Box<dyn Listener>>,
}

impl EventSocket {
    /// Waits for the next event and lends it. Returns `None` after the socket was [stopped](Self::stop_handle).
    ///
    /// # Errors
    ///
    /// - [`TimedOut`](crate::ErrorKind::TimedOut) if the builder's [`timeout`](crate::EventSocketBuilder::timeout) passed.
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
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// events.stop_handle()?.stop();
    /// assert!(events.is_stopped());
    /// assert!(events.next().is_none());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stream.source().is_stopped()
    }

    /// Returns whether the kernel sends events in the socket's namespace at this moment: false if somebody has set
    /// `net.netfilter.nf_conntrack_events` to 0. Returns true if the setting cannot be read.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let events = EventSocket::open(EventGroups::FLOWS)?;
    /// if !events.events_enabled() {
    ///     eprintln!("nf_conntrack_events is 0: nothing will arrive");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn events_enabled(&self) -> bool {
        self.stream.source().events_enabled()
    }

    /// Returns the bytes of the message that was yielded last. After an error of kind [`Decode`](crate::ErrorKind::Decode) they
    /// are the message that does not decode; if its length is not valid either, they are the rest of its datagram.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// match events.next_view().map(|_| ()) {
    ///     Err(error) if error.decode_error().is_some() => eprintln!("{error}: {:02x?}", events.message()),
    ///     result => result?,
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.stream.message()
    }

    /// Returns how many times events were lost: how many [`Event::Overrun`] were yielded.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let mut events = EventSocket::open(EventGroups::FLOWS)?;
    /// let before = events.overruns();
    /// while events.next_view_within(std::time::Duration::from_secs(1))?.is_some() {}
    /// println!("events were lost {} times", events.overruns() - before);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.stream.overruns()
    }

    /// Returns the number of datagrams that were dropped because they did not come from the kernel.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let events = EventSocket::open(EventGroups::FLOWS)?;
    /// if events.rejected_datagrams() > 0 {
    ///     eprintln!("another process sends to this socket");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub const fn rejected_datagrams(&self) -> u64 {
        self.stream.rejected()
    }

    /// Returns the bytes that the kernel granted for events that wait to be received. The kernel doubles the number of
    /// bytes that the builder asks for.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use ctnetlink::{EventGroups, EventSocket};
    /// let events = EventSocket::open(EventGroups::FLOWS)?;
    /// println!("room for about {} events", events.receive_buffer() / 1280);
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.stream.source().capacity()
    }
}

/// For a mirror.
impl EventSocket {
    /// An event socket over any listener.
    #[cfg(feature = "fake")]
    pub(crate) fn over(listener: Box<dyn Listener>) -> Self {
        Self { stream: EventStream::new(listener, None, None) }
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.stream.has_filter() || self.stream.source().has_program()
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

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsFd for EventSocket {
    /// Returns the descriptor. After [`try_next`](EventSocket::try_next) returned `None`, it is readable as soon as there
    /// is an event or a loss to report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.source().fd()
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl AsRawFd for EventSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
