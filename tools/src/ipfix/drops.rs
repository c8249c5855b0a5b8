//! How many events the kernel dropped.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt,
    },
};

/// Returns the number of events that the kernel has dropped because the receive buffer of a netlink socket was full.
///
/// An overrun reports that events were lost, but not how many. The kernel counts them for each socket, in a file of the
/// network namespace of this thread.
///
/// # Errors
///
/// Fails if `/proc` is not mounted, or if the socket belongs to another namespace.
pub fn dropped_events(socket: &impl AsFd) -> io::Result<u64> {
    let inode = fs::metadata(format!("/proc/self/fd/{}", socket.as_fd().as_raw_fd()))?.ino();
    let sockets = fs::read_to_string("/proc/thread-self/net/netlink")?;
    find(&sockets, inode).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such socket in /proc/net/netlink"))
}

/// Finds the drops of a socket. The last two columns are drops and inode.
fn find(sockets: &str, inode: u64) -> Option<u64> {
    sockets.lines().find_map(|line| {
        let mut columns = line.split_whitespace().rev();
        let is_wanted = columns.next()?.parse() == Ok(inode);
        is_wanted.then(|| columns.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000ae9fd4aa 0   2104       00000551 0        0        0     2        0        16371
00000000bd5b5bb5 12  4196400512 00000005 213248   0        0     2        17       20951
";

    #[test]
    fn drops_are_those_of_the_socket() {
        assert_eq!(find(FILE, 20951), Some(17));
        assert_eq!(find(FILE, 16371), Some(0));
        assert_eq!(find(FILE, 17), None);
    }
}
