//! Datagrams that were received together.

use std::io;

use crate::exchange::Datagram;

/// The room for one datagram: longer than any of the kernel.
pub(crate) const ROOM: usize = 32 * 1024;
/// The most datagrams that are received together.
pub(crate) const MOST_TOGETHER: usize = 16;
/// From one buffer to the next. If it were a power of two, the beginnings of all buffers would compete for the same few
/// lines of a cache.
const STRIDE: usize = ROOM + 320;

/// Datagrams, each in its own buffer, to be read one after the other.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The pages of a buffer take memory when a datagram first fills them.
    buffers: Vec<u8>,
    received: Vec<Datagram>,
    /// The number of datagrams that were read. The last of them is the current one.
    read: usize,
    /// The offset of the buffer of the current datagram, which stays readable until the next one.
    current: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let received = Vec::with_capacity(MOST_TOGETHER);
        Self { buffers: vec![0; STRIDE * MOST_TOGETHER], received, read: 0, current: 0 }
    }

    /// The datagrams that were received together.
    pub(super) fn received(&self) -> impl Iterator<Item = &Datagram> {
        self.received.iter()
    }

    /// Moves to the next datagram.
    #[inline]
    pub(super) fn advance(&mut self) -> Option<Datagram> {
        let next = self.received.get(self.read).copied()?;
        self.current = self.read * STRIDE;
        self.read += 1;
        Some(next)
    }

    /// Whether all datagrams were read.
    pub(super) fn is_read(&self) -> bool {
        self.read == self.received.len()
    }

    /// The buffer of the current datagram.
    #[inline]
    pub(super) fn current(&self) -> &[u8] {
        self.buffers.get(self.current..self.current + ROOM).unwrap_or_default()
    }

    /// Replaces all datagrams by one.
    #[inline]
    pub(crate) fn receive_one(&mut self, receive: impl FnOnce(&mut [u8]) -> io::Result<Datagram>) -> io::Result<()> {
        self.clear();
        let datagram = receive(self.buffers.get_mut(..ROOM).unwrap_or_default())?;
        self.received.push(datagram);
        Ok(())
    }

    /// Replaces all datagrams by the ones that `receive` puts into the buffers.
    pub(crate) fn receive_several(
        &mut self,
        receive: impl FnOnce([&mut [u8]; MOST_TOGETHER], &mut Vec<Datagram>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.clear();
        let mut buffers = self.buffers.chunks_exact_mut(STRIDE);
        let mut next = |_| buffers.next().and_then(|buffer| buffer.get_mut(..ROOM)).unwrap_or_default();
        receive(core::array::from_fn(&mut next), &mut self.received)
    }

    fn clear(&mut self) {
        self.received.clear();
        self.read = 0;
    }
}
