//! Who caused an event.

use std::{collections::HashMap, fs, path::Path};

use ctnetlink::format::Sender;

/// How many programs are remembered.
const REMEMBERED: usize = 1024;
/// The protocol of netfilter among those of netlink.
const NETLINK_NETFILTER: &str = "12";

/// The names of programs by the ports of their netlink sockets, looked up once each.
#[derive(Default)]
pub struct Programs {
    names: HashMap<u32, Option<String>>,
}

impl Programs {
    /// The sender at that port. The program that had it may have ended: then there is no name.
    pub fn sender(&mut self, port_id: u32) -> Sender<'_> {
        // A program that came and went is not waited for again, and neither is there room for all that ever come.
        if self.names.len() >= REMEMBERED {
            self.names.clear();
        }
        let program = self.names.entry(port_id).or_insert_with(|| find(port_id));
        Sender { port_id, program: program.as_deref() }
    }
}

/// The port leads to the inode of the socket, and that to a process that has it open.
fn find(port_id: u32) -> Option<String> {
    let sockets = fs::read_to_string("/proc/net/netlink").ok()?;
    let port = port_id.to_string();
    let inode = sockets.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = columns.get(1) == Some(&NETLINK_NETFILTER) && columns.get(2) == Some(&port.as_str());
        columns.last().filter(|_| is_it).copied()
    })?;
    let target = format!("socket:[{inode}]");
    // Programs take the number of their process for the port of their first socket.
    let likely = Path::new("/proc").join(&port);
    let others = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let process = std::iter::once(likely).chain(others).find(|process| has_open(process, &target))?;
    Some(fs::read_to_string(process.join("comm")).ok()?.trim_end().to_owned())
}

fn has_open(process: &Path, target: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == target))
}
