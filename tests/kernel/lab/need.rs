//! Requirements of a test beyond a network namespace.

use std::{
    env,
    fmt::{self, Display, Formatter},
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use ctnetlink::sysctl;
use nix::sched::{CloneFlags, unshare};

use super::{example, permission::become_nobody};

/// The largest table that a test can fill in reasonable time and memory.
const FLOWS: u32 = 300_000;

#[derive(Clone, Copy)]
pub enum Need {
    /// A program in `PATH`, `/usr/sbin` or `/sbin`.
    Tool(&'static str),
    /// Examples that were built with the feature `json`.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    Json,
    /// `/proc/net/nf_conntrack`, which a kernel may be built without.
    ProcFile,
    /// Another user to switch to. The owner of a user namespace may read all of its files.
    OtherUser,
    /// A `net.core.optmem_max` for each namespace (Linux 6.8).
    OwnOptmem,
    /// The kernel that the fake imitates, or a newer one. Stable updates of older kernels got some of its checks, not all.
    #[cfg_attr(not(feature = "fake"), allow(dead_code))]
    FakedKernel,
    /// A limit on flows that is low enough to be reached.
    SmallTable,
    /// The path of conntrack-tools' test suite in `CONNTRACK_TESTSUITE`.
    Testsuite,
    /// Permission to resize the hash table, which all namespaces share: `CTNETLINK_RESIZE` is set.
    Resize,
}

impl Need {
    pub fn is_met(self) -> bool {
        match self {
            Self::Tool(name) => is_in_path(name),
            Self::Json => speaks_json(),
            Self::ProcFile => Path::new("/proc/thread-self/net/nf_conntrack").exists(),
            Self::OtherUser => thread::spawn(become_nobody).join().is_ok_and(|result| result.is_ok()),
            Self::OwnOptmem => thread::spawn(has_optmem_of_its_own).join().is_ok_and(|has| has),
            Self::FakedKernel => is_linux_at_least(6, 18),
            Self::SmallTable => sysctl::MAX.read().is_ok_and(|maximum| maximum <= FLOWS),
            Self::Testsuite => env::var_os("CONNTRACK_TESTSUITE").is_some_and(|path| Path::new(&path).is_dir()),
            Self::Resize => env::var_os("CTNETLINK_RESIZE").is_some(),
        }
    }

    /// Returns whether the kernel's version or the owner's settings decide, so that no installation can meet the need.
    pub const fn is_given(self) -> bool {
        matches!(self, Self::OwnOptmem | Self::FakedKernel | Self::SmallTable | Self::Testsuite | Self::Resize)
    }
}

/// Completes a sentence that begins with "needs".
impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => f.write_str(name),
            Self::Json => f.write_str("examples built with the feature json"),
            Self::ProcFile => f.write_str("a kernel with /proc/net/nf_conntrack"),
            Self::OtherUser => f.write_str("another user to switch to"),
            Self::OwnOptmem => f.write_str("net.core.optmem_max for each namespace (Linux 6.8)"),
            Self::FakedKernel => f.write_str("Linux 6.18, which the fake imitates"),
            Self::Testsuite => {
                f.write_str("CONNTRACK_TESTSUITE, a folder tests/conntrack/testsuite of conntrack-tools")
            }
            Self::Resize => f.write_str("CTNETLINK_RESIZE, because all namespaces share the hash table"),
            Self::SmallTable => write!(f, "net.netfilter.nf_conntrack_max of {FLOWS} or less"),
        }
    }
}

fn is_in_path(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/sbin".into()]);
    places.iter().any(|place| place.join(tool).exists())
}

fn is_linux_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|release| release >= (major, minor))
}

fn speaks_json() -> bool {
    let asks = |program: PathBuf| Command::new(program).args(["-L", "-o", "json", "--explain"]).output();
    asks(example("conntrack")).is_ok_and(|output| output.status.success())
}

fn has_optmem_of_its_own() -> bool {
    let open = || OpenOptions::new().write(true).open("/proc/sys/net/core/optmem_max");
    unshare(CloneFlags::CLONE_NEWNET).is_ok() && open().is_ok()
}
