//! The socket of a client, its network namespace, and how to open another one like it.

use std::{
    fs::{File, Metadata, metadata},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::netfilter_socket::{NetfilterSocket, set_receive_buffer, set_timeout, wait_readable};
use crate::{
    error::{ENTER_NAMESPACE, Errno, Error, ErrorKind},
    exchange::{Datagram, NamespaceId, Transport, Wait},
};

/// The default time-out of a client.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const OPEN: &str = "open a netfilter socket";

/// A network namespace, in which a socket can be opened.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Client, NetworkNamespace};
///
/// let client = Client::builder().namespace(NetworkNamespace::from_path("/run/netns/blue")?).open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
}

impl NetworkNamespace {
    /// Returns the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if `/proc` is not mounted.
    pub fn of_this_thread() -> io::Result<Self> {
        Self::from_path("/proc/thread-self/ns/net")
    }

    /// Returns the namespace of a process.
    ///
    /// # Errors
    ///
    /// Fails if there is no such process, or it belongs to another user.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::from_path(format!("/proc/{pid}/ns/net"))
    }

    /// Returns the namespace of a file, such as `/run/netns/NAME` of ip-netns(8).
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened. The error names the file.
    pub fn from_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(Self { file: File::open(path).map_err(named)? })
    }

    /// Returns the namespace of a descriptor.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }

    /// Runs `work` in the namespace, on a separate thread. The calling thread stays in its namespace.
    ///
    /// # Errors
    ///
    /// EPERM without CAP_SYS_ADMIN in the user namespaces of this process and of the network namespace; EINVAL if the
    /// file is not a network namespace.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        let enter_and_work = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, enter_and_work)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Returns another handle of the same namespace.
    ///
    /// # Errors
    ///
    /// Fails if this process has too many open files.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Returns the identity of the namespace; `None` if it cannot be read.
    pub(crate) fn id(&self) -> Option<NamespaceId> {
        self.file.metadata().ok().map(|file| identify(&file))
    }

    fn is_that_of_this_thread(&self) -> bool {
        self.id().is_some_and(|id| id_of_this_thread() == Some(id))
    }
}

/// Returns the identity of the namespace of the calling thread; `None` without `/proc`.
pub(crate) fn id_of_this_thread() -> Option<NamespaceId> {
    metadata("/proc/thread-self/ns/net").ok().map(|file| identify(&file))
}

fn identify(file: &Metadata) -> NamespaceId {
    NamespaceId { device: file.dev(), inode: file.ino() }
}

/// Runs `work` in a namespace, if one is given. No capability is needed if this thread is in it already.
pub(crate) fn run_in<R: Send>(
    namespace: Option<&NetworkNamespace>,
    work: impl FnOnce() -> R + Send,
) -> Result<R, Error> {
    match namespace {
        Some(namespace) if !namespace.is_that_of_this_thread() => {
            namespace.run(work).map_err(|error| Error::io(ENTER_NAMESPACE, error))
        }
        _ => Ok(work()),
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The options of a socket.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) receive_buffer: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(super) namespace: Option<NetworkNamespace>,
}

impl Options {
    pub(super) const DEFAULT: Self = Self { receive_buffer: None, timeout: Some(TIMEOUT), namespace: None };

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let namespace = self.namespace.as_ref().map(NetworkNamespace::try_clone).transpose()?;
        Ok(Self { receive_buffer: self.receive_buffer, timeout: self.timeout, namespace })
    }
}

/// A netlink socket to netfilter, with the options that it was opened with.
pub(super) struct Socket {
    socket: NetfilterSocket,
    options: Options,
    receive_capacity: usize,
    send_capacity: usize,
}

impl Socket {
    /// Opens a socket in the namespace of the options, or else in that of the calling thread, which the options name from
    /// then on. The socket can then be opened there again.
    pub(super) fn open(mut options: Options) -> Result<Self, Error> {
        if options.namespace.is_none() {
            options.namespace = NetworkNamespace::of_this_thread().ok();
        }
        Self::new(open_bound(&options)?, options).map_err(|error| Error::io(OPEN, error))
    }

    /// Takes a socket that was opened elsewhere.
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let socket = NetfilterSocket::adopt(fd)?;
        let prepare = || {
            let socket = Self::new(socket, Options::DEFAULT)?;
            set_timeout(&socket.socket, socket.options.timeout)?;
            Ok(socket)
        };
        prepare().map_err(|error| Error::io("set up a netfilter socket", error))
    }

    fn new(socket: NetfilterSocket, options: Options) -> io::Result<Self> {
        let receive_capacity = socket.receive_capacity()?;
        let send_capacity = socket.send_capacity()?;
        Ok(Self { socket, options, receive_capacity, send_capacity })
    }

    /// Returns true if it is known in which namespace the socket is; a process without `/proc` cannot find out.
    pub(super) const fn knows_its_namespace(&self) -> bool {
        self.options.namespace.is_some()
    }

    /// Opens another socket with the same options; if the namespace is not known, in that of the calling thread.
    pub(super) fn open_beside(&self) -> Result<Self, Error> {
        Self::open(self.options.try_clone().map_err(|error| Error::io("keep the namespace", error))?)
    }
}

/// Opens a socket in the namespace of the options.
fn open_bound(options: &Options) -> Result<NetfilterSocket, Error> {
    run_in(options.namespace.as_ref(), || bound_socket(options))?.map_err(|error| Error::io(OPEN, error))
}

fn bound_socket(options: &Options) -> io::Result<NetfilterSocket> {
    let socket = NetfilterSocket::open()?;
    if let Some(bytes) = options.receive_buffer {
        set_receive_buffer(&socket, bytes)?;
    }
    set_timeout(&socket, options.timeout)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    NetfilterSocket::bind(socket, 0)
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        self.socket.receive(buffer, wait)
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        wait_readable([self.socket.as_fd()], Some(patience))
    }

    #[cfg(all(target_os = "linux", feature = "tokio"))]
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.socket.as_fd())
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

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        if !self.knows_its_namespace() {
            let text = "cannot open another socket beside the first: its network namespace is not known";
            return Err(Error::message(ErrorKind::Unsupported, text));
        }
        Ok(Box::new(self.open_beside()?))
    }

    fn receive_capacity(&self) -> usize {
        self.receive_capacity
    }

    fn send_capacity(&self) -> usize {
        self.send_capacity
    }

    fn namespace_id(&self) -> Option<NamespaceId> {
        self.options.namespace.as_ref()?.id()
    }
}

/// Whether the process lacks the permission, or has no descriptor, thread or memory left. Its old socket is still
/// usable then.
fn is_denied_or_spent(error: &Error) -> bool {
    let spent = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN];
    error.is_permission_denied() || error.errno().is_some_and(|errno| spent.contains(&errno))
}

impl core::fmt::Debug for Socket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Socket").field("fd", &self.socket.as_fd()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(no_netfilter_socket, ignore = "needs a netfilter socket, which qemu-user lacks")]
    fn socket_of_unknown_namespace_is_neither_copied_nor_renewed() {
        // Opening needs no permission.
        let Ok(mut homeless) = Socket::open(Options::DEFAULT) else { return };
        homeless.options.namespace = None;
        assert_eq!(homeless.open_another().unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(!homeless.renew().unwrap(), "the next request drains it");
    }

    #[test]
    fn process_without_spare_descriptors_keeps_its_socket() {
        let error = |errno: Errno| Error::io(OPEN, io::Error::from_raw_os_error(errno.0));
        assert!(is_denied_or_spent(&error(Errno::EMFILE)) && is_denied_or_spent(&error(Errno::EPERM)));
        assert!(!is_denied_or_spent(&error(Errno::EINVAL)));
    }

    #[test]
    fn descriptor_of_another_protocol_is_refused() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(Socket::from_fd(file.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Socket::from_fd(udp.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
