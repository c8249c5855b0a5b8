//! Which network namespace a datagram tells of.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg},
};

use crate::exchange::{Datagram, Wait};

/// `SOL_NETLINK` (include/linux/socket.h).
const SOL_NETLINK: i32 = 270;
/// `NETLINK_LISTEN_ALL_NSID` (include/uapi/linux/netlink.h).
const NETLINK_LISTEN_ALL_NSID: i32 = 8;

/// Receives one datagram, and the number of the namespace that it comes from, which the kernel gives beside it.
pub(super) fn receive_with_namespace(socket: &impl AsRawFd, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
    let mut flags = MsgFlags::MSG_TRUNC;
    flags.set(MsgFlags::MSG_DONTWAIT, wait == Wait::No);
    let mut beside = cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut beside), flags)?;
    Ok(Datagram {
        length: received.bytes,
        // Whoever cannot be told is not the kernel.
        sender: received.address.map_or(u32::MAX, |address| address.pid()),
        namespace: received.cmsgs()?.find_map(namespace_id),
    })
}

fn namespace_id(message: ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else { return None };
    let header = message.cmsg_header;
    let is_id = (header.cmsg_level, header.cmsg_type) == (SOL_NETLINK, NETLINK_LISTEN_ALL_NSID);
    is_id.then(|| message.data_bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)))?
}
