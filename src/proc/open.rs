//! The kernel's own files.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use super::{ExpectationReader, OpenError, ReadError, Reader, Statistics};

/// Bytes asked of the kernel at a time.
const BUFFER: usize = 64 * 1024;

/// One file under both of its names: the network namespace of the calling thread, and that of the process's main
/// thread, which is another one where a thread has changed its own.
struct Paths {
    thread: &'static str,
    process: &'static str,
}

impl Paths {
    fn open(&self) -> Result<BufReader<File>, OpenError> {
        // Kernels without `thread-self` (before Linux 3.17) are the only ones to fall back for: where the tracker is
        // missing, or the file may not be read, the other name says the same.
        let path = if Path::new("/proc/thread-self").exists() { self.thread } else { self.process };
        match File::open(path) {
            Ok(file) => Ok(BufReader::with_capacity(BUFFER, file)),
            Err(error) => Err(OpenError::new(Path::new(path), error)),
        }
    }
}

/// Opens the table of the network namespace that the calling thread is in (`/proc/thread-self/net/nf_conntrack`).
///
/// The file is `-r--r-----` and belongs to root in the user namespace that owns the network namespace. While the table
/// changes, the kernel may give a flow twice or not at all; a dump over netlink does not share this.
///
/// # Errors
///
/// [`is_permission_denied`](OpenError::is_permission_denied) for a process that is neither that root nor has
/// `CAP_DAC_READ_SEARCH`; [`is_not_found`](OpenError::is_not_found) where the module `nf_conntrack` is not loaded, the
/// kernel was built without `CONFIG_NF_CONNTRACK_PROCFS`, or this is not Linux.
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

/// Opens the expectations (`/proc/thread-self/net/nf_conntrack_expect`).
///
/// Kernels before 7.0, and stable ones before 2026, list those of all network namespaces.
///
/// # Errors
///
/// As [`open`].
pub fn open_expectations() -> Result<ExpectationReader<BufReader<File>>, OpenError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/nf_conntrack_expect", process: "/proc/net/nf_conntrack_expect" };
    PATHS.open().map(ExpectationReader::new)
}

/// Reads the statistics (`/proc/thread-self/net/stat/nf_conntrack`), which everybody may.
///
/// # Errors
///
/// As [`open`], and as [`Statistics::read`].
pub fn read_statistics() -> Result<Statistics, ReadError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/stat/nf_conntrack", process: "/proc/net/stat/nf_conntrack" };
    Statistics::read(PATHS.open().map_err(io::Error::from)?)
}
