//! Waiting for what has to come.

use std::{
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a test waits for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether there is something to read before the time is over, be it the end.
pub fn is_readable(source: &impl AsFd, within: Duration) -> bool {
    let within = Timespec::try_from(within).expect("a time that the kernel can wait");
    poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&within)).expect("a poll") > 0
}
