//! Work with fewer permissions.

use std::thread;

use rustix::thread::CapabilitiesSecureBits;

use super::Lab;

impl Lab {
    /// Runs `work` in this namespace on a thread without capabilities. Programs that it starts have none either.
    pub fn without_capabilities(&self, work: impl FnOnce() + Send) {
        let drop_and_work = || {
            // Otherwise a program started by root gets all capabilities back.
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_ROOT).expect("CAP_SETPCAP");
            rustix::thread::set_capabilities(None, none()).expect("capabilities can always be dropped");
            work();
        };
        on_a_thread(drop_and_work);
    }

    /// Runs `work` in this namespace on a thread of another user, without capabilities.
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

/// Switches the user of this thread. The functions of libc would switch that of the whole process.
pub fn become_nobody() -> rustix::io::Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};
    const NOBODY: u32 = 65_534;
    // The group too: it may read files of root.
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(NOBODY))?;
    set_thread_uid(Uid::from_raw(NOBODY))
}

fn none() -> rustix::thread::CapabilitySets {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let empty = CapabilitySet::empty();
    CapabilitySets { effective: empty, permitted: empty, inheritable: empty }
}
