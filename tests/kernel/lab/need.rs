//! What a test needs beside a namespace, and whether it is to be had.

use std::{
    env,
    fmt::{self, Display, Formatter},
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use ctnetlink::sysctl;
use nix::sched::{CloneFlags, unshare};

use super::{example, permission::become_nobody};

/// As many flows as the time and the memory of a test allow.
const FLOWS: u32 = 300_000;

#[derive(Clone, Copy)]
pub enum Need {
    /// A program in the path.
    Tool(&'static str),
    /// Examples that print `-o json`, where the tests that read it are built.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    Json,
    /// The files of connection tracking in `/proc`.
    ProcFile,
    /// A user to become who is not the owner of the namespace: the owner may read all that it has.
    OtherUser,
    /// A limit on the memory of programs that is the namespace's own.
    OwnOptmem,
    /// A table that can be filled.
    SmallTable,
}

impl Need {
    pub fn is_met(self) -> bool {
        match self {
            Self::Tool(name) => is_in_path(name),
            Self::Json => speaks_json(),
            Self::ProcFile => Path::new("/proc/thread-self/net/nf_conntrack").exists(),
            Self::OtherUser => thread::spawn(become_nobody).join().is_ok_and(|result| result.is_ok()),
            Self::OwnOptmem => thread::spawn(has_optmem_of_its_own).join().is_ok_and(|has| has),
            Self::SmallTable => sysctl::MAX.read().is_ok_and(|maximum| maximum <= FLOWS),
        }
    }
}

impl Need {
    /// Whether it is for the machine's owner to say, not for its kernel.
    pub const fn is_a_setting(self) -> bool {
        matches!(self, Self::SmallTable)
    }
}

/// In the words that follow "needs".
impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => f.write_str(name),
            Self::Json => f.write_str("examples that were built with the feature json"),
            Self::ProcFile => f.write_str("a kernel with /proc/net/nf_conntrack"),
            Self::OtherUser => f.write_str("another user to become"),
            Self::OwnOptmem => f.write_str("net.core.optmem_max in a namespace (Linux 6.8)"),
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

/// Whether the example `conntrack` was built with the feature.
fn speaks_json() -> bool {
    let asks = |program: PathBuf| Command::new(program).args(["-L", "-o", "json", "--explain"]).output();
    asks(example("conntrack")).is_ok_and(|output| output.status.success())
}

fn has_optmem_of_its_own() -> bool {
    let open = || OpenOptions::new().write(true).open("/proc/sys/net/core/optmem_max");
    unshare(CloneFlags::CLONE_NEWNET).is_ok() && open().is_ok()
}
