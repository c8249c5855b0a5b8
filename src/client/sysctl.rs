//! The settings of connection tracking (`net.netfilter.nf_conntrack_*`).
//!
//! Read and written through `/proc/sys`, in the network namespace of the calling thread.
//!
//! # Example
//!
//! ```no_run
//! use ctnetlink::sysctl;
//!
//! if sysctl::ACCOUNTING.read()? == 0 {
//!     println!("flows that begin now will have no counters: see {}", sysctl::ACCOUNTING.path());
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{fs, io};

/// One setting: a number in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysctl {
    path: &'static str,
}

/// Whether flows count packets and bytes (`nf_conntrack_acct`): 0 or 1. Holds for flows that begin afterwards.
pub const ACCOUNTING: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_acct" };
/// Whether flows carry the time of their begin and end (`nf_conntrack_timestamp`): 0 or 1. Holds for flows that begin
/// afterwards.
pub const TIMESTAMP: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_timestamp" };
/// Whether events are sent (`nf_conntrack_events`): 0 never, 1 always, 2 (the default since Linux 5.19) for flows that
/// began while some listener was there.
pub const EVENTS: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_events" };
/// How many flows there may be (`nf_conntrack_max`). May be written in the initial network namespace alone, and holds
/// for the count of each.
pub const MAX: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_max" };
/// How many flows there are (`nf_conntrack_count`). Not to be written.
pub const COUNT: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_count" };
/// How many buckets the hash table has (`nf_conntrack_buckets`).
pub const BUCKETS: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_buckets" };
/// How many expectations there may be (`nf_conntrack_expect_max`).
pub const EXPECT_MAX: Sysctl = Sysctl { path: "/proc/sys/net/netfilter/nf_conntrack_expect_max" };

impl Sysctl {
    /// The file.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.path
    }

    /// Reads the setting.
    ///
    /// # Errors
    ///
    /// Where the file is missing (connection tracking is not loaded) or holds no number; the error names the file.
    pub fn read(self) -> io::Result<u32> {
        let text = fs::read_to_string(self.path).map_err(|error| self.explain(error))?;
        let invalid = |error| self.explain(io::Error::new(io::ErrorKind::InvalidData, error));
        text.trim().parse().map_err(invalid)
    }

    /// Changes the setting.
    ///
    /// # Errors
    ///
    /// Where the file is missing or may not be written; the error names the file.
    pub fn write(self, value: u32) -> io::Result<()> {
        fs::write(self.path, value.to_string()).map_err(|error| self.explain(error))
    }

    fn explain(self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path))
    }
}
