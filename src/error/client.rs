//! The error of everything that talks to the kernel.

use core::fmt;
use std::io;

use super::{DecodeError, EncodeError, Errno, KernelError};

/// Why an exchange with the kernel failed.
///
/// Match on the variants that you treat apart, and ask the predicates ([`is_not_found`](Self::is_not_found) …) for what
/// the kernel said.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// # let key = ctnetlink::FlowKey::original(ctnetlink::Tuple::udp("10.0.0.1:4000".parse()?, "10.0.0.2:53".parse()?));
/// match client.delete(key) {
///     Err(error) if error.is_not_found() => println!("it had ended already"),
///     result => result?,
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
pub enum Error {
    /// The kernel refused.
    Kernel(KernelError),
    /// The system refused to open, set up, send or receive, or to read a file.
    Io {
        /// What was attempted.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel sent bytes that do not decode.
    Decode(DecodeError),
    /// A value cannot be sent.
    Encode(EncodeError),
    /// The receive buffer was full and messages were lost (`ENOBUFS`): enlarge the buffer, or ask for less at a time.
    Overrun,
    /// No answer came in time.
    TimedOut,
    /// A datagram was larger than the receive buffer of this process (of `length` bytes), and its end was lost.
    Truncated {
        /// Bytes that the datagram had.
        length: usize,
    },
}

impl Error {
    #[cold]
    pub(crate) const fn io(action: &'static str, source: io::Error) -> Self {
        Self::Io { action, source }
    }

    /// Whether nothing more of an answer comes behind it: only bytes that do not decode can be passed over.
    pub(crate) const fn ends_answer(&self) -> bool {
        !matches!(self, Self::Decode(_))
    }

    /// The error number that the kernel or the system gave.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel(error) => Some(error.errno()),
            Self::Io { source, .. } => source.raw_os_error().map(Errno),
            Self::Overrun => Some(Errno::ENOBUFS),
            _ => None,
        }
    }

    /// Whether there was no such entry (`ENOENT`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.errno() == Errno::ENOENT)
    }

    /// Whether there was such an entry already (`EEXIST`).
    #[must_use]
    pub fn is_exists(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.errno() == Errno::EEXIST)
    }

    /// Whether a capability is missing (`EPERM`, `EACCES`).
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EPERM | Errno::EACCES))
    }

    /// Whether the kernel cannot do this (`EOPNOTSUPP`), or has no netfilter netlink at all (`EPROTONOSUPPORT`).
    #[must_use]
    pub fn is_not_supported(&self) -> bool {
        matches!(self.errno(), Some(Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT))
    }

    /// Whether the entry may not be changed so, or something is under way that excludes this (`EBUSY`).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.errno() == Errno::EBUSY)
    }

    /// Whether messages were lost since the receive buffer was full (`ENOBUFS`).
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.errno() == Some(Errno::ENOBUFS)
    }

    /// Whether no answer came in time.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::Io { action, source } => {
                write!(f, "{action}: {source}")?;
                match advice(action, source) {
                    Some(advice) => write!(f, ": {advice}"),
                    None => Ok(()),
                }
            }
            Self::Decode(error) => write!(f, "the kernel's answer does not decode: {error}"),
            Self::Encode(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Overrun => f.write_str("messages were lost since the receive buffer was full: enlarge the buffer"),
            Self::TimedOut => f.write_str("no answer came in time"),
            Self::Truncated { length } => {
                write!(f, "a datagram of {length} bytes did not fit the buffer, and its end was lost")
            }
        }
    }
}

crate::macros::debug_as_display!(Error);

/// What opening a socket elsewhere does first.
pub(crate) const ENTER_NAMESPACE: &str = "enter the network namespace";

/// What a listener does with the program of its filter.
pub(crate) const ATTACH_PROGRAM: &str = "attach the program of a filter";

/// What a listener to all namespaces asks for.
pub(crate) const LISTEN_TO_ALL: &str = "listen to the events of all network namespaces";

fn advice(action: &str, error: &io::Error) -> Option<&'static str> {
    match Errno(error.raw_os_error()?) {
        Errno::EPERM if action == ENTER_NAMESPACE => {
            Some("CAP_SYS_ADMIN is needed in the user namespaces of this process and of the network namespace")
        }
        Errno::EPERM if action == LISTEN_TO_ALL => {
            Some("CAP_NET_BROADCAST is needed in the user namespace that owns the network namespace")
        }
        Errno::EPERM => Some("CAP_NET_ADMIN is needed in the user namespace that owns the network namespace"),
        Errno::EPROTONOSUPPORT => Some("the kernel has no nfnetlink: load the module nfnetlink"),
        Errno::ENOMEM if action == ATTACH_PROGRAM => Some(
            "it is too long for net.core.optmem_max: raise that, or make a shorter one by SocketFilter::per_event_within",
        ),
        _ => None,
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            Self::Io { source, .. } => Some(source),
            Self::Decode(error) => Some(error),
            Self::Encode(error) => Some(error),
            Self::Overrun | Self::TimedOut | Self::Truncated { .. } => None,
        }
    }
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source, .. } => source,
            Error::TimedOut => Self::new(io::ErrorKind::TimedOut, error),
            Error::Kernel(ref kernel) => {
                let kind = Self::from_raw_os_error(kernel.errno().0).kind();
                Self::new(kind, error)
            }
            other => Self::other(other),
        }
    }
}
