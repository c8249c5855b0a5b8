//! The program that caused an event.

use std::{collections::HashMap, fs, path::Path};

use ctnetlink::format::Sender;

/// Programs that are remembered.
const REMEMBERED: usize = 1024;
/// Netfilter's protocol number in `/proc/net/netlink`.
const NETLINK_NETFILTER: &str = "12";

/// Names of programs by the port of their netlink socket, each looked up once.
#[derive(Default)]
pub struct Programs {
    names: HashMap<u32, Option<String>>,
}

impl Programs {
    /// Returns the sender with this port. A program that has ended has no name.
    pub fn sender(&mut self, port_id: u32) -> Sender<'_> {
        // Forgetting all of them bounds the memory, and lets a port be looked up again.
        if self.names.len() >= REMEMBERED {
            self.names.clear();
        }
        let program = self.names.entry(port_id).or_insert_with(|| find(port_id));
        Sender { port_id, program: program.as_deref() }
    }
}

/// Finds the inode of the socket by its port, and then a process that has it open.
fn find(port_id: u32) -> Option<String> {
    let sockets = fs::read_to_string("/proc/net/netlink").ok()?;
    let port = port_id.to_string();
    let inode = sockets.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = columns.get(1) == Some(&NETLINK_NETFILTER) && columns.get(2) == Some(&port.as_str());
        columns.last().filter(|_| is_it).copied()
    })?;
    let target = format!("socket:[{inode}]");
    // The port of a program's first socket is usually its process number.
    let likely = Path::new("/proc").join(&port);
    let others = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let process = std::iter::once(likely).chain(others).find(|process| has_open(process, &target))?;
    Some(fs::read_to_string(process.join("comm")).ok()?.trim_end().to_owned())
}

fn has_open(process: &Path, target: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == target))
}
