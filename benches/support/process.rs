//! Memory and processor time of this process, from `/proc`.

use std::{fs, time::Duration};

/// Returns the resident memory.
pub fn resident_bytes() -> usize {
    status_kib("VmRSS:") * 1024
}

/// Returns the peak of the resident memory.
pub fn peak_kib() -> usize {
    status_kib("VmHWM:")
}

/// Returns the processor time of this thread.
pub fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn status_kib(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}
