//! Ending a wait, or a long change, from outside.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
#[cfg(all(target_os = "linux", feature = "client"))]
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

#[cfg(all(target_os = "linux", feature = "client"))]
use nix::sys::eventfd::{EfdFlags, EventFd};

#[cfg(all(target_os = "linux", feature = "client"))]
use super::netfilter_socket::wait_readable;

use crate::error::Error;

/// Stops an [`EventSocket`](crate::EventSocket), a [`Mirror`](crate::Mirror) or the changes by a filter of a
/// [`Client`](crate::Client), from another thread or from a signal handler.
///
/// A signal alone does not end a wait: an interrupted wait goes on. [`stop`](Self::stop) ends it, and every later one.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{EventGroups, EventSocket};
///
/// let mut events = EventSocket::open(EventGroups::FLOWS)?;
/// let stop = events.stop_handle()?;
/// std::thread::spawn(move || {
///     std::thread::sleep(std::time::Duration::from_secs(10));
///     stop.stop();
/// });
/// for event in &mut events {
///     println!("{:?}", event?);
/// }
/// assert!(events.is_stopped());
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<Signal>);

#[derive(Debug)]
struct Signal {
    /// Stays readable once it has been written to, and so ends every wait.
    #[cfg(all(target_os = "linux", feature = "client"))]
    fd: EventFd,
    is_stopped: AtomicBool,
}

impl StopHandle {
    /// Ends the wait or the change by a filter that is under way, and every later one. Afterwards no event is yielded.
    ///
    /// It may be called in a signal handler: it sets a flag and writes to an eventfd(2).
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Release);
        // It cannot fail: the counter is far from its maximum, and the descriptor is open.
        #[cfg(all(target_os = "linux", feature = "client"))]
        let _ = self.0.fd.write(1);
    }

    /// Returns whether [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Acquire)
    }
}

/// The stop handle of a socket or a client, created when it is first asked for: without one, no descriptor is spent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(OnceLock<StopHandle>);

impl Stop {
    pub(crate) fn handle(&self) -> Result<StopHandle, Error> {
        if let Some(handle) = self.0.get() {
            return Ok(handle.clone());
        }
        let signal = Signal {
            #[cfg(all(target_os = "linux", feature = "client"))]
            fd: new_eventfd().map_err(|error| Error::io("create an eventfd", error))?,
            is_stopped: AtomicBool::new(false),
        };
        let handle = StopHandle(Arc::new(signal));
        // Another thread may have been faster.
        Ok(self.0.get_or_init(|| handle).clone())
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.get().is_some_and(StopHandle::is_stopped)
    }

    /// The descriptor that becomes readable when the handle is used; `None` as long as there is no handle.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.get().map(|StopHandle(signal)| signal.fd.as_fd())
    }

    /// Waits until `fd` is readable, until the handle stops the wait, or for that long (`None`: without a limit). Returns
    /// whether `fd` is readable.
    #[cfg(all(target_os = "linux", feature = "client"))]
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
        match self.0.get() {
            None => wait_readable([fd], timeout),
            Some(StopHandle(signal)) => wait_readable([fd, signal.fd.as_fd()], timeout),
        }
    }
}

/// Creates an eventfd(2).
#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) fn new_eventfd() -> io::Result<EventFd> {
    Ok(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)
}

#[cfg(all(test, target_os = "linux", feature = "client"))]
mod tests {
    use std::{thread, time::Instant};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_wait_is_ended_from_another_thread() {
        let (reader, _writer) = io::pipe().unwrap();
        let stop = Stop::default();
        let handle = stop.handle().unwrap();
        let begin = Instant::now();
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            handle.stop();
        });
        assert!(!stop.wait(reader.as_fd(), Some(HOUR)).unwrap());
        stopper.join().unwrap();
        assert!(!stop.wait(reader.as_fd(), None).unwrap(), "no later wait takes time");
        assert!(stop.is_stopped() && begin.elapsed() < HOUR);
    }

    #[test]
    fn every_handle_is_the_same() {
        let stop = Stop::default();
        let (one, other) = (stop.handle().unwrap(), stop.handle().unwrap());
        one.stop();
        assert!(other.is_stopped() && stop.is_stopped());
    }

    #[test]
    fn a_wait_without_a_handle_ends_with_its_time() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(!Stop::default().wait(reader.as_fd(), Some(Duration::ZERO)).unwrap());
    }
}
