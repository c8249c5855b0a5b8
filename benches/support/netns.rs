//! A network namespace with room for many flows.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
};

use ctnetlink::{Client, sysctl};
use nix::sched::{CloneFlags, unshare};

/// The limit on flows, which belongs to the initial namespace: raised while this is there, if it has to be.
pub struct Netns {
    raised: Option<(File, u32)>,
}

impl Netns {
    /// Makes room for so many flows, and leaves for a namespace of its own. Where that cannot be, it says why.
    pub fn enter(flows: u32) -> Result<(Self, Client), String> {
        let room = Self::make(flows).ok_or_else(|| format!("no room for {flows} flows: run as root"))?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace ({error}): run as root"))?;
        let mut client = Client::open().map_err(|error| format!("no netfilter netlink in this kernel: {error}"))?;
        client.statistics().map_err(|error| format!("no connection tracking in this kernel: {error}"))?;
        Ok((room, client))
    }

    fn make(flows: u32) -> Option<Self> {
        let before = sysctl::MAX.read().ok()?;
        if before > flows {
            return Some(Self { raised: None });
        }
        // Opened here, so that it can be lowered again from the other namespace.
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
