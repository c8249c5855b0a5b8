//! Requests over a transport, one exchange at a time.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    reply::{Exchange, Received, describe},
    transport::{Datagram, Deadline, Transport, Wait},
};
use crate::{
    error::{DecodeError, EncodeError, Errno, Error},
    request::Request,
    wire::{Encoder, Messages, RawMessage},
};

/// Bytes of the receive buffer. The kernel fills at most 32,448 of them.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// Bytes reserved for a request at first. A longer request gets more.
const REQUEST_LENGTH: usize = 512;

/// A transport, its buffers, and the sequence numbers.
///
/// Generic for the tests, which look into their transport; a client's transport is behind a pointer.
pub(crate) struct Connection<T = Box<dyn Transport>> {
    transport: T,
    timeout: Option<Duration>,
    /// When the wait for a datagram ends that is under way. It outlives a dropped future.
    deadline: Option<Deadline>,
    sequence: u32,
    request: RequestBuffer,
    buffer: Vec<u8>,
    unread: Unread,
}

/// Completes a future over a transport that blocks. Such a future waits inside of `poll` and is never pending, so
/// nothing has to wake it.
///
/// Requests are written once, as futures: an asynchronous client awaits them, a synchronous client completes them here.
pub(crate) fn complete<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Whether answers to an earlier request may still come.
#[derive(Clone, Copy, Debug)]
enum Unread {
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
            deadline: None,
            sequence: 0,
            request: RequestBuffer::default(),
            buffer: vec![0; RECEIVE_BUFFER],
            unread: Unread::No,
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

    /// Replaces the transport, before the first request.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) fn map_transport<U: Transport>(self, map: impl FnOnce(T) -> U) -> Connection<U> {
        let Self { transport, timeout, deadline, sequence, request, buffer, unread } = self;
        Connection { transport: map(transport), timeout, deadline, sequence, request, buffer, unread }
    }

    /// Sends a request and waits for its acknowledgement.
    pub(crate) async fn execute(&mut self, request: &impl Request) -> Result<(), Error> {
        self.fetch(request, |_| Ok(())).await.map(drop)
    }

    /// Sends a request, waits for the end of its answer and returns its last message, decoded.
    pub(crate) async fn fetch<R>(
        &mut self,
        request: &impl Request,
        decode: impl Fn(&RawMessage<'_>) -> Result<R, DecodeError>,
    ) -> Result<Option<R>, Error> {
        let mut replies = self.start(request).await?;
        let mut fetched = None;
        while let Some(message) = replies.next(self).await? {
            fetched = Some(decode(&message)?);
        }
        Ok(fetched)
    }

    /// Sends a request and returns a cursor over its answer.
    ///
    /// The future does not wait between sending the request and recording that an answer will arrive, so it cannot be
    /// dropped in between.
    pub(crate) async fn start(&mut self, request: &impl Request) -> Result<ReplyCursor, Error> {
        self.discard_unread().await?;
        let sequence = self.next_sequence();
        let mut requests = core::mem::take(&mut self.request);
        requests.clear();
        let sent = requests.push(request, sequence).and_then(|()| self.send(requests.as_bytes()));
        self.request = requests;
        sent?;
        let exchange = Exchange::new(request.operation(), sequence);
        self.unread = Unread::Until(exchange);
        Ok(ReplyCursor { exchange, current: 0, position: 0, length: 0, failed: false })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.deadline = None;
        loop {
            match self.transport.send(bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("send to the kernel", error)),
            }
        }
    }

    /// Waits for the next datagram of the kernel. Datagrams of other senders are dropped.
    ///
    /// The deadline is that of the first call if a call is dropped and repeated.
    pub(super) async fn fill(&mut self, wait: Wait) -> Result<Datagram, Error> {
        let timeout = self.timeout;
        let deadline = *self.deadline.get_or_insert_with(|| Deadline::after_optional(timeout));
        let filled = self.fill_until(wait, deadline).await;
        self.deadline = None;
        filled
    }

    async fn fill_until(&mut self, wait: Wait, deadline: Deadline) -> Result<Datagram, Error> {
        let blocks = self.transport.blocks();
        let mut receive = if blocks { wait } else { Wait::No };
        loop {
            // A transport that blocks waits in its first receive, which saves a system call.
            if receive != wait {
                self.wait(deadline).await?;
            }
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
            if deadline.has_passed() {
                return Err(Error::timed_out());
            }
            // The transport's own time-out would restart with each receive.
            if deadline != Deadline::Never {
                receive = Wait::No;
            }
        }
    }

    async fn wait(&mut self, deadline: Deadline) -> Result<(), Error> {
        match poll_fn(|context| self.transport.poll_wait(context, deadline)).await {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(Error::io("wait for the kernel", error)),
            _ => Ok(()),
        }
    }

    pub(super) fn received(&self, length: usize) -> &[u8] {
        self.buffer.get(..length).unwrap_or_default()
    }

    /// Discards the rest of the answer to an abandoned request. Otherwise the next request could take it for its own. An
    /// abandoned dump would also make the next one fail with EBUSY.
    pub(super) async fn discard_unread(&mut self) -> Result<(), Error> {
        match self.unread {
            Unread::No => return Ok(()),
            unread => {
                self.deadline = None;
                if !self.transport.renew().map_err(|error| Error::io("open the socket anew", error))? {
                    self.drain(unread).await?;
                }
            }
        }
        self.unread = Unread::No;
        Ok(())
    }

    /// Reads an answer to its end. If the future is dropped, the next one goes on.
    async fn drain(&mut self, unread: Unread) -> Result<(), Error> {
        let Unread::Until(mut exchange) = unread else { return Ok(()) };
        while !exchange.is_finished() {
            let length = match self.fill(Wait::Yes).await {
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

    /// Answers may arrive until [`forget_unread`](Self::forget_unread) is called.
    pub(super) const fn expect_unread(&mut self) {
        self.unread = Unread::Unknown;
    }

    pub(super) const fn forget_unread(&mut self) {
        self.unread = Unread::No;
    }
}

/// Consecutive messages. The memory is kept and not cleared, since only written bytes are ever read.
#[derive(Debug, Default)]
pub(super) struct RequestBuffer {
    memory: Vec<u8>,
    length: usize,
}

impl RequestBuffer {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }

    pub(super) fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.length).unwrap_or_default()
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends a request. A request that cannot be encoded leaves the buffer unchanged.
    pub(super) fn push(&mut self, request: &impl Request, sequence: u32) -> Result<(), Error> {
        let mut room = REQUEST_LENGTH;
        loop {
            if self.memory.len() < self.length + room {
                self.memory.resize(self.length + room, 0);
            }
            let mut encoder = Encoder::new(self.memory.get_mut(self.length..).unwrap_or_default());
            request.encode(sequence, &mut encoder);
            match encoder.finish() {
                Ok(length) => {
                    self.length += length;
                    return Ok(());
                }
                Err(EncodeError::BufferTooSmall { needed }) => room = needed,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The result of looking for the next message in the datagram that was received last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Part of the answer: see [`ReplyCursor::current`].
    Item,
    /// The end of the answer.
    End,
    /// Nothing more: another datagram is needed.
    Receive,
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
    pub(crate) async fn next<'c, T: Transport>(
        &mut self,
        connection: &'c mut Connection<T>,
    ) -> Result<Option<RawMessage<'c>>, Error> {
        loop {
            match self.step(connection)? {
                Progress::Item => return Ok(self.current(connection)),
                Progress::End => return Ok(None),
                Progress::Receive => self.receive(connection).await?,
            }
        }
    }

    /// The same over a transport that blocks. Messages that were received already take no future.
    pub(crate) fn next_blocking<'c, T: Transport>(
        &mut self,
        connection: &'c mut Connection<T>,
    ) -> Result<Option<RawMessage<'c>>, Error> {
        loop {
            match self.step(connection)? {
                // Found once already: reading it again frees the loop from holding it while the buffer is filled.
                Progress::Item => return Ok(self.current(connection)),
                Progress::End => return Ok(None),
                Progress::Receive => complete(self.receive(connection))?,
            }
        }
    }

    /// Returns the last message again.
    pub(crate) fn current<'c, T: Transport>(&self, connection: &'c Connection<T>) -> Option<RawMessage<'c>> {
        Messages::at(connection.received(self.length), self.current).next()?.ok()
    }

    /// Whether every received message was returned, and [`next`](Self::next) has to receive.
    #[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) const fn is_between_datagrams(&self) -> bool {
        self.position >= self.length
    }

    /// Receives the next datagram. Nothing changes if the future is dropped.
    pub(crate) async fn receive<T: Transport>(&mut self, connection: &mut Connection<T>) -> Result<(), Error> {
        match connection.fill(Wait::Yes).await {
            Ok(datagram) => {
                (self.position, self.length) = (0, datagram.length);
                Ok(())
            }
            Err(error) => {
                self.failed = error.ends_answer();
                Err(error)
            }
        }
    }

    /// Goes on to the next message of the answer in the received datagram.
    #[inline(always)] // The cursor takes 20 % fewer instructions for each message of a dump.
    pub(crate) fn step<T: Transport>(&mut self, connection: &mut Connection<T>) -> Result<Progress, Error> {
        if self.failed {
            return Ok(Progress::End);
        }
        while !self.exchange.is_finished() {
            let position = self.position;
            let mut messages = Messages::at(connection.received(self.length), position);
            match messages.next() {
                None => return Ok(Progress::Receive),
                Some(Err(error)) => {
                    self.position = self.length;
                    return Err(error.into());
                }
                Some(Ok(message)) => {
                    self.position = messages.offset();
                    match self.exchange.receive(&message) {
                        Received::Item => {
                            self.current = position;
                            return Ok(Progress::Item);
                        }
                        Received::Foreign => {}
                        Received::End => connection.unread = Unread::No,
                        Received::Refused(refusal) => {
                            connection.unread = Unread::No;
                            self.failed = true;
                            return Err(
                                describe(refusal, self.exchange.operation(), connection.request.as_bytes()).into()
                            );
                        }
                    }
                }
            }
        }
        Ok(Progress::End)
    }
}

fn receive_error(error: io::Error) -> Error {
    match error.raw_os_error().map(Errno) {
        Some(Errno::ENOBUFS) => Error::overrun(),
        _ if error.kind() == io::ErrorKind::WouldBlock => Error::timed_out(),
        _ => Error::io("receive from the kernel", error),
    }
}
