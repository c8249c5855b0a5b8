//! Injected faults.

use crate::error::Errno;

/// A fault of one request: see [`FakeKernel::inject`](super::FakeKernel::inject).
///
/// # Example
///
/// ```
/// use ctnetlink::{Errno, NewFlow, fake::{FakeKernel, Fault}};
///
/// let kernel = FakeKernel::new();
/// // The second operation of the batch fails.
/// kernel.inject_after(1, Fault::Refuse(Errno::EBUSY));
///
/// let mut client = kernel.client();
/// let mut batch = client.batch();
/// for port in 40_000..40_003 {
///     batch.push(&NewFlow::udp(([192, 0, 2, 1], port).into(), "192.0.2.2:53".parse()?))?;
/// }
/// let report = batch.finish()?;
/// assert_eq!((report.succeeded(), report.failures().len()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is refused with this error number and changes nothing: `EBUSY`, `ENOMEM`, `EPERM` …
    Refuse(Errno),
    /// The request is executed, but its answer does not fit the receive buffer and is lost. The client's call fails with
    /// [`ErrorKind::Overrun`](crate::ErrorKind::Overrun).
    LoseReply,
    /// The request is executed, but no answer arrives. The client's call fails with
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) at once, without waiting. In a batch, the operations after it in
    /// the same datagram get no answers either.
    NoReply,
    /// The datagram is not sent: the system call fails with this error number.
    SendFails(Errno),
    /// The dump sends each of its datagrams twice. The kernel repeats the entries of a hash bucket if the flow at which it
    /// paused ends before it continues.
    RepeatEntries,
    /// The dump ends after this many entries with this error number.
    EndDump {
        /// The number of entries that arrive.
        after: usize,
        /// The error number in the message that ends the dump.
        errno: Errno,
    },
}

/// The faults that have not occurred yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Each fault with the number of requests before it.
    waiting: Vec<(usize, Fault)>,
}

impl Faults {
    pub(super) fn inject_after(&mut self, requests: usize, fault: Fault) {
        self.waiting.push((requests, fault));
    }

    /// Removes and returns the faults of the next request.
    pub(super) fn next_request(&mut self) -> Vec<Fault> {
        let mut due = Vec::new();
        self.waiting.retain_mut(|(requests, fault)| match requests.checked_sub(1) {
            // Occurs when the next datagram is sent.
            None if matches!(fault, Fault::SendFails(_)) => true,
            None => {
                due.push(*fault);
                false
            }
            Some(left) => {
                *requests = left;
                true
            }
        });
        due
    }

    /// Removes and returns the error number with which sending fails, if any.
    pub(super) fn next_send_failure(&mut self) -> Option<Errno> {
        let found =
            self.waiting.iter().position(|(requests, fault)| *requests == 0 && matches!(fault, Fault::SendFails(_)))?;
        match self.waiting.remove(found) {
            (_, Fault::SendFails(errno)) => Some(errno),
            _ => None,
        }
    }
}
