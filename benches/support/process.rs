//! What the kernel says of this process.

use std::{fs, time::Duration};

/// What of its memory is in the machine's now.
pub fn resident_bytes() -> usize {
    status_kib("VmRSS:") * 1024
}

/// The most that was.
pub fn peak_kib() -> usize {
    status_kib("VmHWM:")
}

/// How long this thread was running.
pub fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn status_kib(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}
