//! Requests over a transport, one exchange at a time.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use super::{
    Datagram, Exchange, Received, Transport, Wait, attribute_path::attribute_path, request_buffer::RequestBuffer,
};
use crate::{
    error::{DecodeError, Errno, Error, KernelError, Operation},
    request::Request,
    wire::{Acknowledgement, Messages, RawMessage},
};

/// Bytes of the receive buffer. The kernel fills at most 32,448 of them.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// A transport, its buffers, and the sequence numbers.
///
/// Generic for the tests, which look into their transport; a client's transport is behind a pointer.
pub(crate) struct Connection<T = Box<dyn Transport>> {
    transport: T,
    timeout: Option<Duration>,
    sequence: u32,
    request: RequestBuffer,
    buffer: Vec<u8>,
    stale: Stale,
}

/// Whether answers to an earlier request may still come.
#[derive(Clone, Copy, Debug)]
enum Stale {
    No,
    /// Until this exchange ends.
    Until(Exchange),
    /// It is not known until when.
    Unknown,
}

impl<T: fmt::Debug> fmt::Debug for Connection<T> {
    /// Leaves the contents of the buffers out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, timeout, .. } = self;
        f.debug_struct("Connection").field("transport", transport).field("timeout", timeout).finish_non_exhaustive()
    }
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(transport: T, timeout: Option<Duration>) -> Self {
        Self {
            transport,
            timeout,
            sequence: 0,
            request: RequestBuffer::default(),
            buffer: vec![0; RECEIVE_BUFFER],
            stale: Stale::No,
        }
    }

    pub(crate) const fn transport(&self) -> &T {
        &self.transport
    }

    /// Opens another connection to the same kernel.
    pub(crate) fn open_another(&self) -> Result<Connection, Error> {
        Ok(Connection::new(self.transport.open_another()?, self.timeout))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn set_sequence(&mut self, sequence: u32) {
        self.sequence = sequence;
    }

    /// Returns a sequence number that no running request has. 0 is the number of events.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    /// Sends a request and waits for its acknowledgement.
    pub(crate) fn execute(&mut self, request: &impl Request) -> Result<(), Error> {
        self.fetch(request, |_| Ok(())).map(drop)
    }

    /// Sends a request, waits for the end of its answer and returns its last message, decoded.
    pub(crate) fn fetch<R>(
        &mut self,
        request: &impl Request,
        decode: impl Fn(&RawMessage<'_>) -> Result<R, DecodeError>,
    ) -> Result<Option<R>, Error> {
        let mut replies = self.start(request)?;
        let mut fetched = None;
        while let Some(message) = replies.next(self)? {
            fetched = Some(decode(&message)?);
        }
        Ok(fetched)
    }

    /// Sends a request and returns a cursor over its answer.
    pub(crate) fn start(&mut self, request: &impl Request) -> Result<ReplyCursor, Error> {
        self.settle()?;
        let sequence = self.next_sequence();
        let mut requests = core::mem::take(&mut self.request);
        requests.clear();
        let sent = requests.push(request, sequence).and_then(|()| self.send(requests.as_bytes()));
        self.request = requests;
        sent?;
        let exchange = Exchange::new(request.operation(), sequence);
        self.stale = Stale::Until(exchange);
        Ok(ReplyCursor { exchange, current: 0, position: 0, length: 0, failed: false })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        loop {
            match self.transport.send(bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("send to the kernel", error)),
            }
        }
    }

    /// Waits for the next datagram of the kernel. Datagrams of other senders are dropped.
    pub(super) fn fill(&mut self, wait: Wait) -> Result<Datagram, Error> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut receive = wait;
        loop {
            match self.transport.receive(&mut self.buffer, receive) {
                Ok(datagram) if datagram.sender == 0 => {
                    return if datagram.length > self.buffer.len() {
                        Err(Error::truncated(datagram.length))
                    } else {
                        Ok(datagram)
                    };
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && receive != wait => {}
                Err(error) => return Err(receive_error(error)),
            }
            let Some(deadline) = deadline else { continue };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::timed_out());
            }
            if wait == Wait::Yes {
                self.wait_for_more(left)?;
                receive = Wait::No;
            }
        }
    }

    /// Waits for the rest of the time. The transport's own time-out would restart with each receive.
    #[cold]
    fn wait_for_more(&mut self, patience: Duration) -> Result<(), Error> {
        match self.transport.wait(patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(Error::io("wait for the kernel", error)),
            _ => Ok(()),
        }
    }

    pub(super) fn received(&self, length: usize) -> &[u8] {
        self.buffer.get(..length).unwrap_or_default()
    }

    /// Ends an abandoned exchange, so that no late answer is mistaken for an answer to the next request. An abandoned
    /// dump would also make the next one fail with EBUSY.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        match self.stale {
            Stale::No => return Ok(()),
            stale => {
                if !self.transport.renew().map_err(|error| Error::io("open the socket anew", error))? {
                    self.drain(stale)?;
                }
            }
        }
        self.stale = Stale::No;
        Ok(())
    }

    fn drain(&mut self, stale: Stale) -> Result<(), Error> {
        let Stale::Until(mut exchange) = stale else { return Ok(()) };
        while !exchange.is_finished() {
            let length = match self.fill(Wait::Yes) {
                Ok(datagram) => datagram.length,
                // Its end was lost or never sent. Late messages have another sequence number.
                Err(error) if error.is_timed_out() || error.is_overrun() => return Ok(()),
                Err(error) => return Err(error),
            };
            for message in Messages::new(self.received(length)).map_while(Result::ok) {
                exchange.receive(&message);
            }
        }
        Ok(())
    }

    /// Answers may arrive until [`forget_stale`](Self::forget_stale) is called.
    pub(super) const fn expect_stale(&mut self) {
        self.stale = Stale::Unknown;
    }

    pub(super) const fn forget_stale(&mut self) {
        self.stale = Stale::No;
    }
}

/// A position in the answer to one request, in the connection's buffer.
#[derive(Debug)]
pub(crate) struct ReplyCursor {
    exchange: Exchange,
    /// The start of the message that was returned last.
    current: usize,
    position: usize,
    length: usize,
    /// Whether an error ended the answer. Receiving again would only wait again.
    failed: bool,
}

impl ReplyCursor {
    /// Returns the next message of the answer, or `None` after the last.
    ///
    /// An error of the kernel or the transport ends the answer. After bytes that are not a message the rest of the
    /// datagram is skipped.
    pub(crate) fn next<'c, T: Transport>(
        &mut self,
        connection: &'c mut Connection<T>,
    ) -> Result<Option<RawMessage<'c>>, Error> {
        if self.failed {
            return Ok(None);
        }
        match self.advance(connection) {
            Ok(Some(position)) => self.current = position,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.failed = error.ends_answer();
                return Err(error);
            }
        }
        // Found once already: reading it again frees the loop above from holding it while the buffer is filled.
        Ok(self.current(connection))
    }

    /// Returns the last message again.
    pub(crate) fn current<'c, T: Transport>(&self, connection: &'c Connection<T>) -> Option<RawMessage<'c>> {
        Messages::at(connection.received(self.length), self.current).next()?.ok()
    }

    /// Whether every received message was returned, so that [`next`](Self::next) has to receive.
    #[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn is_between_datagrams(&self) -> bool {
        self.position >= self.length
    }

    /// Returns the start of the next message of the answer.
    fn advance<T: Transport>(&mut self, connection: &mut Connection<T>) -> Result<Option<usize>, Error> {
        while !self.exchange.is_finished() {
            let position = self.position;
            let mut messages = Messages::at(connection.received(self.length), position);
            match messages.next() {
                None => {
                    self.length = connection.fill(Wait::Yes)?.length;
                    self.position = 0;
                }
                Some(Err(error)) => {
                    self.position = self.length;
                    return Err(error.into());
                }
                Some(Ok(message)) => {
                    self.position = messages.offset();
                    match self.exchange.receive(&message) {
                        Received::Item => return Ok(Some(position)),
                        Received::Foreign => {}
                        Received::End => connection.stale = Stale::No,
                        Received::Refused(refusal) => {
                            connection.stale = Stale::No;
                            return Err(
                                describe(refusal, self.exchange.operation(), connection.request.as_bytes()).into()
                            );
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Converts a refusal into an error that names the attribute that the kernel refers to.
pub(super) fn describe(refusal: Acknowledgement, operation: Operation, request: &[u8]) -> KernelError {
    let attribute = refusal.offset.and_then(|offset| attribute_path(request, offset as usize));
    KernelError::new(operation, refusal.errno).with_details(refusal.text.as_deref(), attribute)
}

fn receive_error(error: io::Error) -> Error {
    match error.raw_os_error().map(Errno) {
        Some(Errno::ENOBUFS) => Error::overrun(),
        _ if error.kind() == io::ErrorKind::WouldBlock => Error::timed_out(),
        _ => Error::io("receive from the kernel", error),
    }
}
