//! Shared by the examples of events: warnings.
#![allow(dead_code, reason = "not every example needs all of it")]

use std::time::{Duration, Instant};

use ctnetlink::sysctl;

use super::support::complain;

/// Warns if the kernel's settings will keep events from arriving.
pub(crate) fn warn_about_settings() {
    if sysctl::EVENTS.read().is_ok_and(|value| value == 2) {
        complain("warning: nf_conntrack_events=2: flows that were created while nobody listened send no events");
    }
}

/// Reports losses, at most once a second.
#[derive(Default)]
pub(crate) struct Losses {
    reported: Option<Instant>,
    unreported: u64,
}

impl Losses {
    pub(crate) fn report(&mut self, consequence: &str) {
        self.unreported += 1;
        if self.reported.is_some_and(|reported| reported.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.reported = Some(Instant::now());
        let times = match core::mem::take(&mut self.unreported) {
            1 => String::new(),
            times => format!(" {times} times"),
        };
        complain(format_args!("warning: the receive buffer was full{times}: {consequence}"));
    }
}
