//! Waiting for a descriptor on tokio's reactor.

use std::{
    io,
    os::{fd::BorrowedFd, unix::net::UnixDatagram as StdDatagram},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use ::tokio::{
    io::Interest,
    net::UnixDatagram,
    time::{Sleep, sleep_until},
};

use crate::{
    error::Error,
    exchange::{Datagram, Deadline, NamespaceId, Transport, Wait},
};

/// A descriptor, watched by tokio's reactor from the first wait for it.
///
/// `AsyncFd` needs an unsafe call. `UnixDatagram` registers any descriptor that it is given, and is never asked to do
/// anything but wait. Only it has to be non-blocking, and the flag belongs to the file description: set on a duplicate, it
/// would also change the socket in a process that shares it. Therefore an epoll(7) instance that watches the descriptor is
/// registered in its place.
///
/// The reactor reports each change once, so readiness holds until a receive has found nothing: see
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

    /// Returns true after the first wait.
    pub(super) const fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// Waits until the descriptor may be readable. Also counts against the budget of the task, so that a task that always
    /// finds something to read still yields to others.
    pub(super) fn poll_readable(&mut self, fd: BorrowedFd<'_>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.registered {
            Some(registered) => registered.poll_recv_ready(context),
            None => {
                let watch = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
                watch.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
                let watch = StdDatagram::from(watch.0);
                watch.set_nonblocking(true)?;
                self.registered.insert(UnixDatagram::from_std(watch)?).poll_recv_ready(context)
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

/// The transport of a client, with waits on tokio's reactor. A transport without a descriptor, such as that of a kernel in
/// memory, answers at once and stays as it is.
#[derive(Debug)]
pub(super) struct AsyncTransport {
    inner: Box<dyn Transport>,
    readiness: Readiness,
}

impl AsyncTransport {
    pub(super) fn wrap(inner: Box<dyn Transport>) -> Box<dyn Transport> {
        match inner.fd() {
            Some(_) => Box::new(Self { inner, readiness: Readiness::default() }),
            None => inner,
        }
    }
}

impl Transport for AsyncTransport {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        // The kernel carries out a request inside of the system call, so there is nothing to wait for.
        self.inner.send(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8], _: Wait) -> io::Result<Datagram> {
        let Self { inner, readiness } = self;
        readiness.receive(|| inner.receive(buffer, Wait::No))
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        self.inner.wait(patience)
    }

    fn blocks(&self) -> bool {
        false
    }

    fn poll_wait(&mut self, context: &mut Context<'_>, deadline: Deadline) -> Poll<io::Result<()>> {
        let Self { inner, readiness } = self;
        let Some(fd) = inner.fd() else { return Poll::Ready(Ok(())) };
        match readiness.poll_readable(fd, context) {
            Poll::Pending => readiness.poll_deadline(deadline, context).map(Ok),
            ready => ready,
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.fd()
    }

    fn renew(&mut self) -> io::Result<bool> {
        let renewed = self.inner.renew()?;
        if renewed {
            self.readiness.reset();
        }
        Ok(renewed)
    }

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        Ok(Self::wrap(self.inner.open_another()?))
    }

    fn receive_capacity(&self) -> usize {
        self.inner.receive_capacity()
    }

    fn send_capacity(&self) -> usize {
        self.inner.send_capacity()
    }

    fn namespace_id(&self) -> Option<NamespaceId> {
        self.inner.namespace_id()
    }
}
