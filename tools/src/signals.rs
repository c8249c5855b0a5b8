//! Ending a program by a signal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::signal::{SigSet, Signal};

/// Returns a flag that becomes true when SIGINT or SIGTERM arrives, which no longer end the program by themselves.
///
/// Must be called before other threads begin, because threads inherit the mask of signals.
///
/// # Errors
///
/// Fails if the signals cannot be blocked.
pub fn stop_flag() -> nix::Result<Arc<AtomicBool>> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let stop = Arc::new(AtomicBool::new(false));
    let signaled = Arc::clone(&stop);
    thread::spawn(move || {
        if signals.wait().is_ok() {
            signaled.store(true, Ordering::Relaxed);
        }
    });
    Ok(stop)
}
