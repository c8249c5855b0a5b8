//! A network namespace for many flows.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
};

use ctnetlink::{Client, sysctl};
use nix::sched::{CloneFlags, unshare};

/// A private network namespace. If necessary, the limit on flows, a setting of the initial namespace, is raised until
/// this is dropped.
pub struct Netns {
    raised: Option<(File, u32)>,
}

impl Netns {
    /// Raises the limit to that many flows, then enters a new namespace. The error says why that fails.
    pub fn enter(flows: u32) -> Result<(Self, Client), String> {
        let netns =
            Self::raise_limit(flows).ok_or_else(|| format!("cannot raise nf_conntrack_max to {flows}: run as root"))?;
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("cannot create a network namespace ({error}): run as root"))?;
        let mut client = Client::open().map_err(|error| format!("no netfilter netlink in this kernel: {error}"))?;
        client.statistics().map_err(|error| format!("no connection tracking in this kernel: {error}"))?;
        Ok((netns, client))
    }

    fn raise_limit(flows: u32) -> Option<Self> {
        let before = sysctl::MAX.read().ok()?;
        if before > flows {
            return Some(Self { raised: None });
        }
        // Opened before the namespace changes, because the file does not exist in the new one.
        let file = OpenOptions::new().write(true).open(sysctl::MAX.path()).ok()?;
        sysctl::MAX.write(flows + flows / 5).ok()?;
        Some(Self { raised: Some((file, before)) })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Some((file, before)) = &mut self.raised {
            let _ = file.write_all(before.to_string().as_bytes());
        }
    }
}
