//! The kernel's own files.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use super::{ExpectationReader, OpenError, ReadError, Reader, Statistics};

/// The bytes requested from the kernel in one read.
const BUFFER: usize = 64 * 1024;

/// The two names of a file: in the network namespace of the calling thread, and in that of the process's main thread. They
/// differ if a thread has changed its namespace.
struct Paths {
    thread: &'static str,
    process: &'static str,
}

impl Paths {
    fn open(&self) -> Result<BufReader<File>, OpenError> {
        // Only kernels without `thread-self` (before Linux 3.17) need the other name. If the tracker is missing or the
        // file is not readable, the other name fails in the same way.
        let path = if Path::new("/proc/thread-self").exists() { self.thread } else { self.process };
        match File::open(path) {
            Ok(file) => Ok(BufReader::with_capacity(BUFFER, file)),
            Err(error) => Err(OpenError::new(Path::new(path), error)),
        }
    }
}

/// Opens the table of the calling thread's network namespace (`/proc/thread-self/net/nf_conntrack`).
///
/// The file has mode `-r--r-----` and belongs to root in the user namespace that owns the network namespace. While the
/// table changes, a flow may appear twice or not at all.
///
/// # Errors
///
/// - [`is_permission_denied`](OpenError::is_permission_denied): the process is neither that root nor has
///   `CAP_DAC_READ_SEARCH`.
/// - [`is_not_found`](OpenError::is_not_found): the module `nf_conntrack` is not loaded, the kernel was built without
///   `CONFIG_NF_CONNTRACK_PROCFS`, or the system is not Linux.
///
/// # Example
///
/// ```no_run
/// for flow in ctnetlink::proc::open()? {
///     println!("{:?}", flow?.original);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open() -> Result<Reader<BufReader<File>>, OpenError> {
    const PATHS: Paths = Paths { thread: "/proc/thread-self/net/nf_conntrack", process: "/proc/net/nf_conntrack" };
    PATHS.open().map(Reader::new)
}

/// Opens the table of expectations (`/proc/thread-self/net/nf_conntrack_expect`).
///
/// Kernels before 7.0, and stable kernels before 2026, list the expectations of all network namespaces.
///
/// # Errors
///
/// The same as [`open`].
pub fn open_expectations() -> Result<ExpectationReader<BufReader<File>>, OpenError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/nf_conntrack_expect", process: "/proc/net/nf_conntrack_expect" };
    PATHS.open().map(ExpectationReader::new)
}

/// Reads the statistics (`/proc/thread-self/net/stat/nf_conntrack`). Every user may read this file.
///
/// # Errors
///
/// The same as [`open`] and [`Statistics::read`].
pub fn read_statistics() -> Result<Statistics, ReadError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/stat/nf_conntrack", process: "/proc/net/stat/nf_conntrack" };
    Statistics::read(PATHS.open().map_err(io::Error::from)?)
}
