//! The netlink socket: the only place that owns a file descriptor.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, SendFlags, netlink::SocketAddrNetlink, recvfrom, sendto, sockopt},
};

use super::{NetworkNamespace, Options, namespace::run_in};
use crate::{
    error::{Errno, Error},
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

    /// Whether it is known in which namespace it is: a process without `/proc` cannot tell.
    pub(super) const fn knows_its_namespace(&self) -> bool {
        self.options.namespace.is_some()
    }

    /// Opens another with the same options, in the same namespace.
    pub(super) fn open_another(&self) -> Result<Self, Error> {
        if !self.knows_its_namespace() {
            let reason = io::Error::new(io::ErrorKind::NotFound, "without /proc there is no telling which that is");
            return Err(Error::io("open another socket in the namespace of the first", reason));
        }
        self.open_beside()
    }

    /// Opens another with the same options; where the namespace is not known, in that of the calling thread.
    pub(super) fn open_beside(&self) -> Result<Self, Error> {
        Self::open(self.options.try_clone().map_err(|error| Error::io("keep the namespace", error))?)
    }

    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.options.timeout
    }

    /// The same socket, as it is without `/proc`.
    #[cfg(test)]
    pub(super) fn without_a_namespace(mut self) -> Self {
        self.options.namespace = None;
        self
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

/// Waits for something to receive, a loss too; `false` where the time is up first.
pub(crate) fn wait_readable(fd: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).ok();
    Ok(poll(&mut [PollFd::new(fd, PollFlags::IN)], patience.as_ref())? > 0)
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        sendto(&self.socket, datagram, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        receive(&self.socket, buffer, wait)
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        wait_readable(&self.socket, patience)
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
            Err(error) if is_denied_or_spent(&error) => Ok(false),
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

/// Whether the process may not, or has no descriptor, thread or memory left: its old socket serves it all the same.
fn is_denied_or_spent(error: &Error) -> bool {
    let spent = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN];
    error.is_permission_denied() || error.errno().is_some_and(|errno| spent.contains(&errno))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn no_socket_is_opened_in_a_namespace_that_may_be_another() {
        let Ok(client) = Client::open() else { return };
        let homeless = client.connection.transport().open_another().unwrap().without_a_namespace();
        let error = homeless.open_another().unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot open another socket in the namespace of the first: without /proc there is no telling which that is"
        );
        let mut homeless = homeless;
        assert!(!homeless.renew().unwrap(), "what is asked next drains it");
    }

    #[test]
    fn a_process_that_has_spent_its_descriptors_goes_on_with_the_socket_it_has() {
        let error = |errno: Errno| Error::io(OPEN, io::Error::from_raw_os_error(errno.0));
        assert!(is_denied_or_spent(&error(Errno::EMFILE)) && is_denied_or_spent(&error(Errno::EPERM)));
        assert!(!is_denied_or_spent(&error(Errno::EINVAL)));
    }
}
