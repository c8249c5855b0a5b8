//! Changes that Ctrl-C can interrupt.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use nix::sys::signal::{SigSet, Signal};

use crate::support::{Outcome, complain};

/// The number of flows that the kernel has confirmed to be changed.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// On Ctrl-C, prints the number of changed flows and ends the process. Call it before any thread is started.
    ///
    /// The kernel may have changed a few more flows, whose confirmations were not read yet.
    pub(crate) fn reported_on_interrupt(verb: &'static str) -> Outcome<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        // Blocked signals stay pending until the thread below takes them.
        signals.thread_block()?;
        let progress = Self::default();
        let done = progress.clone();
        thread::spawn(move || {
            if let Ok(signal) = signals.wait() {
                let flows = done.0.load(Relaxed);
                complain(format_args!(
                    "interrupted: {verb} at least {flows} {}",
                    if flows == 1 { "flow" } else { "flows" }
                ));
                process::exit(128 + signal as i32);
            }
        });
        Ok(progress)
    }

    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}
