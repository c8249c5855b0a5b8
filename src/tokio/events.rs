//! Events, awaited.

use core::future::{Future as _, poll_fn};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;

use super::readiness::Readiness;
use crate::{
    client::StopHandle,
    error::Error,
    events::{Event, EventGroups, EventRef, EventStep, Listener},
    exchange::Deadline,
};

/// The waits of a listener: for its descriptor, for its stop handle, and for a deadline.
#[derive(Debug, Default)]
pub(super) struct Waits {
    events: Readiness,
    stop: Readiness,
}

impl Waits {
    /// Waits until there may be an event, until the listener is stopped, or until the deadline.
    pub(super) async fn wait(&mut self, listener: &dyn Listener, deadline: Deadline) -> Result<(), Error> {
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
    pub(super) fn take<R>(&self, mut take: impl FnMut() -> Result<Option<R>, Error>) -> Result<Option<R>, Error> {
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
    /// Cancel-safe: no event is lost if the future is dropped. Errors are those of [`next_view`](Self::next_view).
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
        loop {
            self.waits.wait(&**self.inner.stream.source(), deadline).await?;
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

/// Yields what [`next`](EventSocket::next) yields.
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
