//! A clean end on Ctrl-C.

use std::{process, thread};

use ctnetlink::StopHandle;
use nix::sys::signal::{SigSet, Signal};

use crate::support::Outcome;

/// Stops the work on Ctrl-C. A second Ctrl-C ends the process at once. Call it before any thread is started.
pub(crate) fn stop_on_interrupt(stop: StopHandle) -> Outcome {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Blocked signals stay pending until the thread below takes them.
    signals.thread_block()?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if stop.is_stopped() {
                process::exit(128 + signal as i32);
            }
            stop.stop();
        }
    });
    Ok(())
}
