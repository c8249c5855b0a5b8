//! A client's socket whose waits are tokio's.

use std::{
    io,
    os::fd::BorrowedFd,
    task::{Context, Poll},
    time::Duration,
};

use super::readiness::Readiness;
use crate::{
    error::Error,
    exchange::{Datagram, Deadline, NamespaceId, Transport, Wait},
};

/// A transport that never blocks. A transport without a descriptor, such as that of a kernel in memory, answers at once
/// and stays as it is.
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
