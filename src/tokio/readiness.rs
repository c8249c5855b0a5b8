//! Waiting for a descriptor on tokio's reactor.

use std::{
    io,
    os::{fd::BorrowedFd, unix::net::UnixDatagram as StdDatagram},
    pin::Pin,
    task::{Context, Poll},
};

use ::tokio::{
    io::Interest,
    net::UnixDatagram,
    time::{Sleep, sleep_until},
};

use crate::exchange::Deadline;

/// A duplicate of a descriptor that is registered with tokio's reactor when it is first waited for.
///
/// `AsyncFd` needs an unsafe call. `UnixDatagram` registers any descriptor that it is given, and is never asked to do
/// anything but wait. The reactor reports each change once, so readiness holds until a receive has found nothing: see
/// [`receive`](Self::receive).
///
/// A future that waits here may be dropped at any time: the reactor keeps the waker of the last one.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    registered: Option<UnixDatagram>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Readiness {
    /// Forgets the descriptor, which was replaced.
    pub(super) fn reset(&mut self) {
        self.registered = None;
    }

    /// Waits until the descriptor may be readable. Also counts against the budget of the task, so that a task that always
    /// finds something to read still yields to others.
    pub(super) fn poll_readable(&mut self, fd: BorrowedFd<'_>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.registered {
            Some(registered) => registered.poll_recv_ready(context),
            None => {
                let duplicate = StdDatagram::from(fd.try_clone_to_owned()?);
                duplicate.set_nonblocking(true)?;
                self.registered.insert(UnixDatagram::from_std(duplicate)?).poll_recv_ready(context)
            }
        }
    }

    /// Waits until a deadline. The timer is created only here, so that a runtime without one serves waits that have no
    /// limit.
    pub(super) fn poll_deadline(&mut self, deadline: Deadline, context: &mut Context<'_>) -> Poll<()> {
        let instant = match deadline {
            Deadline::Now => return Poll::Ready(()),
            Deadline::Never => return Poll::Pending,
            Deadline::At(instant) => instant.into(),
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(instant)));
        if sleep.deadline() != instant {
            sleep.as_mut().reset(instant);
        }
        sleep.as_mut().poll(context)
    }

    /// Receives without waiting. If there is nothing (`WouldBlock`), the next wait is for something new.
    pub(super) fn receive<R>(&self, mut receive: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        match (receive(), &self.registered) {
            // Only a receive inside of `try_io` may end the readiness: something could have arrived since the first one.
            (Err(error), Some(registered)) if error.kind() == io::ErrorKind::WouldBlock => {
                registered.try_io(Interest::READABLE, receive)
            }
            (received, _) => received,
        }
    }
}
