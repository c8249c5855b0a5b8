//! Work by those who may do less.

use std::thread;

use rustix::thread::CapabilitiesSecureBits;

use super::Lab;

impl Lab {
    /// Runs `work` in this namespace on a thread that has no capability in it, and neither have the programs that it
    /// starts.
    ///
    /// A user namespace of its own gives a thread all capabilities there and takes them here: that takes a process of
    /// its own, so that dropping them does instead.
    pub fn without_capabilities(&self, work: impl FnOnce() + Send) {
        let drop_and_work = || {
            // Or a program that it starts would have them all again, as the user is root.
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_ROOT).expect("CAP_SETPCAP");
            rustix::thread::set_capabilities(None, none()).expect("capabilities can always be dropped");
            work();
        };
        on_a_thread(drop_and_work);
    }

    /// Runs `work` in this namespace on a thread of another user, who has no capability either.
    pub fn as_nobody(&self, work: impl FnOnce() + Send) {
        let become_and_work = || {
            become_nobody().expect("CAP_SETUID");
            work();
        };
        on_a_thread(become_and_work);
    }
}

fn on_a_thread(work: impl FnOnce() + Send) {
    let result = thread::scope(|scope| scope.spawn(work).join());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Of this thread alone, where what libc offers is of the whole process.
pub fn become_nobody() -> rustix::io::Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};
    const NOBODY: u32 = 65_534;
    // The group as well: it may read what is root's.
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(NOBODY))?;
    set_thread_uid(Uid::from_raw(NOBODY))
}

fn none() -> rustix::thread::CapabilitySets {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let empty = CapabilitySet::empty();
    CapabilitySets { effective: empty, permitted: empty, inheritable: empty }
}
