//! Datagrams → events, and where events are missing.

use std::{
    fmt, io,
    ops::Range,
    time::{Duration, Instant},
};

use super::{Event, Malformed};
use crate::{
    error::{Errno, Error},
    exchange::{Datagram, Wait},
    wire::Messages,
};

/// Longer than any datagram of the kernel.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// What a datagram takes of the kernel's buffer beyond its length, at the very least.
const LEAST_OVERHEAD: usize = 256;

/// A year.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// What a stream needs of a socket.
pub(crate) trait Source {
    /// Receives one datagram: waiting no longer than the source's own time-out, or not at all.
    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram>;

    /// Waits until there is something to receive; `false` where the time is up first.
    fn wait(&mut self, patience: Duration) -> io::Result<bool>;

    /// Bytes that may wait to be received.
    fn capacity(&self) -> usize;
}

/// How long to wait for an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As long as the source does, and that is an error then.
    OfSource,
    Until(Instant),
    None,
}

impl Patience {
    /// That long, or, where no clock counts so far, as good as for ever.
    pub(crate) fn within(timeout: Duration) -> Self {
        let now = Instant::now();
        Self::Until(now.checked_add(timeout).unwrap_or(now + FOR_EVER))
    }
}

/// The events of a source.
pub(crate) struct EventStream<S> {
    source: S,
    /// The source's own time-out.
    timeout: Option<Duration>,
    buffer: Vec<u8>,
    position: usize,
    length: usize,
    /// The namespace that what is in the buffer tells of, if it is another.
    namespace: Option<i32>,
    loss: Option<Loss>,
    overruns: u64,
    foreign: u64,
}

/// The kernel dropped events and nothing has been said of it yet, since older ones may wait in its buffer.
///
/// It takes no new event until its buffer is empty. So nothing older is left where the buffer is found empty, where it
/// overran again, or where more was received than it can have held.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    received_since: usize,
}

enum Found {
    Message(Range<usize>),
    Overrun,
    Nothing,
}

impl<S: fmt::Debug> fmt::Debug for EventStream<S> {
    /// Prints what it is, not what is in its buffer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, timeout, overruns, foreign, .. } = self;
        let mut text = f.debug_struct("EventStream");
        text.field("source", source).field("timeout", timeout).field("overruns", overruns).field("foreign", foreign);
        text.finish_non_exhaustive()
    }
}

impl<S: Source> EventStream<S> {
    pub(crate) fn new(source: S, timeout: Option<Duration>) -> Self {
        Self {
            source,
            timeout,
            buffer: vec![0; RECEIVE_BUFFER],
            position: 0,
            length: 0,
            namespace: None,
            loss: None,
            overruns: 0,
            foreign: 0,
        }
    }

    pub(crate) const fn source(&self) -> &S {
        &self.source
    }

    /// The source's own time-out.
    pub(crate) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Losses that were told.
    pub(crate) const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Datagrams that did not come from the kernel.
    pub(crate) const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// The next event; `None` where there is none and patience has ended.
    #[inline]
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Event<'_>>, Error> {
        match self.advance(patience)? {
            Found::Message(place) => Ok(self.event_at(place)),
            Found::Overrun => Ok(Some(Event::Overrun)),
            Found::Nothing => Ok(None),
        }
    }

    #[inline]
    fn event_at(&self, place: Range<usize>) -> Option<Event<'_>> {
        let event = match Messages::at(self.received(), place.start).next()? {
            Ok(message) => Event::parse(&message),
            Err(error) => Err(error),
        };
        let malformed =
            |error| Event::Malformed(Malformed { error, bytes: self.buffer.get(place).unwrap_or_default() });
        let event = event.unwrap_or_else(malformed);
        Some(match self.namespace {
            None => event,
            Some(id) => event.in_namespace(id),
        })
    }

    #[inline]
    fn received(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Goes past the next message, and tells where it is.
    #[inline]
    fn advance(&mut self, patience: Patience) -> Result<Found, Error> {
        if self.position >= self.length {
            if let Some(found) = self.fill(patience)? {
                return Ok(found);
            }
        }
        let start = self.position;
        let mut messages = Messages::at(self.received(), start);
        self.position = match messages.next() {
            Some(Ok(_)) => messages.offset(),
            // There is no telling where the next message would start.
            _ => self.length,
        };
        Ok(Found::Message(start..self.position))
    }

    /// Receives the next datagram of the kernel; or tells what is to be said instead.
    #[inline]
    fn fill(&mut self, patience: Patience) -> Result<Option<Found>, Error> {
        let deadline = self.deadline(patience);
        // The source's own time-out would begin anew with every receive: after the first, the rest is waited for.
        let mut is_first = true;
        loop {
            if self.loss.is_some_and(|loss| loss.received_since > self.source.capacity()) {
                return Ok(Some(self.overrun(None)));
            }
            let wait = if is_first { self.waiting(patience) } else { Wait::No };
            match self.source.receive(&mut self.buffer, wait) {
                Ok(datagram) => {
                    if self.accept(datagram)? {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS.0) => {
                    // The second of two: nothing that is older than the first is left.
                    if self.loss.is_some() {
                        return Ok(Some(self.overrun(Some(Loss::default()))));
                    }
                    self.loss = Some(Loss::default());
                    continue;
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(Error::io("receive events", error));
                }
                Err(_) if self.loss.is_some() => return Ok(Some(self.overrun(None))),
                Err(_) => match (patience, deadline) {
                    (Patience::None, _) => return Ok(Some(Found::Nothing)),
                    (Patience::OfSource, _) if is_first => return Err(Error::timed_out()),
                    (_, Some(end)) => self.wait_until(end)?,
                    (_, None) => return Err(Error::timed_out()),
                },
            }
            is_first = is_first && deadline.is_none();
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return match patience {
                    Patience::OfSource => Err(Error::timed_out()),
                    _ => Ok(Some(Found::Nothing)),
                };
            }
        }
    }

    fn deadline(&self, patience: Patience) -> Option<Instant> {
        match patience {
            Patience::OfSource => self.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            Patience::Until(deadline) => Some(deadline),
            Patience::None => None,
        }
    }

    fn waiting(&self, patience: Patience) -> Wait {
        match patience {
            Patience::OfSource if self.loss.is_none() => Wait::Yes,
            _ => Wait::No,
        }
    }

    #[cold]
    fn wait_until(&mut self, deadline: Instant) -> Result<(), Error> {
        let patience = deadline.saturating_duration_since(Instant::now());
        match self.source.wait(patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(Error::io("wait for events", error)),
            _ => Ok(()),
        }
    }

    /// Whether the datagram is of the kernel.
    #[inline]
    fn accept(&mut self, datagram: Datagram) -> Result<bool, Error> {
        if let Some(loss) = &mut self.loss {
            loss.received_since = loss.received_since.saturating_add(datagram.length + LEAST_OVERHEAD);
        }
        if datagram.sender != 0 {
            self.foreign += 1;
            return Ok(false);
        }
        if datagram.length > self.buffer.len() {
            return Err(Error::truncated(datagram.length));
        }
        self.position = 0;
        self.length = datagram.length;
        self.namespace = datagram.namespace;
        // A datagram without a byte is no event.
        Ok(datagram.length > 0)
    }

    #[cold]
    fn overrun(&mut self, next: Option<Loss>) -> Found {
        self.overruns += 1;
        self.loss = next;
        Found::Overrun
    }
}

#[cfg(test)]
mod tests;
