//! The event socket and the mirror, awaited.

use core::future::{Future as _, poll_fn};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_core::Stream;

use super::reactor::{AsyncTransport, Readiness};
use crate::{
    client::StopHandle,
    error::{Error, ErrorKind},
    events::{Change, Event, EventGroups, EventRef, EventStep, FlowTable, Listener, Turn},
    exchange::Deadline,
};

/// The waits of a listener: for its descriptor, for its stop handle, and for a deadline.
#[derive(Debug, Default)]
struct Waits {
    events: Readiness,
    stop: Readiness,
}

impl Waits {
    /// Waits until there may be an event, until the listener is stopped, or until the deadline.
    async fn wait(&mut self, listener: &dyn Listener, deadline: Deadline) -> Result<(), Error> {
        let waited = poll_fn(|context| self.poll(listener, deadline, context)).await;
        waited.map_err(|error| Error::io("wait for events", error))
    }

    fn poll(&mut self, listener: &dyn Listener, deadline: Deadline, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(readable) = self.events.poll_readable(listener.fd(), context) {
            return Poll::Ready(readable);
        }
        if let Some(fd) = listener.stop().fd() {
            if let Poll::Ready(stopped) = self.stop.poll_readable(fd, context) {
                return Poll::Ready(stopped);
            }
        }
        self.events.poll_deadline(deadline, context).map(Ok)
    }

    /// Takes an event without waiting. After `None` the next wait is for something new.
    fn take<R>(&self, mut take: impl FnMut() -> Result<Option<R>, Error>) -> Result<Option<R>, Error> {
        let taken = self.events.receive(|| match take() {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            other => Ok(other),
        });
        taken.unwrap_or(Ok(None))
    }
}

/// A listener to the events of one network namespace, for tokio.
///
/// It has the methods of the synchronous [`EventSocket`](crate::EventSocket) and yields the same events in the same
/// order; lost events are [`Event::Overrun`]. It is also a [`Stream`] of owned events. Convert a synchronous socket for
/// the options of a builder.
///
/// Every future is cancel-safe: an event is taken only by the future that returns it. A future that is dropped, as in
/// `select!`, loses nothing.
///
/// # Panics
///
/// Waiting outside of a tokio runtime panics, and so does a wait with a time limit in a runtime without a timer.
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use ctnetlink::{EventGroups, tokio::EventSocket};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ctnetlink::Error> {
/// let mut events = EventSocket::open(EventGroups::FLOWS)?;
/// let mut every_second = tokio::time::interval(Duration::from_secs(1));
/// let mut count = 0;
/// loop {
///     tokio::select! {
///         event = events.next_view() => match event? {
///             Some(_) => count += 1,
///             None => break, // stopped
///         },
///         _ = every_second.tick() => println!("{count} events"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EventSocket {
    inner: crate::EventSocket,
    waits: Waits,
    /// When the wait of the stream ends that is under way.
    deadline: Option<Deadline>,
}

/// Takes a socket with the options of [`builder`](crate::EventSocket::builder), of a received descriptor, or of a kernel
/// in memory.
impl From<crate::EventSocket> for EventSocket {
    fn from(inner: crate::EventSocket) -> Self {
        Self { inner, waits: Waits::default(), deadline: None }
    }
}

impl EventSocket {
    /// Opens a socket that listens to these groups in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`open`](crate::EventSocket::open).
    pub fn open(groups: EventGroups) -> Result<Self, Error> {
        crate::EventSocket::open(groups).map(Self::from)
    }

    /// Waits for the next event and lends it. Returns `None` after the socket was [stopped](Self::stop_handle).
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_view`](crate::EventSocket::next_view).
    pub async fn next_view(&mut self) -> Result<Option<EventRef<'_>>, Error> {
        let step = self.advance_in_time(self.inner.stream.deadline()).await?;
        self.inner.stream.event(step)
    }

    /// Waits for the next event. Returns `None` after the socket was [stopped](Self::stop_handle).
    ///
    /// Cancel-safe: no event is lost if the future is dropped. Fails like [`next_view`](Self::next_view).
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.next_view().await.map(|event| event.map(|event| event.to_event())).transpose()
    }

    /// Waits for the next event no longer than `timeout` and lends it. Returns `None` if there is none by then, or after
    /// the socket was stopped.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_view_within`](crate::EventSocket::next_view_within).
    pub async fn next_view_within(&mut self, timeout: Duration) -> Result<Option<EventRef<'_>>, Error> {
        let step = self.advance(Deadline::after(timeout)).await?;
        self.inner.stream.event(step)
    }

    /// Waits for the next event no longer than `timeout`. Returns `None` if there is none by then, or after the socket
    /// was stopped.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_within`](crate::EventSocket::next_within).
    pub async fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        Ok(self.next_view_within(timeout).await?.map(|event| event.to_event()))
    }

    /// Lends the next event if there is one already.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`try_next_view`](crate::EventSocket::try_next_view).
    pub fn try_next_view(&mut self) -> Result<Option<EventRef<'_>>, Error> {
        self.inner.try_next_view()
    }

    /// Returns the next event if there is one already.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`try_next`](crate::EventSocket::try_next).
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        self.inner.try_next()
    }

    async fn advance_in_time(&mut self, deadline: Deadline) -> Result<EventStep, Error> {
        match self.advance(deadline).await? {
            EventStep::Nothing if !self.inner.is_stopped() => Err(Error::timed_out()),
            step => Ok(step),
        }
    }

    /// Moves to the next event. [`EventStep::Nothing`] ends the wait.
    async fn advance(&mut self, deadline: Deadline) -> Result<EventStep, Error> {
        // After the socket was read synchronously, what it holds makes no descriptor readable.
        let mut waits_first = self.waits.events.is_registered() && !self.inner.stream.holds_more();
        loop {
            match std::mem::replace(&mut waits_first, true) {
                true => self.waits.wait(&**self.inner.stream.source(), deadline).await?,
                false => ::tokio::task::coop::consume_budget().await,
            }
            let stream = &mut self.inner.stream;
            let taken = self.waits.take(|| match stream.advance(Deadline::Now)? {
                EventStep::Drained => Ok(None),
                step => Ok(Some(step)),
            });
            match taken? {
                // It has only skipped so far.
                Some(EventStep::Nothing) | None => {}
                Some(step) => return Ok(step),
            }
            if self.inner.is_stopped() || deadline.has_passed() {
                return Ok(EventStep::Nothing);
            }
        }
    }

    /// Returns a handle that ends every wait for events, from anywhere: another task or thread, or a signal handler.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.inner.stop_handle()
    }

    /// Returns whether a [stop handle](Self::stop_handle) has stopped the socket.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.is_stopped()
    }

    /// Returns whether the kernel sends events: see the synchronous
    /// [`events_enabled`](crate::EventSocket::events_enabled).
    #[must_use]
    pub fn events_enabled(&self) -> bool {
        self.inner.events_enabled()
    }

    /// Returns the bytes of the message that was yielded last: see the synchronous
    /// [`message`](crate::EventSocket::message).
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.inner.message()
    }

    /// Returns how many [`Event::Overrun`] were yielded.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.inner.overruns()
    }

    /// Returns the number of datagrams that were dropped because they did not come from the kernel.
    #[must_use]
    pub const fn rejected_datagrams(&self) -> u64 {
        self.inner.rejected_datagrams()
    }

    /// Returns the bytes that the kernel granted for events that wait to be received.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.inner.receive_buffer()
    }
}

/// Yields the items of [`next`](EventSocket::next).
impl Stream for EventSocket {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let deadline = *this.deadline.get_or_insert_with(|| this.inner.stream.deadline());
        // Nothing is lost when the future is dropped below, and the reactor keeps the waker.
        let polled = pin!(this.advance_in_time(deadline)).poll(context);
        polled.map(|step| {
            this.deadline = None;
            let event = step.and_then(|step| this.inner.stream.event(step));
            event.map(|event| event.map(|event| event.to_event())).transpose()
        })
    }
}

/// A live copy of the kernel's table, kept in sync by events, for tokio.
///
/// It has the methods of the synchronous [`Mirror`](crate::Mirror) and yields the same changes. It is also a [`Stream`]
/// of them. Convert a synchronous mirror for other options.
///
/// Every future is cancel-safe: a change is taken only by the future that returns it, and a dump that is under way goes
/// on with the next future.
///
/// # Panics
///
/// Waiting outside of a tokio runtime with I/O and time enabled panics.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::tokio::Mirror;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ctnetlink::Error> {
/// let mut mirror = Mirror::open()?;
/// mirror.synchronize().await?;
/// while let Some(change) = mirror.next().await.transpose()? {
///     println!("{} {}, {} flows", change.kind, change.flow, mirror.table().len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mirror {
    inner: crate::Mirror,
    waits: Waits,
    /// When the wait of the stream ends that is under way.
    deadline: Option<Deadline>,
}

/// Takes a mirror of a listener and a client with options of their own, or of a kernel in memory. It uses no threads, even
/// if the mirror was to [dump in parts](crate::Mirror::dump_in_parts).
impl From<crate::Mirror> for Mirror {
    fn from(mirror: crate::Mirror) -> Self {
        let inner = crate::Mirror { inner: mirror.inner.map_transport(AsyncTransport::wrap) };
        Self { inner, waits: Waits::default(), deadline: None }
    }
}

impl Mirror {
    /// Opens a mirror of the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`open`](crate::Mirror::open).
    pub fn open() -> Result<Self, Error> {
        crate::Mirror::open().map(Self::from)
    }

    /// Sets how long after each dump the table is audited: see the synchronous
    /// [`audit_every`](crate::Mirror::audit_every).
    #[must_use]
    pub fn audit_every(mut self, period: Option<Duration>) -> Self {
        self.inner = self.inner.audit_every(period);
        self
    }

    /// Audits the table as soon as no other dump is under way.
    pub fn audit(&mut self) {
        self.inner.audit();
    }

    /// Waits for the next change. Returns `None` after the mirror was [stopped](Self::stop_handle).
    ///
    /// Cancel-safe: no change is lost if the future is dropped. Fails like the synchronous
    /// [`next`](crate::Mirror#impl-Iterator-for-Mirror).
    pub async fn next(&mut self) -> Option<Result<Change, Error>> {
        self.next_in_time(self.inner.inner.stream().deadline()).await
    }

    async fn next_in_time(&mut self, deadline: Deadline) -> Option<Result<Change, Error>> {
        match self.next_until(deadline).await {
            Ok(None) if !self.is_stopped() => Some(Err(Error::timed_out())),
            result => result.transpose(),
        }
    }

    /// Waits for the next change no longer than `timeout`. Returns `None` if there is none by then, or after the mirror
    /// was stopped.
    ///
    /// Cancel-safe: no change is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_within`](crate::Mirror::next_within).
    pub async fn next_within(&mut self, timeout: Duration) -> Result<Option<Change>, Error> {
        self.next_until(Deadline::after(timeout)).await
    }

    async fn next_until(&mut self, deadline: Deadline) -> Result<Option<Change>, Error> {
        loop {
            match self.inner.inner.turn(deadline).await? {
                Turn::Changed => return Ok(self.inner.inner.take_change()),
                Turn::Over => return Ok(None),
                Turn::Worked | Turn::Synchronized => {}
                Turn::Wait(deadline) => self.wait(deadline).await?,
            }
            // A table that never stops changing must not keep other tasks waiting.
            ::tokio::task::coop::consume_budget().await;
        }
    }

    /// Waits until the table equals the kernel's. Changes until then are not yielded.
    ///
    /// Cancel-safe: the work that was done is kept.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`synchronize`](crate::Mirror::synchronize).
    pub async fn synchronize(&mut self) -> Result<(), Error> {
        match self.synchronize_until(Deadline::Never).await? {
            true => Ok(()),
            false => Err(Error::message(ErrorKind::Other, "the mirror was stopped before it was synchronized")),
        }
    }

    /// Waits until the table equals the kernel's, but no longer than `timeout`. Returns whether it does.
    ///
    /// Cancel-safe: the work that was done is kept.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`synchronize_within`](crate::Mirror::synchronize_within).
    pub async fn synchronize_within(&mut self, timeout: Duration) -> Result<bool, Error> {
        self.synchronize_until(Deadline::after(timeout)).await
    }

    async fn synchronize_until(&mut self, deadline: Deadline) -> Result<bool, Error> {
        loop {
            match self.inner.inner.turn_to_synchronize(deadline).await? {
                Turn::Synchronized => return Ok(true),
                Turn::Over => return Ok(false),
                Turn::Changed | Turn::Worked => {}
                Turn::Wait(deadline) => self.wait(deadline).await?,
            }
            ::tokio::task::coop::consume_budget().await;
        }
    }

    /// Takes an event, or waits until there may be one.
    async fn wait(&mut self, deadline: Deadline) -> Result<(), Error> {
        let Self { inner, waits, .. } = self;
        let synchronizer = &mut inner.inner;
        let taken = waits.take(|| synchronizer.take_events(1, Deadline::Now).map(|taken| taken.then_some(())))?;
        match taken {
            Some(()) => Ok(()),
            None => waits.wait(&**synchronizer.stream().source(), deadline).await,
        }
    }

    /// Returns the next change without waiting for events: see the synchronous [`try_next`](crate::Mirror::try_next).
    ///
    /// # Errors
    ///
    /// Fails like [`next_within`](Self::next_within).
    pub async fn try_next(&mut self) -> Result<Option<Change>, Error> {
        self.next_until(Deadline::Now).await
    }

    /// Returns the table. It contains all changes that were yielded, and may contain some that are still to be yielded.
    #[must_use]
    pub const fn table(&self) -> &FlowTable {
        self.inner.table()
    }

    /// Returns when the mirror has work to do even if no event arrives: see the synchronous
    /// [`next_deadline`](crate::Mirror::next_deadline). A future that waits for the next change does that work.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.inner.next_deadline()
    }

    /// Returns whether the kernel sends events in the namespace at this moment.
    #[must_use]
    pub fn events_enabled(&self) -> bool {
        self.inner.events_enabled()
    }

    /// Returns how many times events were lost. Each time, the table was compared with a dump.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.inner.overruns()
    }

    /// Returns the number of dumps that were completed.
    #[must_use]
    pub const fn dumps(&self) -> u64 {
        self.inner.dumps()
    }

    /// Returns the number of datagrams that were dropped because they did not come from the kernel.
    #[must_use]
    pub const fn rejected_datagrams(&self) -> u64 {
        self.inner.rejected_datagrams()
    }

    /// Returns the bytes that the kernel granted for events that wait to be received.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.inner.receive_buffer()
    }

    /// Returns a handle that ends every wait of the mirror, from another task or thread or from a signal handler.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.inner.stop_handle()
    }

    /// Returns whether a [stop handle](Self::stop_handle) has stopped the mirror.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.is_stopped()
    }
}

/// Yields the items of [`next`](Mirror::next).
impl Stream for Mirror {
    type Item = Result<Change, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let deadline = *this.deadline.get_or_insert_with(|| this.inner.inner.stream().deadline());
        // Nothing is lost when the future is dropped below, and the reactor keeps the waker.
        let polled = pin!(this.next_in_time(deadline)).poll(context);
        polled.map(|change| {
            this.deadline = None;
            change
        })
    }
}
