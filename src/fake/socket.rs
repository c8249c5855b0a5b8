//! The sockets of a client and of an event stream.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    answer::{Answer, DumpPart, PendingDump},
    datagram::{Refused, acknowledgement},
    state::{Fault, Kernel, Next, Queues, ReadySignal},
};
use crate::{
    client::Stop,
    error::{Errno, Error},
    events::{EventGroups, Inbox, Listener, Settings, Source},
    exchange::{Datagram, Deadline, Transport, Wait},
    wire::{Flags, Header, Messages, RawMessage},
};

#[cfg(all(target_os = "linux", feature = "client"))]
use std::os::fd::BorrowedFd;

/// The size of the first datagram of a dump on a new socket. Later datagrams are as large as the receive buffer allows.
const FIRST_DATAGRAM: usize = 3696;
/// The largest datagram of a dump.
const LARGEST_DATAGRAM: usize = 32_448;
/// The cost of a reply in the receive buffer, without its bytes (measured on x86-64).
const REPLY_OVERHEAD: usize = 768;

/// The state that all handles and sockets of a fake kernel share.
#[derive(Debug)]
pub(super) struct Shared {
    kernel: Mutex<Kernel>,
    /// Signaled after every operation that may have queued an event.
    changed: Condvar,
}

impl Shared {
    pub(super) fn new(kernel: Kernel) -> Arc<Self> {
        Arc::new(Self { kernel: Mutex::new(kernel), changed: Condvar::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an operation that another thread runs, and at most for this time.
    pub(super) fn wait_for_change<'k>(&self, kernel: MutexGuard<'k, Kernel>, time: Duration) -> MutexGuard<'k, Kernel> {
        self.changed.wait_timeout(kernel, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Runs an operation on the kernel, and wakes the event sockets that wait.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Kernel) -> R) -> R {
        let result = work(&mut self.lock());
        self.changed.notify_all();
        result
    }
}

/// The socket of a client.
pub(crate) struct FakeSocket {
    shared: Arc<Shared>,
    port: u32,
    /// The answers that have not been received yet.
    queue: VecDeque<Vec<u8>>,
    /// Their cost in the receive buffer.
    used: usize,
    capacity: usize,
    /// Answers were lost. Reported before the queued answers.
    has_overrun: bool,
    dump: Option<PendingDump>,
    /// The largest buffer passed to a receive, which limits the datagrams of a dump.
    largest_buffer: usize,
}

impl fmt::Debug for FakeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSocket").field("port", &self.port).finish_non_exhaustive()
    }
}

impl FakeSocket {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let mut kernel = shared.lock();
        let (port, capacity) = (kernel.next_port(), kernel.settings.receive_buffer);
        drop(kernel);
        let queue = VecDeque::new();
        Self { shared, port, queue, used: 0, capacity, has_overrun: false, dump: None, largest_buffer: 0 }
    }

    fn cost(datagram: &[u8]) -> usize {
        REPLY_OVERHEAD + datagram.len().next_multiple_of(64)
    }

    fn queue(&mut self, datagram: Vec<u8>) {
        if self.used > self.capacity {
            self.has_overrun = true;
            return;
        }
        self.used += Self::cost(&datagram);
        self.queue.push_back(datagram);
    }

    /// Executes the messages of a datagram one after the other.
    fn carry_out(&mut self, datagram: &[u8], kernel: &mut Kernel) {
        let mut is_silent = false;
        for message in Messages::new(datagram).map_while(Result::ok) {
            let header = message.header();
            // Without permission the kernel answers only the first message.
            if !kernel.is_privileged {
                self.acknowledge(&header, Some(Errno::EPERM.into()), &[]);
                return;
            }
            let mut faults = kernel.faults.next_request();
            // Otherwise the answer to the last message would tell the client that this one has succeeded.
            faults.extend(is_silent.then_some(Fault::NoReply));
            is_silent = faults.contains(&Fault::NoReply);
            let refused = faults.iter().find_map(|fault| match fault {
                Fault::Refuse(errno) => Some(Refused::from(*errno)),
                _ => None,
            });
            if refused.is_some() {
                self.acknowledge(&header, refused, &faults);
            } else {
                self.answer(&message, &faults, kernel);
            }
        }
    }

    fn answer(&mut self, message: &RawMessage<'_>, faults: &[Fault], kernel: &mut Kernel) {
        let header = message.header();
        match kernel.answer(message, self.port) {
            Ok(Answer::Dump(_)) if self.dump.is_some() => {
                self.acknowledge(&header, Some(Errno::EBUSY.into()), faults);
            }
            Ok(Answer::Dump(subject)) => {
                self.dump = Some(PendingDump::new(subject, header.sequence, self.port, faults));
                self.reply_or_lose(faults, |socket| socket.go_on_with_dump(kernel));
            }
            Ok(Answer::Message(reply)) => {
                self.reply_or_lose(faults, |socket| socket.queue(reply));
                self.acknowledge(&header, None, faults);
            }
            Ok(Answer::Done) => self.acknowledge(&header, None, faults),
            Err(refused) => self.acknowledge(&header, Some(refused), faults),
        }
    }

    /// Sends a refusal, or an acknowledgement if the request asks for one.
    fn acknowledge(&mut self, request: &Header, refused: Option<Refused>, faults: &[Fault]) {
        if refused.is_some() || request.flags.contains(Flags::ACK) {
            let reply = acknowledgement(request, self.port, refused);
            self.reply_or_lose(faults, |socket| socket.queue(reply));
        }
    }

    fn reply_or_lose(&mut self, faults: &[Fault], reply: impl FnOnce(&mut Self)) {
        if faults.contains(&Fault::LoseReply) {
            self.has_overrun = true;
        } else if !faults.contains(&Fault::NoReply) {
            reply(self);
        }
    }

    /// Queues the next datagram of the dump. Like the kernel, this runs when the dump begins and after each receive.
    fn go_on_with_dump(&mut self, kernel: &mut Kernel) {
        let Some(dump) = &mut self.dump else { return };
        let limit = self.largest_buffer.clamp(FIRST_DATAGRAM, LARGEST_DATAGRAM);
        match dump.next(kernel, limit) {
            DumpPart::Entries(datagram) => self.queue(datagram),
            DumpPart::End(datagram) => {
                self.dump = None;
                self.queue(datagram);
            }
        }
    }
}

impl Transport for FakeSocket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        shared.with(|kernel| match kernel.faults.next_send_failure() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno.0)),
            None => {
                self.carry_out(datagram, kernel);
                Ok(())
            }
        })
    }

    fn receive(&mut self, buffer: &mut [u8], _: Wait) -> io::Result<Datagram> {
        self.largest_buffer = self.largest_buffer.max(buffer.len());
        if core::mem::take(&mut self.has_overrun) {
            return Err(io::Error::from_raw_os_error(Errno::ENOBUFS.0));
        }
        // All answers are queued when a request is sent, so waiting would be in vain.
        let Some(datagram) = self.queue.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        self.used = self.used.saturating_sub(Self::cost(&datagram));
        if self.dump.is_some() {
            let shared = Arc::clone(&self.shared);
            shared.with(|kernel| self.go_on_with_dump(kernel));
        }
        Ok(received(&datagram, buffer))
    }

    fn wait(&mut self, _: Duration) -> io::Result<bool> {
        Ok(!self.queue.is_empty())
    }

    fn renew(&mut self) -> io::Result<bool> {
        *self = Self::new(Arc::clone(&self.shared));
        Ok(true)
    }

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        Ok(Box::new(Self::new(Arc::clone(&self.shared))))
    }

    fn receive_capacity(&self) -> usize {
        self.capacity
    }

    fn send_capacity(&self) -> usize {
        self.capacity
    }
}

pub(super) fn received(datagram: &[u8], buffer: &mut [u8]) -> Datagram {
    if let Some(room) = buffer.get_mut(..datagram.len()) {
        room.copy_from_slice(datagram);
    }
    Datagram { length: datagram.len(), sender: 0, namespace: None }
}

/// How soon a wait notices that it was stopped.
const SLICE: Duration = Duration::from_millis(10);
/// The number of buckets never changes.
const BUCKETS: u32 = 65_536;

/// The socket of an event stream.
pub(crate) struct FakeListener {
    shared: Arc<Shared>,
    number: u64,
    stop: Stop,
    #[cfg_attr(not(all(target_os = "linux", feature = "client")), allow(dead_code, reason = "polled on Linux only"))]
    signal: ReadySignal,
}

impl fmt::Debug for FakeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeListener").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        self.shared.lock().queues.leave(self.number);
    }
}

impl FakeListener {
    pub(super) fn new(shared: Arc<Shared>, groups: EventGroups, capacity: usize) -> Self {
        let signal = ReadySignal::new();
        let number = shared.lock().queues.join(groups, capacity, signal.clone());
        Self { shared, number, stop: Stop::default(), signal }
    }
}

fn receive(queues: &mut Queues, listener: u64, buffer: &mut [u8]) -> io::Result<Datagram> {
    match queues.receive(listener) {
        Next::Event(event) => Ok(received(&event, buffer)),
        Next::Overrun => Err(io::Error::from_raw_os_error(Errno::ENOBUFS.0)),
        Next::Nothing => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Source for FakeListener {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        receive(&mut self.shared.lock().queues, self.number, buffer)
    }

    fn receive_several(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let queues = &mut self.shared.lock().queues;
        inbox.receive_several(|buffers, received| {
            for buffer in buffers {
                if received.is_empty() || queues.has_event(self.number) {
                    received.push(receive(queues, self.number, buffer)?);
                }
            }
            Ok(())
        })
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let deadline = Deadline::after_optional(timeout);
        let mut kernel = self.shared.lock();
        while !kernel.queues.is_readable(self.number) && !self.stop.is_stopped() && !deadline.has_passed() {
            let slice = deadline.remaining().map_or(SLICE, |remaining| remaining.min(SLICE));
            kernel = self.shared.wait_for_change(kernel, slice);
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    fn capacity(&self) -> usize {
        self.shared.lock().queues.capacity(self.number)
    }
}

impl Settings for FakeListener {
    fn buckets(&self) -> Option<u32> {
        Some(BUCKETS)
    }

    fn events_enabled(&self) -> bool {
        self.shared.lock().settings.events != 0
    }
}

impl Listener for FakeListener {
    fn stop(&self) -> &Stop {
        &self.stop
    }

    #[cfg(all(target_os = "linux", feature = "client"))]
    fn fd(&self) -> BorrowedFd<'_> {
        self.signal.fd()
    }
}
