//! The errors of the crate. Their texts name the operation, the reason, and a remedy if there is one.
//!
//! [`Error`] is the error of everything that talks to the kernel. It wraps the smaller errors, which the sans-I/O parts
//! of the crate return directly.

mod codec;
mod kernel;

use core::{any::Any, fmt};
use std::{borrow::Cow, io};

pub use codec::{AttributePath, DecodeError, DecodeErrorKind, EncodeError, ParseError};
pub(crate) use kernel::debug_as_display;
pub use kernel::{Errno, KernelError, Operation};

/// The error of everything that talks to the kernel.
///
/// Ask [`kind`](Self::kind) or one of the predicates ([`is_not_found`](Self::is_not_found) …) to decide how to
/// react, and print the error for a person: the text names the operation, the reason, and a remedy if there is one.
///
/// `?` converts every other error of this crate, and [`io::Error`], into this one. The opposite conversion into an
/// [`io::Error`] keeps the kind, and this error as its inner error.
///
/// # Example
///
/// ```
/// use ctnetlink::{Error, ErrorKind, Filter};
///
/// fn parse(text: &str) -> Result<Filter, Error> {
///     Ok(text.parse()?)
/// }
///
/// let error = parse("proto tpc").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(error.to_string().contains("`tpc`"));
/// ```
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// # let key = ctnetlink::FlowKey::original(ctnetlink::Tuple::udp("10.0.0.1:4000".parse()?, "10.0.0.2:53".parse()?));
/// match client.delete(key) {
///     Err(error) if error.is_not_found() => println!("the flow had already ended"),
///     result => result?,
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Error {
    // Boxed to keep every `Result` in the receive loop small.
    reason: Box<Reason>,
}

/// The class of an [`Error`].
///
/// # Example
///
/// ```
/// use ctnetlink::{Error, ErrorKind};
///
/// let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
/// assert_eq!(Error::from(denied).kind(), ErrorKind::PermissionDenied);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The table has no such entry (`ENOENT`).
    NotFound,
    /// The table has such an entry already (`EEXIST`, `EALREADY`).
    AlreadyExists,
    /// A capability is missing (`EPERM`, `EACCES`).
    PermissionDenied,
    /// The entry cannot be changed this way, or another operation excludes this one (`EBUSY`).
    Busy,
    /// The receive buffer was full and messages were lost (`ENOBUFS`). Use a larger buffer, or request less at once.
    Overrun,
    /// The kernel did not answer in time, or no event arrived in time.
    TimedOut,
    /// The kernel cannot do this, lacks a module, or has no netfilter netlink (`EOPNOTSUPP`, `EPROTONOSUPPORT`).
    Unsupported,
    /// A value, name, filter or line of text is not valid, or the kernel refused a value (`EINVAL`, `ERANGE`).
    InvalidInput,
    /// A filter without any condition was passed to an operation that deletes matching flows.
    MatchesEverything,
    /// The kernel sends no events in this network namespace (`net.netfilter.nf_conntrack_events` is 0).
    EventsDisabled,
    /// A table, hash chain or extension is full, or memory is short (`ENOMEM`, `ENOSPC`, `EMFILE`).
    NoSpace,
    /// The kernel sent bytes that do not decode.
    Decode,
    /// A system call failed for another reason.
    Io,
    /// The kernel refused with an error number that no other kind covers.
    Other,
}

enum Reason {
    /// The kernel refused a request.
    Kernel(KernelError),
    /// A system call failed. The action is a verb phrase, or empty if it is unknown.
    System {
        action: &'static str,
        source: io::Error,
    },
    Decode(DecodeError),
    Encode(EncodeError),
    Overrun,
    TimedOut,
    Truncated {
        length: usize,
    },
    /// A condition that this crate detected without asking the kernel.
    Message {
        kind: ErrorKind,
        text: Cow<'static, str>,
    },
    /// An error that ended an operation after a part of it was done.
    AfterProgress {
        error: Error,
        /// The end of the message, which describes the progress.
        text: String,
        progress: Box<dyn Any + Send + Sync>,
    },
    /// An error of a layer above this one: a filter, a line of text.
    Wrapped {
        kind: ErrorKind,
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

#[cfg_attr(
    not(all(target_os = "linux", feature = "client")),
    allow(dead_code, reason = "some constructors serve the client only")
)]
impl Error {
    #[cold]
    fn new(reason: Reason) -> Self {
        Self { reason: Box::new(reason) }
    }

    /// A system call failed; `action` is a verb phrase such as "open a socket".
    #[cold]
    pub(crate) fn io(action: &'static str, source: io::Error) -> Self {
        Self::new(Reason::System { action, source })
    }

    #[cold]
    pub(crate) fn overrun() -> Self {
        Self::new(Reason::Overrun)
    }

    #[cold]
    pub(crate) fn timed_out() -> Self {
        Self::new(Reason::TimedOut)
    }

    /// A datagram of `length` bytes did not fit the receive buffer of this process.
    #[cold]
    pub(crate) fn truncated(length: usize) -> Self {
        Self::new(Reason::Truncated { length })
    }

    /// A condition that this crate detected without asking the kernel.
    #[cold]
    pub(crate) fn message(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Message { kind, text: text.into() })
    }

    /// The kernel sends no events in the namespace.
    #[cold]
    pub(crate) fn events_disabled() -> Self {
        let text = "the kernel sends no events: net.netfilter.nf_conntrack_events is 0 (set it to 1, or to 2 for events \
                    of flows that are created from now on)";
        Self::message(ErrorKind::EventsDisabled, text)
    }

    /// An error of a layer above this one. Displays as `source` does.
    #[cold]
    pub(crate) fn wrap(kind: ErrorKind, source: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::new(Reason::Wrapped { kind, source: Box::new(source) })
    }

    /// This error ended an operation after a part of it was done. A layer above describes and reads the progress.
    #[cold]
    pub(crate) fn after_progress(self, text: String, progress: impl Any + Send + Sync) -> Self {
        Self::new(Reason::AfterProgress { error: self, text, progress: Box::new(progress) })
    }

    /// Returns what was done before the error.
    pub(crate) fn progress(&self) -> Option<&(dyn Any + Send + Sync)> {
        if let Reason::AfterProgress { progress, .. } = &*self.reason { Some(&**progress) } else { None }
    }

    /// Returns true if nothing of an answer can follow this error: only undecodable bytes can be skipped.
    pub(crate) const fn ends_answer(&self) -> bool {
        !matches!(*self.reason, Reason::Decode(_))
    }

    /// Returns true if the socket failed, and not a request over it.
    pub(crate) const fn is_of_socket(&self) -> bool {
        matches!(*self.reason, Reason::System { .. } | Reason::Overrun | Reason::TimedOut | Reason::Truncated { .. })
    }

    /// The length of a datagram that did not fit the receive buffer.
    #[cfg(any(test, fuzzing))]
    pub(crate) const fn truncated_length(&self) -> Option<usize> {
        if let Reason::Truncated { length } = *self.reason { Some(length) } else { None }
    }
}

impl Error {
    /// The reason without the progress around it.
    fn cause(&self) -> &Reason {
        let mut reason = &*self.reason;
        while let Reason::AfterProgress { error, .. } = reason {
            reason = &error.reason;
        }
        reason
    }

    /// Returns the class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.cause() {
            Reason::Kernel(error) => ErrorKind::of_errno(error.errno()).unwrap_or(ErrorKind::Other),
            Reason::System { source, .. } => ErrorKind::of_system(source),
            Reason::Decode(_) => ErrorKind::Decode,
            Reason::Encode(_) => ErrorKind::InvalidInput,
            Reason::Overrun => ErrorKind::Overrun,
            Reason::TimedOut => ErrorKind::TimedOut,
            Reason::Truncated { .. } => ErrorKind::Io,
            Reason::Message { kind, .. } | Reason::Wrapped { kind, .. } => *kind,
            Reason::AfterProgress { error, .. } => error.kind(),
        }
    }

    /// Returns the error number that the kernel or the system reported.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self.cause() {
            Reason::Kernel(error) => Some(error.errno()),
            Reason::System { source, .. } => source.raw_os_error().map(Errno),
            Reason::Overrun => Some(Errno::ENOBUFS),
            _ => None,
        }
    }

    /// Returns the kernel's refusal, if this is one.
    #[must_use]
    pub fn kernel(&self) -> Option<&KernelError> {
        if let Reason::Kernel(error) = self.cause() { Some(error) } else { None }
    }

    /// Returns the error of decoding, if this is one.
    #[must_use]
    pub fn decode_error(&self) -> Option<&DecodeError> {
        if let Reason::Decode(error) = self.cause() { Some(error) } else { None }
    }

    /// Returns the error of encoding, if this is one.
    #[must_use]
    pub fn encode_error(&self) -> Option<&EncodeError> {
        if let Reason::Encode(error) = self.cause() { Some(error) } else { None }
    }

    /// Returns the error of the system call that failed, if this is such an error.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        if let Reason::System { source, .. } = self.cause() { Some(source) } else { None }
    }

    /// Returns true if the table has no such entry (`ENOENT`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Returns true if the table has such an entry already (`EEXIST`).
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.kind() == ErrorKind::AlreadyExists
    }

    /// Returns true if a capability is missing (`EPERM`, `EACCES`).
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == ErrorKind::PermissionDenied
    }

    /// Returns true if the kernel cannot do this, or lacks the module for it.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
    }

    /// Returns true if the entry cannot be changed this way, or another operation excludes this one (`EBUSY`).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.kind() == ErrorKind::Busy
    }

    /// Returns true if messages were lost because the receive buffer was full (`ENOBUFS`).
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.kind() == ErrorKind::Overrun
    }

    /// Returns true if nothing arrived in time.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.kind() == ErrorKind::TimedOut
    }
}

impl ErrorKind {
    /// The kind of an error number in an answer of the kernel.
    const fn of_errno(errno: Errno) -> Option<Self> {
        Some(match errno {
            Errno::ENOENT => Self::NotFound,
            Errno::EEXIST | Errno::EALREADY => Self::AlreadyExists,
            Errno::EPERM | Errno::EACCES => Self::PermissionDenied,
            Errno::EBUSY => Self::Busy,
            Errno::ENOBUFS => Self::Overrun,
            Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT => Self::Unsupported,
            Errno::EINVAL | Errno::ERANGE => Self::InvalidInput,
            Errno::ENOMEM | Errno::ENOSPC | Errno::EMFILE => Self::NoSpace,
            _ => return None,
        })
    }

    /// The kind of a failed system call. That a file is missing says nothing about the table: it stays `Io`.
    fn of_system(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno).and_then(Self::of_errno) {
            Some(kind @ (Self::PermissionDenied | Self::Overrun | Self::Unsupported)) => return kind,
            Some(_) => return Self::Io,
            None => {}
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::Io,
        }
    }

    /// The nearest kind of the standard library.
    const fn to_io(self) -> io::ErrorKind {
        match self {
            Self::NotFound => io::ErrorKind::NotFound,
            Self::AlreadyExists => io::ErrorKind::AlreadyExists,
            Self::PermissionDenied => io::ErrorKind::PermissionDenied,
            Self::Busy => io::ErrorKind::ResourceBusy,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Unsupported => io::ErrorKind::Unsupported,
            Self::InvalidInput | Self::MatchesEverything => io::ErrorKind::InvalidInput,
            Self::Decode => io::ErrorKind::InvalidData,
            Self::Overrun | Self::EventsDisabled | Self::NoSpace | Self::Io | Self::Other => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            Reason::Kernel(error) => error.fmt(f),
            Reason::System { action: "", source } => source.fmt(f),
            Reason::System { action, source } => {
                write!(f, "cannot {action}: {source}")?;
                match remedy(action, source) {
                    Some(remedy) => write!(f, ": {remedy}"),
                    None => Ok(()),
                }
            }
            Reason::Decode(error) => write!(f, "cannot decode a message: {error}"),
            Reason::Encode(error) => write!(f, "cannot encode the request: {error}"),
            Reason::Overrun => {
                f.write_str("messages were lost because the receive buffer was full: enlarge the buffer")
            }
            Reason::TimedOut => f.write_str("nothing arrived in time"),
            Reason::Truncated { length } => {
                write!(f, "a datagram of {length} bytes did not fit the receive buffer and was cut short")
            }
            Reason::Message { text, .. } => f.write_str(text),
            Reason::AfterProgress { error, text, .. } => write!(f, "{error}{text}"),
            Reason::Wrapped { source, .. } => source.fmt(f),
        }
    }
}

debug_as_display!(Error);

impl core::error::Error for Error {
    /// Returns the source of the wrapped error, because `Display` prints the wrapped error itself.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self.cause() {
            Reason::System { source, .. } => source.source(),
            Reason::Wrapped { source, .. } => source.source(),
            _ => None,
        }
    }
}

/// The action of opening a socket in another network namespace.
pub(crate) const ENTER_NAMESPACE: &str = "enter the network namespace";

/// The action of attaching a filter's program to a socket.
pub(crate) const ATTACH_PROGRAM: &str = "attach the program of a filter";

/// The action of listening to all network namespaces.
pub(crate) const LISTEN_TO_ALL: &str = "listen to the events of all network namespaces";

fn remedy(action: &str, error: &io::Error) -> Option<&'static str> {
    match Errno(error.raw_os_error()?) {
        Errno::EPERM if action == ENTER_NAMESPACE => {
            Some("needs CAP_SYS_ADMIN in the user namespaces of this process and of the network namespace")
        }
        Errno::EPERM if action == LISTEN_TO_ALL => {
            Some("needs CAP_NET_BROADCAST in the user namespace that owns the network namespace")
        }
        Errno::EPERM => Some(
            "needs CAP_NET_ADMIN in the user namespace that owns the network namespace (for a private namespace: \
             `unshare -Urn`)",
        ),
        Errno::EPROTONOSUPPORT => Some("the kernel has no nfnetlink: load the module nfnetlink"),
        Errno::ENOMEM if action == ATTACH_PROGRAM => {
            Some("the program is too long: raise net.core.optmem_max, or build a shorter one with `per_event_within`")
        }
        _ => None,
    }
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        Self::new(Reason::Kernel(error))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::new(Reason::Decode(error))
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::new(Reason::Encode(error))
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

impl From<io::Error> for Error {
    /// Wraps a system error. An [`io::Error`] that was made from an [`Error`] turns into that error again.
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| Self::io("", error))
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind, and the error as the [inner error](io::Error::get_ref).
    fn from(error: Error) -> Self {
        let kind = match (error.errno(), error.io_error()) {
            (Some(errno), _) => Self::from_raw_os_error(errno.0).kind(),
            (None, Some(source)) => source.kind(),
            (None, None) => error.kind().to_io(),
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error as _;

    #[test]
    fn error_is_one_pointer_and_crosses_threads() {
        fn is_sendable<T: Send + Sync + 'static>() {}
        is_sendable::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    fn kernel(operation: Operation, errno: Errno) -> Error {
        KernelError::new(operation, errno).into()
    }

    #[test]
    fn kernel_errors_have_the_kind_of_their_number() {
        for (errno, kind) in [
            (Errno::ENOENT, ErrorKind::NotFound),
            (Errno::EEXIST, ErrorKind::AlreadyExists),
            (Errno::EALREADY, ErrorKind::AlreadyExists),
            (Errno::EPERM, ErrorKind::PermissionDenied),
            (Errno::EBUSY, ErrorKind::Busy),
            (Errno::ENOBUFS, ErrorKind::Overrun),
            (Errno::EOPNOTSUPP, ErrorKind::Unsupported),
            (Errno::EINVAL, ErrorKind::InvalidInput),
            (Errno::ERANGE, ErrorKind::InvalidInput),
            (Errno::ENOMEM, ErrorKind::NoSpace),
            (Errno::ETIME, ErrorKind::Other),
        ] {
            let error = kernel(Operation::CreateFlow, errno);
            assert_eq!(error.kind(), kind, "{errno}");
            assert_eq!(error.errno(), Some(errno));
            assert!(error.kernel().is_some() && error.decode_error().is_none());
        }
    }

    #[test]
    fn system_errors_have_a_kind_that_says_nothing_about_the_table() {
        let of = |errno: Errno| Error::io("open a socket", io::Error::from_raw_os_error(errno.0)).kind();
        assert_eq!(of(Errno::EPERM), ErrorKind::PermissionDenied);
        assert_eq!(of(Errno::EPROTONOSUPPORT), ErrorKind::Unsupported);
        assert_eq!(of(Errno::ENOBUFS), ErrorKind::Overrun);
        assert_eq!(of(Errno::EAGAIN), ErrorKind::TimedOut);
        for elsewhere in [Errno::ENOENT, Errno::EEXIST, Errno::EBUSY, Errno::EMFILE, Errno::EINVAL] {
            assert_eq!(of(elsewhere), ErrorKind::Io, "{elsewhere}");
        }
    }

    #[test]
    fn own_errors_have_their_kind() {
        let decode = DecodeError::new(DecodeErrorKind::Missing, 4);
        assert_eq!(Error::from(decode).kind(), ErrorKind::Decode);
        assert_eq!(Error::from(EncodeError::Value("x")).kind(), ErrorKind::InvalidInput);
        assert_eq!(Error::from(ParseError::new("a label", "x")).kind(), ErrorKind::InvalidInput);
        assert_eq!(Error::overrun().kind(), ErrorKind::Overrun);
        assert_eq!(Error::timed_out().kind(), ErrorKind::TimedOut);
        assert_eq!(Error::truncated(9).kind(), ErrorKind::Io);
        for kind in [ErrorKind::MatchesEverything, ErrorKind::EventsDisabled] {
            assert_eq!(Error::message(kind, "x").kind(), kind);
        }
        let filter = "proto tpc".parse::<crate::Filter>().unwrap_err();
        assert_eq!(Error::from(filter).kind(), ErrorKind::InvalidInput);
        let everything = Error::message(ErrorKind::MatchesEverything, "x");
        assert_eq!(io::Error::from(everything).kind(), io::ErrorKind::InvalidInput);
        let line = crate::proc::Line::parse(b"tcp").unwrap_err();
        assert_eq!(Error::from(line).kind(), ErrorKind::InvalidInput);
        assert_eq!(Error::from(crate::proc::ReadError::from(line)).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn chain_prints_no_sentence_twice() {
        let nested = || io::Error::other(kernel(Operation::GetFlow, Errno::ENOENT));
        let decode = DecodeError::new(DecodeErrorKind::Missing, 4);
        for error in [
            kernel(Operation::DeleteFlow, Errno::ENOENT),
            Error::io("open a socket", io::Error::from_raw_os_error(1)),
            Error::io("open a socket", nested()),
            Error::from(decode),
            Error::from(EncodeError::Value("a value")),
            Error::from("proto tpc".parse::<crate::Filter>().unwrap_err()),
            Error::from(crate::proc::ReadError::from(nested())),
            Error::from(io::Error::from(kernel(Operation::GetFlow, Errno::EPERM))),
            Error::io("open a socket", io::Error::from(Error::io("wait", io::Error::from_raw_os_error(5)))),
        ] {
            let mut printed = vec![error.to_string()];
            let mut source = error.source();
            while let Some(inner) = source {
                let text = inner.to_string();
                assert!(printed.iter().all(|outer| !outer.contains(&text)), "{text} again in {printed:?}");
                printed.push(text);
                source = inner.source();
            }
        }
    }

    #[test]
    fn io_errors_keep_kind_and_error() {
        let error = io::Error::from(kernel(Operation::GetFlow, Errno::ENOENT));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap();
        assert_eq!(inner.errno(), Some(Errno::ENOENT));
        assert!(Error::from(error).kernel().is_some(), "it turns back into the error that it was");

        let broken = Error::io("send", io::ErrorKind::BrokenPipe.into());
        assert_eq!(io::Error::from(broken).kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(io::Error::from(Error::timed_out()).kind(), io::ErrorKind::TimedOut);
        assert_eq!(io::Error::from(Error::from(EncodeError::Value("x"))).kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn messages_name_the_action_and_the_remedy() {
        let error = Error::io("open a socket", io::Error::from_raw_os_error(1));
        let text = error.to_string();
        assert!(text.starts_with("cannot open a socket: ") && text.contains(": needs CAP_NET_ADMIN in"), "{text}");
        assert_eq!(Error::from(io::Error::other("gone")).to_string(), "gone");
    }
}
