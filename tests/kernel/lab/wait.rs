//! Waiting with a deadline.

use std::{
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a test waits for something that should happen at once. Long, because emulated machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "nothing came in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns whether the source becomes readable in time. The end of a file counts.
pub fn is_readable(source: &impl AsFd, within: Duration) -> bool {
    let within = Timespec::try_from(within).expect("a time that the kernel can wait");
    poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&within)).expect("a poll") > 0
}
