//! The socket of an event stream.

#[cfg(all(target_os = "linux", feature = "client"))]
use std::os::fd::BorrowedFd;
use std::{fmt, io, sync::Arc, time::Duration};

use super::{
    queue::{Next, ReadySignal},
    socket::{Shared, received},
};
use crate::{
    client::Stop,
    error::Errno,
    events::{EventGroups, Listener, Settings, Source},
    exchange::{Datagram, Deadline},
};

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

impl Source for FakeListener {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        match self.shared.lock().queues.receive(self.number) {
            Next::Event(event) => Ok(received(&event, buffer)),
            Next::Overrun => Err(io::Error::from_raw_os_error(Errno::ENOBUFS.0)),
            Next::Nothing => Err(io::ErrorKind::WouldBlock.into()),
        }
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
