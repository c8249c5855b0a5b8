//! The netlink socket: the only place that owns a file descriptor.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::net::{RecvFlags, SendFlags, netlink::SocketAddrNetlink, recvfrom, sendto, sockopt};

use super::{NetworkNamespace, Options, namespace::run_in};
use crate::{
    error::Error,
    exchange::{Datagram, Transport, Wait},
};

/// A netlink socket to netfilter, with the options that it was opened with.
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    options: Options,
    receive_capacity: usize,
    send_capacity: usize,
}

impl Socket {
    /// Opens a socket in the namespace that the options name, or else in that of the calling thread, which they name
    /// from then on: so it can be opened there again.
    pub(crate) fn open(mut options: Options) -> Result<Self, Error> {
        if options.namespace.is_none() {
            options.namespace = NetworkNamespace::of_this_thread().ok();
        }
        let socket = open_bound(&options)?;
        let capacity = |granted: rustix::io::Result<usize>| granted.map_err(|error| Error::io(OPEN, error.into()));
        let receive_capacity = capacity(sockopt::socket_recv_buffer_size(&socket))?;
        let send_capacity = capacity(sockopt::socket_send_buffer_size(&socket))?;
        Ok(Self { socket, options, receive_capacity, send_capacity })
    }

    /// Opens another with the same options, in the same namespace.
    pub(super) fn open_another(&self) -> Result<Self, Error> {
        Self::open(self.options.try_clone().map_err(|error| Error::io("keep the namespace", error))?)
    }

    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.options.timeout
    }

    /// The same socket, which cannot be opened anew.
    #[cfg(test)]
    pub(super) fn that_cannot_be_renewed(mut self) -> io::Result<Self> {
        self.options.namespace = Some(NetworkNamespace::from_path("/dev/null")?);
        Ok(self)
    }
}

const OPEN: &str = "open a netfilter socket";

/// Opens a socket in the namespace of the options.
fn open_bound(options: &Options) -> Result<netlink_sys::Socket, Error> {
    run_in(options.namespace.as_ref(), || bound_socket(options))?.map_err(|error| Error::io(OPEN, error))
}

fn bound_socket(options: &Options) -> io::Result<netlink_sys::Socket> {
    let socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_NETFILTER)?;
    if let Some(bytes) = options.receive_buffer {
        set_receive_buffer(&socket, bytes)?;
    }
    set_timeout(&socket, options.timeout)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// How long to wait for a datagram. The system knows no time-out of zero: the shortest that it knows stands in.
pub(crate) fn set_timeout(socket: &impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| timeout.max(Duration::from_micros(1)));
    Ok(sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, timeout)?)
}

/// Beyond `net.core.rmem_max` only the initial user namespace may go: elsewhere the kernel grants what it allows.
pub(crate) fn set_receive_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    // The kernel takes an int, and doubles it.
    let bytes = bytes.min(i32::MAX as usize / 2);
    match sockopt::set_socket_recv_buffer_size_force(socket, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => Ok(sockopt::set_socket_recv_buffer_size(socket, bytes)?),
        Err(error) => Err(error.into()),
    }
}

/// Receives one datagram. The length told is that of the datagram, however much of it fitted.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
    let mut flags = RecvFlags::TRUNC;
    flags.set(RecvFlags::DONTWAIT, wait == Wait::No);
    // A quarter of a microsecond less than recvmsg.
    let (_, length, sender) = recvfrom(socket, buffer, flags)?;
    // Whoever cannot be told is not the kernel.
    let sender = sender.and_then(|address| SocketAddrNetlink::try_from(address).ok());
    Ok(Datagram { length, sender: sender.map_or(u32::MAX, |address| address.pid()), namespace: None })
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        sendto(&self.socket, datagram, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        receive(&self.socket, buffer, wait)
    }

    fn renew(&mut self) -> io::Result<bool> {
        if self.options.namespace.is_none() {
            return Ok(false);
        }
        match open_bound(&self.options) {
            Ok(socket) => {
                self.socket = socket;
                Ok(true)
            }
            Err(error) if error.is_permission_denied() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn receive_capacity(&self) -> usize {
        self.receive_capacity
    }

    fn send_capacity(&self) -> usize {
        self.send_capacity
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl core::fmt::Debug for Socket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Socket").field("fd", &self.socket.as_fd()).finish_non_exhaustive()
    }
}

/// The default for [`Options::timeout`].
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
