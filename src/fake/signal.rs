//! A descriptor that is readable while an event socket has something to receive.
//!
//! Only Linux programs poll event sockets, so it exists only there.

#[cfg(all(target_os = "linux", feature = "client"))]
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

#[cfg(all(target_os = "linux", feature = "client"))]
use crate::events::new_eventfd;

/// A clone is the same descriptor.
#[derive(Clone, Debug)]
pub(super) struct ReadySignal {
    #[cfg(all(target_os = "linux", feature = "client"))]
    fd: Arc<OwnedFd>,
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl ReadySignal {
    /// Creates the descriptor. Panics if the process has too many open files.
    pub(super) fn new() -> Self {
        #[allow(clippy::expect_used, reason = "documented; a test without descriptors cannot go on")]
        let fd = new_eventfd().expect("a descriptor for the event socket");
        Self { fd: Arc::new(fd) }
    }

    pub(super) fn set(&self) {
        // It fails only if the descriptor is readable already.
        let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    pub(super) fn clear(&self) {
        // It fails only if the descriptor is not readable.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(not(all(target_os = "linux", feature = "client")))]
impl ReadySignal {
    pub(super) const fn new() -> Self {
        Self {}
    }

    #[allow(clippy::unused_self, reason = "it signals on Linux")]
    pub(super) const fn set(&self) {}

    #[allow(clippy::unused_self, reason = "it signals on Linux")]
    pub(super) const fn clear(&self) {}
}
