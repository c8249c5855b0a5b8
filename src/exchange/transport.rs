//! The part of a socket that a connection uses, and the end of its waits.

use core::fmt;
use std::{
    io,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::error::Error;

/// A datagram that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Its length, which may exceed the buffer.
    pub(crate) length: usize,
    /// The netlink port of the sender: 0 is the kernel.
    pub(crate) sender: u32,
    /// The identifier of another network namespace that the datagram is about. Only a listener to all namespaces gets
    /// it.
    pub(crate) namespace: Option<i32>,
}

/// The identity of a network namespace: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Whether to wait for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until a datagram arrives or the time is up.
    Yes,
    /// No: `WouldBlock` if there is none.
    No,
}

/// The end of a wait. One deadline covers every step of a wait: interruptions and rejected datagrams do not prolong
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// No waiting at all.
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// A timeout too large for `Instant` means no deadline.
    pub(crate) fn after(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Never, Self::At)
    }

    /// No timeout means no deadline.
    pub(crate) fn after_optional(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Never, Self::after)
    }

    /// The time that is left; `None` without a deadline.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
            Self::Never => None,
        }
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_some_and(|remaining| remaining.is_zero())
    }

    /// The earlier of the two.
    pub(crate) fn or_at(self, other: Option<Instant>) -> Self {
        match (self, other) {
            (Self::At(one), Some(other)) => Self::At(one.min(other)),
            (Self::Never, Some(other)) => Self::At(other),
            (earlier, _) => earlier,
        }
    }
}

/// Datagrams to and from the kernel: a socket, or something that stands in for the kernel.
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Sends one datagram to the kernel.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Receives one datagram. Waits until the transport's own time-out, or not at all.
    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram>;

    /// Waits until there is something to receive; `false` if the time is up first.
    fn wait(&mut self, patience: Duration) -> io::Result<bool>;

    /// Whether [`receive`](Self::receive) waits if it is asked to. If not, it fails with `WouldBlock`, and
    /// [`poll_wait`](Self::poll_wait) waits.
    fn blocks(&self) -> bool {
        true
    }

    /// Waits until there may be something to receive, or until the deadline. A transport that blocks does so here, and is
    /// never pending.
    fn poll_wait(&mut self, _: &mut Context<'_>, deadline: Deadline) -> Poll<io::Result<()>> {
        Poll::Ready(self.wait(deadline.remaining().unwrap_or(Duration::MAX)).map(drop))
    }

    /// The descriptor to wait for; `None` if nothing ever has to be waited for.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    /// Drops everything that earlier requests could still receive, by a new socket. Returns `false` if that is not
    /// possible.
    fn renew(&mut self) -> io::Result<bool>;

    /// Opens another transport to the same kernel and network namespace.
    fn open_another(&self) -> Result<Box<dyn Transport>, Error>;

    /// Bytes of the receive buffer.
    fn receive_capacity(&self) -> usize;

    /// Bytes of the longest datagram that can be sent.
    fn send_capacity(&self) -> usize;

    /// The network namespace that the transport leads to, if it is known.
    fn namespace_id(&self) -> Option<NamespaceId> {
        None
    }
}

impl Transport for Box<dyn Transport> {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        (**self).send(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        (**self).receive(buffer, wait)
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        (**self).wait(patience)
    }

    fn blocks(&self) -> bool {
        (**self).blocks()
    }

    fn poll_wait(&mut self, context: &mut Context<'_>, deadline: Deadline) -> Poll<io::Result<()>> {
        (**self).poll_wait(context, deadline)
    }

    #[cfg(all(target_os = "linux", feature = "tokio"))]
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        (**self).fd()
    }

    fn renew(&mut self) -> io::Result<bool> {
        (**self).renew()
    }

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        (**self).open_another()
    }

    fn receive_capacity(&self) -> usize {
        (**self).receive_capacity()
    }

    fn send_capacity(&self) -> usize {
        (**self).send_capacity()
    }

    fn namespace_id(&self) -> Option<NamespaceId> {
        (**self).namespace_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_ordered_by_time() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let (sooner, later) = (now + hour, now + 2 * hour);
        assert_eq!(Deadline::At(later).or_at(Some(sooner)), Deadline::At(sooner));
        assert_eq!(Deadline::At(sooner).or_at(Some(later)), Deadline::At(sooner));
        assert_eq!(Deadline::Never.or_at(Some(later)), Deadline::At(later));
        assert_eq!(Deadline::Now.or_at(Some(later)), Deadline::Now);
        assert!(Deadline::Now.has_passed() && Deadline::At(now).has_passed());
        assert!(!Deadline::At(later).has_passed() && !Deadline::Never.has_passed());
    }

    #[test]
    fn a_timeout_too_large_for_the_clock_means_no_deadline() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::Never);
        assert_eq!(Deadline::after_optional(None), Deadline::Never);
    }
}
