//! Ctrl-C during a change: the work stops between two batches, and the count of changed flows is reported.

use std::{
    process,
    sync::atomic::{AtomicI32, Ordering},
    thread,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::failure::{Failure, Outcome};

/// The number of the signal that asked to stop, or 0.
static STOP: AtomicI32 = AtomicI32::new(0);

/// Makes SIGINT and SIGTERM readable from a descriptor instead of ending the process.
///
/// Threads that start later inherit this, so it comes before them.
pub fn signals(flags: SfdFlags) -> Outcome<SignalFd> {
    let blocked = || {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        SignalFd::with_flags(&set, flags | SfdFlags::SFD_CLOEXEC)
    };
    blocked().map_err(|error: Errno| Failure::failed(format_args!("cannot wait for signals: {error}")))
}

/// From now on a signal makes [`check`] fail. A second signal ends the process at once.
pub fn listen() -> Outcome {
    let signals = signals(SfdFlags::empty())?;
    thread::spawn(move || {
        while let Ok(Some(received)) = signals.read_signal() {
            let Ok(signal) = i32::try_from(received.ssi_signo) else { continue };
            if STOP.swap(signal, Ordering::Relaxed) != 0 {
                process::exit(128 + signal);
            }
        }
    });
    Ok(())
}

/// Fails once a signal has asked to stop.
pub fn check() -> Outcome {
    match Signal::try_from(STOP.load(Ordering::Relaxed)) {
        Ok(signal) => Err(Failure::Interrupted(signal)),
        Err(_) => Ok(()),
    }
}
