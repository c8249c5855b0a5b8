//! Ending a program by a signal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// Keeps SIGINT and SIGTERM from ending the program by themselves.
fn block() -> nix::Result<SigSet> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    Ok(signals)
}

/// Returns a flag that becomes true when SIGINT or SIGTERM arrives, which no longer end the program by themselves.
///
/// Must be called before other threads begin, because threads inherit the mask of signals.
///
/// # Errors
///
/// Fails if the signals cannot be blocked.
pub fn stop_flag() -> nix::Result<Arc<AtomicBool>> {
    let signals = block()?;
    let stop = Arc::new(AtomicBool::new(false));
    let signaled = Arc::clone(&stop);
    thread::spawn(move || {
        if signals.wait().is_ok() {
            signaled.store(true, Ordering::Relaxed);
        }
    });
    Ok(stop)
}

/// Like [`stop_flag`], but returns a descriptor to read the signals from, which does not block.
///
/// # Errors
///
/// Fails if the signals cannot be blocked, or the process has too many open files.
pub fn stop_descriptor() -> nix::Result<SignalFd> {
    SignalFd::with_flags(&block()?, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}
