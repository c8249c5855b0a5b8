//! What a connection needs of a socket.

use core::fmt;
use std::{io, time::Duration};

use crate::error::Error;

/// A datagram that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Bytes that it had, which may be more than the buffer took.
    pub(crate) length: usize,
    /// The netlink port of the sender: 0 is the kernel.
    pub(crate) sender: u32,
    /// Which other network namespace it tells of; only a listener to all of them is told.
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
    /// Until one comes or the time is up.
    Yes,
    /// No: `WouldBlock` where there is none.
    No,
}

/// Datagrams to and from the kernel: a socket, or something that stands in for the kernel.
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Sends one datagram to the kernel.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Receives one datagram: waiting no longer than the transport's own time-out, or not at all.
    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram>;

    /// Waits until there is something to receive, and no longer than that; `false` where the time is up first.
    fn wait(&mut self, patience: Duration) -> io::Result<bool>;

    /// Starts anew, so that nothing of what was asked before comes any more. `false` where that cannot be done.
    fn renew(&mut self) -> io::Result<bool>;

    /// Opens another transport to the same kernel and network namespace.
    fn open_another(&self) -> Result<Box<dyn Transport>, Error>;

    /// Bytes that may wait to be received.
    fn receive_capacity(&self) -> usize;

    /// Bytes that may be sent at once.
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
