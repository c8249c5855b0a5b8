//! What the kernel refuses, and what that means.

use core::fmt;

use super::Errno;

/// What was asked of the kernel.
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
    /// Delete all flows, those of a family, or those that fit a filter.
    FlushFlows,
    /// Get one expectation.
    GetExpectation,
    /// Dump the table of expectations.
    DumpExpectations,
    /// Create an expectation.
    CreateExpectation,
    /// Delete one expectation, or those of a helper.
    DeleteExpectation,
    /// Delete all expectations.
    FlushExpectations,
    /// Get statistics.
    GetStatistics,
    /// Find out what the kernel filters by, before a filter is used the first time.
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
            Self::FlushFlows => "flush flows",
            Self::GetExpectation => "get expectation",
            Self::DumpExpectations => "dump expectations",
            Self::CreateExpectation => "create expectation",
            Self::DeleteExpectation => "delete expectation",
            Self::FlushExpectations => "flush expectations",
            Self::GetStatistics => "get statistics",
            Self::ProbeFilters => "find out what the kernel filters by",
        })
    }
}

/// An answer of the kernel that is an error: what was asked, the error number, and the kernel's own words where it has
/// any.
///
/// Prints with a sentence that says what the number means for this operation, since one number means many things:
/// EBUSY of an update is a status bit that may not change, EBUSY of a dump another dump on the same socket.
#[derive(Clone, PartialEq, Eq)]
pub struct KernelError {
    operation: Operation,
    errno: Errno,
    text: Option<Box<str>>,
    attribute: Option<Box<str>>,
}

impl KernelError {
    #[cold]
    pub(crate) const fn new(operation: Operation, errno: Errno) -> Self {
        Self { operation, errno, text: None, attribute: None }
    }

    /// With the kernel's text, and the attribute of the request that it points at.
    #[cold]
    pub(crate) fn with_details(self, text: Option<&str>, attribute: Option<String>) -> Self {
        Self { text: text.map(Into::into), attribute: attribute.map(Into::into), ..self }
    }

    /// What was asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The error number.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        self.errno
    }

    /// What the kernel says of it. Only violations of its attribute policy have a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The attribute of the request that the kernel points at, with the way to it.
    #[must_use]
    pub fn attribute(&self) -> Option<&str> {
        self.attribute.as_deref()
    }

    /// What the number means for this operation, and what to do.
    #[must_use]
    pub const fn meaning(&self) -> Option<&'static str> {
        meaning(self.operation, self.errno)
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.errno)?;
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

crate::macros::debug_as_display!(KernelError);

impl core::error::Error for KernelError {}

const fn meaning(operation: Operation, errno: Errno) -> Option<&'static str> {
    use Operation as Op;
    Some(match (operation, errno) {
        (_, Errno::EPERM) if !matches!(operation, Op::UpdateFlow) => {
            "CAP_NET_ADMIN is needed in the user namespace that owns the network namespace: run as root, or in a \
             namespace of your own"
        }
        (Op::UpdateFlow, Errno::EPERM) => {
            "CAP_NET_ADMIN is missing in the user namespace that owns the network namespace, or the flow has \
             FIXED_TIMEOUT and the update names a timeout"
        }
        (_, Errno::EPROTONOSUPPORT) => "the kernel has no nfnetlink: load the module nfnetlink",
        (Op::GetFlow | Op::DeleteFlow, Errno::ENOENT) => {
            "there is no such flow: it may have ended, be in another zone, or have another identifier"
        }
        (Op::UpdateFlow, Errno::ENOENT) => "there is no such flow: it may have ended, or be in another zone",
        (Op::CreateFlow, Errno::ENOENT) => "the master is not in the table",
        (Op::CreateFlow, Errno::EEXIST) => {
            "a flow with one of the two tuples is in the table already, or no address or port of the NAT range is free"
        }
        (Op::CreateFlow, Errno::EINVAL) => {
            "a tuple is incomplete, the protocols differ, an ICMP type is no query, or sequence adjustment or SCTP \
             information is incomplete"
        }
        (Op::CreateFlow, Errno::ENOMEM) => "the table is full (net.netfilter.nf_conntrack_max), or memory is short",
        (Op::CreateFlow, Errno::ENOSPC) => "the hash chain of the tuple is too long",
        (Op::CreateFlow, Errno::EOPNOTSUPP) => {
            "no helper of that name and protocol is registered, NAT is not available, the family is neither IPv4 nor IPv6, \
             or the flow exists and an update names a NAT range or a master"
        }
        (Op::CreateFlow, Errno::EBUSY) => {
            "the flow exists, and a status bit that it has is not among those named, or the helper would change"
        }
        (Op::CreateFlow | Op::UpdateFlow, Errno::ERANGE) => {
            "a value is out of range: a TCP state above 9, a window scale above 14, an SCTP state above 8, labels of more \
             than 16 bytes"
        }
        (Op::UpdateFlow, Errno::EBUSY) => {
            "a status bit would be cleared that may not be, or the helper would change: a flow keeps the one it has, or none"
        }
        (Op::UpdateFlow, Errno::ENOSPC) => {
            "the flow has no room for labels: a rule that uses labels must be there before the flow begins"
        }
        (Op::UpdateFlow, Errno::EOPNOTSUPP) => {
            "no helper of that name is registered, or the flow began without a helper"
        }
        (Op::UpdateFlow, Errno::EINVAL) => "the tuple is incomplete, or protocol information or labels are malformed",
        (Op::UpdateFlow | Op::DeleteFlow, Errno::ETIME) => "the flow is ending",
        (Op::DeleteFlow, Errno::EBUSY) => "the flow is offloaded, and this kernel deletes no such flow",
        (Op::GetFlow | Op::DeleteFlow, Errno::EINVAL) => "the tuple is incomplete",
        (Op::DumpFlows | Op::DumpExpectations, Errno::EBUSY) => "another dump is under way on this socket",
        (Op::DumpFlows | Op::FlushFlows, Errno::EINVAL) => {
            "the kernel does not take this filter, or has no connection tracking for netlink: load the module \
             nf_conntrack_netlink"
        }
        (Op::GetExpectation | Op::DeleteExpectation | Op::DumpExpectations, Errno::EINVAL) => "the tuple is incomplete",
        (Op::DumpFlows | Op::FlushFlows, Errno::EOPNOTSUPP) => {
            "this kernel has no such filter, or a filter on tuples lacks a family"
        }
        (Op::CreateExpectation | Op::DumpExpectations, Errno::ENOENT) => "the master is not in the table",
        (Op::GetExpectation | Op::DeleteExpectation, Errno::ENOENT) => "there is no such expectation",
        (Op::CreateExpectation, Errno::EEXIST) => "there is such an expectation already",
        (Op::CreateExpectation, Errno::EOPNOTSUPP) => {
            "the master has no helper, or no helper of that name is registered"
        }
        (Op::CreateExpectation, Errno::EINVAL) => {
            "the class is none of the helper's, the function is not registered, or a flag is unknown"
        }
        (Op::CreateExpectation, Errno::EBUSY) => "another expectation covers some of the same flows",
        (Op::CreateExpectation, Errno::EALREADY) => "the same expectation exists with another class or master",
        (Op::CreateExpectation, Errno::EMFILE) => {
            "the helper's limit or net.netfilter.nf_conntrack_expect_max is reached"
        }
        (Op::CreateExpectation, Errno::ESHUTDOWN) => "the master has no helper",
        (Op::CreateExpectation, Errno::ETIME) => "the expectation is ending",
        (_, Errno::EINVAL) => "the kernel has no connection tracking for netlink: load the module nf_conntrack_netlink",
        (_, Errno::EOPNOTSUPP) => "this kernel cannot do that",
        (_, Errno::ENOMEM) => "the kernel is short of memory",
        (_, Errno::ENOBUFS) => "the receive buffer was full and the answer is lost: enlarge the buffer",
        (_, Errno::EMSGSIZE) => "the message is larger than the send buffer",
        _ => return None,
    })
}
