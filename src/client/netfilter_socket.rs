//! A netlink socket of netfilter, and the system calls of clients and event sockets.
//!
//! Three crates have a safe function for some of the calls each, and none of them for all: see DESIGN.md.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, NetlinkAddr, RecvMsg, recvmmsg, recvmsg, sendto, setsockopt,
            sockopt,
        },
        time::TimeSpec,
    },
};
use socket2::SockRef;

use crate::{
    error::{Error, ErrorKind},
    exchange::{Datagram, Wait},
};

/// A netlink socket of netfilter.
pub(crate) enum NetfilterSocket {
    /// Opened by this process.
    Opened(netlink_sys::Socket),
    /// Taken over from elsewhere. `netlink_sys::Socket` has no safe constructor for a descriptor.
    Adopted(OwnedFd),
}

/// On these machines the sender that netlink-sys returns is always 0, the kernel's number: it passes the length of the
/// address as a `usize`, of which the kernel reads the first half.
const NETLINK_SYS_LOSES_SENDER: bool = cfg!(all(target_endian = "big", target_pointer_width = "64"));

impl NetfilterSocket {
    /// Opens a socket, which is not bound yet. Its options can be set on [`netlink_sys::Socket`].
    pub(crate) fn open() -> io::Result<netlink_sys::Socket> {
        netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_NETFILTER)
    }

    /// Binds a socket to any free number, and joins groups.
    pub(crate) fn bind(mut socket: netlink_sys::Socket, groups: u32) -> io::Result<Self> {
        socket.bind(&netlink_sys::SocketAddr::new(0, groups))?;
        Ok(Self::Opened(socket))
    }

    /// Takes over a descriptor. Fails unless it is a netlink socket of netfilter.
    pub(crate) fn adopt(fd: OwnedFd) -> Result<Self, Error> {
        let socket = SockRef::from(&fd);
        let is_netfilter = socket.domain().is_ok_and(|domain| i32::from(domain) == libc::AF_NETLINK)
            && socket.protocol().is_ok_and(|found| found.map(i32::from) == Some(libc::NETLINK_NETFILTER));
        if !is_netfilter {
            let text = "the descriptor is not a socket of domain AF_NETLINK and protocol NETLINK_NETFILTER";
            return Err(Error::message(ErrorKind::InvalidInput, text));
        }
        Ok(Self::Adopted(fd))
    }

    /// Sends a datagram to the kernel.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        sendto(self.as_raw_fd(), datagram, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        Ok(())
    }

    /// Receives one datagram. The length is that of the datagram, even if it exceeds the buffer.
    #[inline]
    pub(crate) fn receive(&self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        let mut flags = MsgFlags::MSG_TRUNC;
        flags.set(MsgFlags::MSG_DONTWAIT, wait == Wait::No);
        match self {
            // This is recvfrom(2), which takes a sixth less time than recvmsg(2) for an event.
            Self::Opened(socket) if !NETLINK_SYS_LOSES_SENDER => {
                let (length, sender) = socket.recv_from(&mut &mut *buffer, flags.bits())?;
                Ok(Datagram { length, sender: sender.port_number(), namespace: None })
            }
            _ => {
                let mut parts = [IoSliceMut::new(buffer)];
                Ok(datagram(&recvmsg(self.as_raw_fd(), &mut parts, None, flags)?))
            }
        }
    }

    /// Receives the datagrams that are there, at most one for each buffer, without waiting. The kernel keeps an error after
    /// the first datagram for the next call.
    ///
    /// For each datagram, this takes 75 ns less than [`receive`](Self::receive) in a program with several threads.
    pub(crate) fn receive_several<const N: usize>(
        &self,
        buffers: [&mut [u8]; N],
        received: &mut Vec<Datagram>,
    ) -> io::Result<()> {
        let mut parts = buffers.map(|buffer| [IoSliceMut::new(buffer)]);
        // They hold pointers, so that a socket that kept them could not be sent to another thread.
        let mut headers = MultiHeaders::preallocate(N, None);
        let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(self.as_raw_fd(), &mut headers, parts.iter_mut(), flags, None)?;
        received.extend(messages.map(|message| datagram(&message)));
        Ok(())
    }

    /// Receives one datagram, without waiting, and the number of the namespace that it comes from, which the kernel
    /// attaches to it.
    pub(crate) fn receive_with_number(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        let mut attached = cmsg_space!(i32);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        let received = recvmsg(self.as_raw_fd(), &mut parts, Some(&mut attached), flags)?;
        Ok(Datagram { namespace: received.cmsgs()?.find_map(namespace_number), ..datagram(&received) })
    }

    /// The size of the receive buffer, as the kernel counts it.
    pub(crate) fn receive_capacity(&self) -> io::Result<usize> {
        SockRef::from(self).recv_buffer_size()
    }

    /// The size of the send buffer, as the kernel counts it.
    pub(crate) fn send_capacity(&self) -> io::Result<usize> {
        SockRef::from(self).send_buffer_size()
    }
}

fn datagram(received: &RecvMsg<'_, '_, NetlinkAddr>) -> Datagram {
    // A datagram without a sender address is treated as foreign.
    let sender = received.address.map_or(u32::MAX, |address| address.pid());
    Datagram { length: received.bytes, sender, namespace: None }
}

fn namespace_number(message: ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(message) = message else { return None };
    let header = message.cmsg_header;
    let is_number = (header.cmsg_level, header.cmsg_type) == (libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID);
    is_number.then(|| message.data_bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)))?
}

/// Sets how long to wait for a datagram. For the system, zero means no time-out: the shortest one replaces it.
pub(super) fn set_timeout(socket: &impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| timeout.max(Duration::from_micros(1)));
    SockRef::from(socket).set_read_timeout(timeout)
}

/// Only the initial user namespace may exceed `net.core.rmem_max`; otherwise the kernel grants that much.
pub(crate) fn set_receive_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    // The kernel doubles the number, which is an int.
    let bytes = bytes.min(i32::MAX as usize / 2);
    match setsockopt(socket, sockopt::RcvBufForce, &bytes) {
        Err(Errno::EPERM) => SockRef::from(socket).set_recv_buffer_size(bytes),
        result => Ok(result?),
    }
}

/// Waits until one of the descriptors can be read, or for that long (`None`: without a limit). Returns whether the first
/// of them can be read.
pub(super) fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Option<Duration>) -> io::Result<bool> {
    // More than 68 years, which not every system can express, mean no limit.
    let timeout = timeout.filter(|timeout| timeout.as_secs() <= i32::MAX as u64).map(TimeSpec::from_duration);
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    ppoll(&mut fds, timeout, None)?;
    Ok(fds.first().is_some_and(|fd| fd.any() != Some(false)))
}

impl AsFd for NetfilterSocket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Opened(socket) => socket.as_fd(),
            Self::Adopted(fd) => fd.as_fd(),
        }
    }
}

impl AsRawFd for NetfilterSocket {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockname;

    use super::*;

    fn bound_socket() -> NetfilterSocket {
        NetfilterSocket::bind(NetfilterSocket::open().unwrap(), 0).unwrap()
    }

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn every_receive_returns_the_sender_and_the_whole_length() {
        let (from, opened) = (bound_socket(), bound_socket());
        let adopted = NetfilterSocket::adopt(opened.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let [sender, receiver] = [&from, &opened].map(|socket| getsockname::<NetlinkAddr>(socket.as_raw_fd()).unwrap());
        for way in 0..3 {
            // From user to user takes CAP_NET_ADMIN.
            let Ok(16) = sendto(from.as_raw_fd(), &[7; 16], &receiver, MsgFlags::empty()) else { return };
            let mut buffer = [0; 8];
            let datagram = match way {
                0 => opened.receive(&mut buffer, Wait::No),
                1 => adopted.receive(&mut buffer, Wait::No),
                _ => opened.receive_with_number(&mut buffer),
            };
            let datagram = datagram.unwrap();
            assert_eq!((datagram.length, datagram.sender, buffer), (16, sender.pid(), [7; 8]));
        }
    }

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn several_datagrams_are_received_into_buffers_of_their_own() {
        let (from, to) = (bound_socket(), bound_socket());
        let [sender, receiver] = [&from, &to].map(|socket| getsockname::<NetlinkAddr>(socket.as_raw_fd()).unwrap());
        for number in 1..=3 {
            // From user to user takes CAP_NET_ADMIN.
            let Ok(_) = sendto(from.as_raw_fd(), &[number; 16], &receiver, MsgFlags::empty()) else { return };
        }
        let mut memory = [[0; 8], [0; 8]];
        for expected in [vec![1, 2], vec![3]] {
            let mut received = Vec::new();
            to.receive_several(memory.each_mut().map(|buffer| buffer.as_mut_slice()), &mut received).unwrap();
            let received = received.iter().map(|datagram| (datagram.length, datagram.sender));
            assert_eq!(received.collect::<Vec<_>>(), vec![(16, sender.pid()); expected.len()]);
            let firsts = memory.iter().take(expected.len()).map(|buffer| buffer[0]);
            assert_eq!(firsts.collect::<Vec<_>>(), expected);
        }
        let nothing = to.receive_several([&mut []], &mut Vec::new());
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
