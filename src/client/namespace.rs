//! Network namespaces.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    error::{ENTER_NAMESPACE, Error},
    exchange::NamespaceId,
};

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
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
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

    /// Returns what identifies the namespace; `None` if the system does not say.
    pub(crate) fn id(&self) -> Option<NamespaceId> {
        self.file.metadata().ok().map(|file| identify(&file))
    }

    fn is_that_of_this_thread(&self) -> bool {
        self.id().is_some_and(|id| id_of_this_thread() == Some(id))
    }
}

/// Returns what identifies the namespace of the calling thread; `None` without `/proc`.
pub(crate) fn id_of_this_thread() -> Option<NamespaceId> {
    std::fs::metadata("/proc/thread-self/ns/net").ok().map(|file| identify(&file))
}

fn identify(file: &std::fs::Metadata) -> NamespaceId {
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
