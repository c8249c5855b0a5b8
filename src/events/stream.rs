//! Datagrams → events, and the position at which events are missing.

mod inbox;

use std::{fmt, io, ops::Range, time::Duration};

use super::EventRef;
use crate::{
    error::{DecodeError, Errno, Error},
    exchange::{Datagram, Deadline},
    filter::Filter,
    wire::{Messages, RawMessage},
};
pub(crate) use inbox::Inbox;

/// The least that a datagram takes of the kernel's buffer beyond its length.
const LEAST_OVERHEAD: usize = 256;

/// The socket that a stream reads from.
pub(crate) trait Source {
    /// Receives one datagram without waiting; `WouldBlock` if there is none.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram>;

    /// Receives the datagrams that are there, if one call can receive several. An error after the first datagram is kept for
    /// the next call.
    fn receive_several(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.receive_one(|buffer| self.receive(buffer))
    }

    /// Waits until there is something to receive, until the source is stopped, or for that long (`None`: without a limit).
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Whether waiting is over for good.
    fn is_stopped(&self) -> bool;

    /// The bytes of datagrams that may wait to be received.
    fn capacity(&self) -> usize;
}

/// The events of a source.
///
/// # Loss
///
/// If the kernel's buffer is full, the kernel drops events until the buffer has been emptied, and reports `ENOBUFS`
/// *before* the events that are still in the buffer. The stream yields those first, then [`EventRef::Overrun`].
///
/// The invariant: while `loss` is set, everything read so far is older than the loss. Nothing older is left if the
/// buffer is found empty, if it overran again, or if more was received and read since than it can hold. Each of the three ends
/// the search for the place of the loss; without the third, a kernel that sends as fast as the stream reads would hide
/// the loss for ever.
pub(crate) struct EventStream<S> {
    source: S,
    /// Events of flows that it does not match are skipped.
    filter: Option<Filter>,
    /// The timeout of waits for which the caller sets no deadline.
    timeout: Option<Duration>,
    inbox: Inbox,
    /// Whether the last receive found a datagram. Then the next one asks for several.
    is_busy: bool,
    /// The offset of the message that was yielded last.
    current: usize,
    /// The offset of the next message.
    position: usize,
    /// The length of the current datagram.
    length: usize,
    /// The namespace of the current datagram, if it is not the listener's own.
    namespace: Option<i32>,
    /// The bytes of the kernel's buffer that the datagrams took at least that were received so far.
    received: u64,
    /// The loss that has not been yielded yet: the value of `received` when it was reported.
    loss: Option<u64>,
    overruns: u64,
    rejected: u64,
}

/// The result of one step of the stream.
pub(crate) enum EventStep {
    Event(Range<usize>),
    Overrun,
    /// The wait is over.
    Nothing,
    /// Nothing is left to receive, and no wait was asked for.
    Drained,
}

/// The result of one receive.
enum Fill {
    /// A datagram of the kernel.
    Datagram,
    /// A datagram that is not an event of the kernel.
    Rejected,
    Overrun,
    Nothing,
}

impl<S: fmt::Debug> fmt::Debug for EventStream<S> {
    /// Leaves out the contents of the buffer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, timeout, overruns, rejected, .. } = self;
        let mut text = f.debug_struct("EventStream");
        text.field("source", source).field("timeout", timeout);
        text.field("overruns", overruns).field("rejected", rejected).finish_non_exhaustive()
    }
}

impl<S: Source> EventStream<S> {
    pub(crate) fn new(source: S, timeout: Option<Duration>, filter: Option<Filter>) -> Self {
        Self {
            source,
            filter,
            timeout,
            inbox: Inbox::new(),
            is_busy: false,
            current: 0,
            position: 0,
            length: 0,
            namespace: None,
            received: 0,
            loss: None,
            overruns: 0,
            rejected: 0,
        }
    }

    pub(crate) const fn source(&self) -> &S {
        &self.source
    }

    #[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The end of a wait for which the caller sets no deadline.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after_optional(self.timeout)
    }

    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// The overruns that were yielded.
    pub(crate) const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// The datagrams that did not come from the kernel.
    pub(crate) const fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The message of the event or decode error that was yielded last.
    pub(crate) fn message(&self) -> &[u8] {
        self.inbox.current().get(self.current..self.position).unwrap_or_default()
    }

    /// The next event; `None` if there is none before the deadline, or if the source is stopped.
    ///
    /// An event that does not decode is an error. The stream goes on after every error.
    #[inline]
    pub(crate) fn next(&mut self, deadline: Deadline) -> Result<Option<EventRef<'_>>, Error> {
        let step = self.advance(deadline)?;
        self.event(step)
    }

    /// The next event; an error if there is none before the stream's own timeout, and `None` if the source is stopped.
    #[inline]
    pub(crate) fn next_in_time(&mut self) -> Result<Option<EventRef<'_>>, Error> {
        match self.advance(self.deadline())? {
            EventStep::Nothing | EventStep::Drained if !self.source.is_stopped() => Err(Error::timed_out()),
            step => self.event(step),
        }
    }

    /// The event of a step, in the receive buffer.
    #[inline]
    pub(crate) fn event(&self, step: EventStep) -> Result<Option<EventRef<'_>>, Error> {
        match step {
            EventStep::Event(place) => self.event_at(place),
            EventStep::Overrun => Ok(Some(EventRef::Overrun)),
            EventStep::Nothing | EventStep::Drained => Ok(None),
        }
    }

    #[inline]
    fn event_at(&self, place: Range<usize>) -> Result<Option<EventRef<'_>>, Error> {
        let Some(message) = self.message_at(place) else { return Ok(None) };
        let event = EventRef::parse(&message?)?;
        Ok(Some(match self.namespace {
            None => event,
            Some(id) => event.in_namespace(id),
        }))
    }

    /// The message of an event.
    #[inline]
    pub(crate) fn message_at(&self, place: Range<usize>) -> Option<Result<RawMessage<'_>, DecodeError>> {
        Messages::at(self.datagram(), place.start).next()
    }

    /// The number of the namespace that the last datagram is about, if it is another than the source's.
    pub(crate) const fn namespace(&self) -> Option<i32> {
        self.namespace
    }

    /// Whether this is an event of a flow that the filter does not match.
    #[inline]
    fn is_filtered_out(&self, place: &Range<usize>) -> bool {
        let Some(filter) = &self.filter else { return false };
        let Ok(Some(event)) = self.event_at(place.clone()) else { return false };
        event.flow().is_some_and(|(_, event)| !filter.matches(&event.flow))
    }

    #[inline]
    fn datagram(&self) -> &[u8] {
        self.inbox.current().get(..self.length).unwrap_or_default()
    }

    /// Steps over everything that is not to be yielded.
    #[inline]
    pub(crate) fn advance(&mut self, deadline: Deadline) -> Result<EventStep, Error> {
        let begin = self.received;
        loop {
            match self.step(deadline, begin)? {
                EventStep::Event(place) if self.is_filtered_out(&place) => {}
                step => return Ok(step),
            }
            if self.has_skipped_enough(begin, deadline) {
                return Ok(EventStep::Nothing);
            }
        }
    }

    /// Moves past the next message and returns its place, after receiving if the datagram in the buffer is used up.
    #[inline]
    fn step(&mut self, deadline: Deadline, begin: u64) -> Result<EventStep, Error> {
        while self.position >= self.length {
            match self.receive()? {
                Fill::Datagram => break,
                Fill::Overrun => return Ok(EventStep::Overrun),
                Fill::Rejected if self.has_skipped_enough(begin, deadline) => return Ok(EventStep::Nothing),
                Fill::Rejected => {}
                Fill::Nothing => {
                    if deadline == Deadline::Now {
                        return Ok(EventStep::Drained);
                    }
                    if self.source.is_stopped() || deadline.has_passed() {
                        return Ok(EventStep::Nothing);
                    }
                    self.wait(deadline)?;
                }
            }
        }
        self.current = self.position;
        let mut messages = Messages::at(self.datagram(), self.current);
        self.position = match messages.next() {
            Some(Ok(_)) => messages.offset(),
            // The start of the next message is unknown: skip the rest of the datagram.
            _ => self.length,
        };
        Ok(EventStep::Event(self.current..self.position))
    }

    /// Whether a call has to end that has only skipped since `begin`, a former value of `received`.
    fn has_skipped_enough(&self, begin: u64, deadline: Deadline) -> bool {
        match deadline {
            Deadline::Now => self.has_read_all_since(begin),
            later => self.source.is_stopped() || later.has_passed(),
        }
    }

    /// Whether there may be an event or a loss to yield even if nothing more arrives.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) fn holds_more(&self) -> bool {
        self.position < self.length || !self.inbox.is_read() || self.loss.is_some()
    }

    /// The measure for [`has_read_all_since`](Self::has_read_all_since).
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether everything must have been read that was in the kernel's buffer when [`received`](Self::received) was
    /// `begin`. Everything that is there now came later, and made the descriptor readable again.
    pub(crate) fn has_read_all_since(&self, begin: u64) -> bool {
        self.inbox.is_read() && self.received.saturating_sub(begin) > self.source.capacity() as u64
    }

    /// Moves to the next datagram without waiting, or finds the place of a loss.
    #[inline]
    fn receive(&mut self) -> Result<Fill, Error> {
        if self.source.is_stopped() {
            return Ok(Fill::Nothing);
        }
        if self.loss.is_some_and(|begin| self.has_read_all_since(begin)) {
            return Ok(self.overrun(None));
        }
        loop {
            let error = match self.next_datagram() {
                Ok(datagram) => return self.accept(datagram),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if self.loss.is_some() => return Ok(self.overrun(None)),
                io::ErrorKind::WouldBlock => return Ok(Fill::Nothing),
                _ if error.raw_os_error() != Some(Errno::ENOBUFS.0) => {
                    return Err(Error::io("receive events", error));
                }
                // The second of two: nothing older than the first is left.
                _ if self.loss.is_some() => return Ok(self.overrun(Some(self.received))),
                _ => self.loss = Some(self.received),
            }
        }
    }

    /// Moves to the next datagram that was received, or receives one, or several if there may be more of them.
    ///
    /// An error is that of a receive, so all datagrams before it have been read.
    #[inline]
    fn next_datagram(&mut self) -> io::Result<Datagram> {
        if let Some(datagram) = self.inbox.advance() {
            return Ok(datagram);
        }
        let result = match self.is_busy {
            true => self.source.receive_several(&mut self.inbox),
            false => self.inbox.receive_one(|buffer| self.source.receive(buffer)),
        };
        self.is_busy = result.is_ok();
        result?;
        self.received += self.inbox.received().map(|datagram| (datagram.length + LEAST_OVERHEAD) as u64).sum::<u64>();
        self.inbox.advance().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    #[inline]
    fn accept(&mut self, datagram: Datagram) -> Result<Fill, Error> {
        if datagram.sender != 0 {
            self.rejected += 1;
            return Ok(Fill::Rejected);
        }
        if datagram.length > inbox::ROOM {
            return Err(Error::truncated(datagram.length));
        }
        (self.position, self.length, self.namespace) = (0, datagram.length, datagram.namespace);
        Ok(if datagram.length > 0 { Fill::Datagram } else { Fill::Rejected })
    }

    #[cold]
    fn overrun(&mut self, next: Option<u64>) -> Fill {
        self.overruns += 1;
        self.loss = next;
        Fill::Overrun
    }

    /// A signal does not end the wait: the caller looks again and waits for the rest.
    #[cold]
    fn wait(&mut self, deadline: Deadline) -> Result<(), Error> {
        match self.source.wait(deadline.remaining()) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(Error::io("wait for events", error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
