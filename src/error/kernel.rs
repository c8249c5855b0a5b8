//! Refusals of the kernel: the operation, the error number, and their meaning together.

use core::fmt;

/// `Debug` of an error as its `Display`, because `main` shows `Debug` if it returns an error.
macro_rules! debug_as_display {
    ($($error:ident)+) => { $(
        impl core::fmt::Debug for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    )+ };
}

pub(crate) use debug_as_display;

/// An error number of Linux. Numbers above 34 differ between architectures: the constants have the numbers of the target.
///
/// # Example
///
/// ```
/// use ctnetlink::Errno;
///
/// assert_eq!(Errno(2), Errno::ENOENT);
/// assert_eq!(Errno::ENOENT.to_string(), "ENOENT");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number")]
pub struct Errno(
    /// The number, positive.
    pub i32,
);

macro_rules! errnos {
    ($( $name:ident = $number:expr, )*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub const $name: Self = Self($number);
            )*

            /// Returns the C name, or `None` if this crate has no constant for the number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                $(
                    if self.0 == Self::$name.0 {
                        return Some(stringify!($name));
                    }
                )*
                None
            }
        }
    };
}

/// The number on most architectures, on MIPS, and on SPARC (`asm/errno.h` of each).
const fn by_architecture(most: i32, mips: i32, sparc: i32) -> i32 {
    if cfg!(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6")) {
        mips
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        sparc
    } else {
        most
    }
}

errnos! {
    EPERM = 1,
    ENOENT = 2,
    EINTR = 4,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EBUSY = 16,
    EEXIST = 17,
    EINVAL = 22,
    ENFILE = 23,
    EMFILE = 24,
    ENOSPC = 28,
    ERANGE = 34,
    ETIME = by_architecture(62, 62, 73),
    EMSGSIZE = by_architecture(90, 97, 40),
    EPROTONOSUPPORT = by_architecture(93, 120, 43),
    EOPNOTSUPP = by_architecture(95, 122, 45),
    EAFNOSUPPORT = by_architecture(97, 124, 47),
    ENOBUFS = by_architecture(105, 132, 55),
    ESHUTDOWN = by_architecture(108, 143, 58),
    EALREADY = by_architecture(114, 149, 37),
}

impl fmt::Display for Errno {
    /// Prints the name, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A request to the kernel, as named in errors.
///
/// # Example
///
/// ```
/// assert_eq!(ctnetlink::Operation::DeleteFlow.to_string(), "delete flow");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Get one flow.
    GetFlow,
    /// Dump the table of flows.
    DumpFlows,
    /// Create a flow.
    CreateFlow,
    /// Change a flow.
    UpdateFlow,
    /// Delete one flow.
    DeleteFlow,
    /// Delete all flows, the flows of a family, or the flows that match a filter.
    FlushFlows,
    /// Get one expectation.
    GetExpectation,
    /// Dump the table of expectations.
    DumpExpectations,
    /// Create an expectation.
    CreateExpectation,
    /// Delete one expectation, or the expectations of a helper.
    DeleteExpectation,
    /// Delete all expectations.
    FlushExpectations,
    /// Get statistics.
    GetStatistics,
    /// Probe which filters the kernel supports, before the first use of a filter.
    ProbeFilters,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GetFlow => "get flow",
            Self::DumpFlows => "dump flows",
            Self::CreateFlow => "create flow",
            Self::UpdateFlow => "update flow",
            Self::DeleteFlow => "delete flow",
            Self::FlushFlows => "delete flows",
            Self::GetExpectation => "get expectation",
            Self::DumpExpectations => "dump expectations",
            Self::CreateExpectation => "create expectation",
            Self::DeleteExpectation => "delete expectation",
            Self::FlushExpectations => "delete expectations",
            Self::GetStatistics => "get statistics",
            Self::ProbeFilters => "probe filters",
        })
    }
}

/// A refusal of the kernel: the request, the error number, and the kernel's own text if it sent one.
///
/// `Display` adds the meaning of the number for this request, because one number has many meanings: EBUSY refuses an update
/// if a status bit cannot change, and a dump if another dump is running on the same socket.
///
/// # Example
///
/// ```
/// use ctnetlink::{Errno, Operation, exchange::{Exchange, Received}, wire::Messages};
///
/// # let mut message = vec![36, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
/// # message.extend((-2_i32).to_ne_bytes());
/// # message.extend([20, 0, 0, 0, 2, 1, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
/// # let (length, kind, number) = (36_u32.to_ne_bytes(), 2_u16.to_ne_bytes(), 7_u32.to_ne_bytes());
/// # message[..4].copy_from_slice(&length);
/// # message[4..6].copy_from_slice(&kind);
/// # message[8..12].copy_from_slice(&number);
/// // An NLMSG_ERROR with ENOENT that answers request 7.
/// let message = Messages::new(&message).next().unwrap()?;
/// let Received::Refused(refusal) = Exchange::new(Operation::DeleteFlow, 7).receive(&message) else { panic!() };
/// let error = refusal.into_error(Operation::DeleteFlow);
/// assert_eq!(error.errno(), Errno::ENOENT);
/// assert!(error.to_string().starts_with("cannot delete flow: ENOENT: "));
/// # Ok::<(), ctnetlink::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KernelError {
    operation: Operation,
    errno: Errno,
    text: Option<Box<str>>,
    attribute: Option<Box<str>>,
    sets_timeout: bool,
}

impl KernelError {
    #[cold]
    pub(crate) const fn new(operation: Operation, errno: Errno) -> Self {
        Self { operation, errno, text: None, attribute: None, sets_timeout: false }
    }

    /// Adds the kernel's text, and the attribute of the request that the kernel rejects.
    #[cold]
    pub(crate) fn with_details(self, text: Option<&str>, attribute: Option<String>) -> Self {
        Self { text: text.map(Into::into), attribute: attribute.map(Into::into), ..self }
    }

    /// Notes whether the refused request sets a timeout, which is one more reason for EPERM.
    #[cold]
    pub(crate) fn of_timeout(self, sets_timeout: bool) -> Self {
        Self { sets_timeout, ..self }
    }

    /// Returns the request that was refused.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the error number.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        self.errno
    }

    /// Returns the kernel's text. The kernel sends one for violations of its attribute policy only.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Returns the path to the attribute of the request that the kernel rejects.
    #[must_use]
    pub fn attribute(&self) -> Option<&str> {
        self.attribute.as_deref()
    }

    /// Returns the meaning of the number for this request, with a remedy if there is one.
    #[must_use]
    pub const fn meaning(&self) -> Option<&'static str> {
        match (self.operation, self.errno) {
            (Operation::UpdateFlow, Errno::EPERM) if self.sets_timeout => Some(DENIED_TIMEOUT),
            (operation, errno) => meaning(operation, errno),
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.operation, self.errno)?;
        if let Some(meaning) = self.meaning() {
            write!(f, ": {meaning}")?;
        }
        match (&self.text, &self.attribute) {
            (Some(text), Some(attribute)) => write!(f, " (the kernel says \"{text}\", at {attribute})"),
            (Some(text), None) => write!(f, " (the kernel says \"{text}\")"),
            (None, Some(attribute)) => write!(f, " (at {attribute})"),
            (None, None) => Ok(()),
        }
    }
}

debug_as_display!(KernelError);

impl core::error::Error for KernelError {}

const DENIED_TIMEOUT: &str = "needs CAP_NET_ADMIN in the user namespace that owns the network namespace, and a flow with \
                              FIXED_TIMEOUT refuses a timeout";

const fn meaning(operation: Operation, errno: Errno) -> Option<&'static str> {
    use Operation as Op;
    Some(match (operation, errno) {
        (_, Errno::EPERM) => {
            "needs CAP_NET_ADMIN in the user namespace that owns the network namespace (for a private namespace: \
             `unshare -Urn`)"
        }
        (_, Errno::EPROTONOSUPPORT) => "the kernel has no nfnetlink: load the module nfnetlink",
        (Op::GetFlow | Op::DeleteFlow, Errno::ENOENT) => {
            "no such flow: it may have ended, be in another zone, or have another identifier"
        }
        (Op::UpdateFlow, Errno::ENOENT) => "no such flow: it may have ended, or be in another zone",
        (Op::CreateFlow, Errno::ENOENT) => "the master is not in the table",
        (Op::CreateFlow, Errno::EEXIST) => {
            "a flow has one of the two tuples already, or no address or port of the NAT range is free"
        }
        (Op::CreateFlow, Errno::EINVAL) => {
            "a tuple is incomplete, the protocols differ, an ICMP type is not a query, or sequence adjustment or SCTP \
             information is incomplete"
        }
        (Op::CreateFlow, Errno::ENOMEM) => {
            "the table is full (raise net.netfilter.nf_conntrack_max), or memory is short"
        }
        (Op::CreateFlow, Errno::ENOSPC) => "the hash chain of the tuple is too long",
        (Op::CreateFlow, Errno::EOPNOTSUPP) => {
            "no helper of that name and protocol is registered, NAT is not available, the family is neither IPv4 nor \
             IPv6, or the flow exists and the request has a NAT range or a master"
        }
        (Op::CreateFlow, Errno::EBUSY) => {
            "the flow exists, and the request would clear a permanent status bit or change the helper"
        }
        (Op::CreateFlow | Op::UpdateFlow, Errno::ERANGE) => {
            "a value is out of range: a TCP state above 9, a window scale above 14, an SCTP state above 8, labels of more \
             than 16 bytes"
        }
        (Op::UpdateFlow, Errno::EBUSY) => {
            "the update would clear a permanent status bit, or change the helper, which a flow keeps until it ends"
        }
        (Op::UpdateFlow, Errno::ENOSPC) => {
            "the flow has no room for labels: add a rule that sets labels before the flow begins"
        }
        (Op::UpdateFlow, Errno::EOPNOTSUPP) => {
            "no helper of that name is registered, or the flow began without a helper"
        }
        (Op::UpdateFlow, Errno::EINVAL) => "the tuple is incomplete, or protocol information or labels are malformed",
        (Op::UpdateFlow | Op::DeleteFlow, Errno::ETIME) => "the flow is ending",
        (Op::DeleteFlow, Errno::EBUSY) => "the flow is offloaded, and this kernel cannot delete offloaded flows",
        (Op::GetFlow | Op::DeleteFlow, Errno::EINVAL) => "the tuple is incomplete",
        (Op::DumpFlows | Op::DumpExpectations, Errno::EBUSY) => "another dump is running on this socket",
        (Op::DumpFlows | Op::FlushFlows, Errno::EINVAL) => {
            "the kernel rejects this filter, or lacks ctnetlink: load the module nf_conntrack_netlink"
        }
        (Op::GetExpectation | Op::DeleteExpectation | Op::DumpExpectations, Errno::EINVAL) => "the tuple is incomplete",
        (Op::DumpFlows | Op::FlushFlows, Errno::EOPNOTSUPP) => {
            "the kernel lacks this filter, or a filter on tuples has no family"
        }
        (Op::CreateExpectation | Op::DumpExpectations, Errno::ENOENT) => "the master is not in the table",
        (Op::GetExpectation | Op::DeleteExpectation, Errno::ENOENT) => "no such expectation",
        (Op::CreateExpectation, Errno::EEXIST) => "the expectation exists already",
        (Op::CreateExpectation, Errno::EOPNOTSUPP) => {
            "the master has no helper, or no helper of that name is registered"
        }
        (Op::CreateExpectation, Errno::EINVAL) => {
            "the helper has no such class, the function is not registered, or a flag is unknown"
        }
        (Op::CreateExpectation, Errno::EBUSY) => "another expectation covers some of the same flows",
        (Op::CreateExpectation, Errno::EALREADY) => "the same expectation exists with another class or master",
        (Op::CreateExpectation, Errno::EMFILE) => {
            "the helper's limit or net.netfilter.nf_conntrack_expect_max is reached"
        }
        (Op::CreateExpectation, Errno::ESHUTDOWN) => "the master has no helper",
        (Op::CreateExpectation, Errno::ETIME) => "the expectation is ending",
        (_, Errno::EINVAL) => "the kernel lacks ctnetlink: load the module nf_conntrack_netlink",
        (_, Errno::EOPNOTSUPP) => "this kernel does not support the request",
        (_, Errno::ENOMEM) => "the kernel is short of memory",
        (_, Errno::ENOBUFS) => "the receive buffer was full and the answer was lost: enlarge the buffer",
        (_, Errno::EMSGSIZE) => "the message is larger than the send buffer",
        _ => return None,
    })
}
