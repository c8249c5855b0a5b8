//! Which part of a filter runs where, and which filters a kernel understands.

use core::fmt::{self, Display, Formatter};

use super::{
    Filter, KernelFilter, SocketFilter,
    expression::Masked,
    kernel_filter::{KernelConjunction, KernelField},
};
use crate::model::{Family, Protocol};

/// The parts of a filter that the kernel and the socket evaluate, and whether userspace has to evaluate the rest.
///
/// The kernel gets the strongest conjunction of exact comparisons that every flow of the filter satisfies and that this
/// kernel evaluates correctly. It gets one request, or one for each family if the families differ or if tuples are
/// compared (which needs a family). Userspace evaluates the whole filter again on every flow that a dump returns.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::Capabilities};
///
/// let filter: Filter = "proto tcp and dport 22 and src 10.0.0.0/8".parse()?;
/// let plan = filter.plan(&Capabilities::linux(6, 12)).to_string();
/// let lines: Vec<&str> = plan.lines().collect();
/// assert_eq!(lines[0], "dump: ipv4, protocol tcp, original destination port 22");
/// assert_eq!(lines[1], "userspace: proto tcp and dport 22 and src 10.0.0.0/8");
/// assert_eq!(lines[2], "flush: dump and delete");
/// assert!(lines[3].starts_with("events: exactly the filter in the socket"));
/// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan<'f> {
    filter: &'f Filter,
    dumps: Vec<KernelFilter>,
    exact: bool,
    flush: Option<Vec<KernelFilter>>,
}

impl Filter {
    /// Returns which parts of the filter a kernel with these capabilities evaluates.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Capabilities};
    ///
    /// let filter = Filter::unreplied();
    /// let plan = filter.plan(&Capabilities::linux(6, 12));
    /// assert!(plan.is_exact());
    /// assert_eq!(plan.flush().unwrap()[0].to_string(), "all families, status !SEEN_REPLY");
    /// ```
    #[must_use]
    pub fn plan(&self, capabilities: &Capabilities) -> Plan<'_> {
        Plan::new(self, capabilities)
    }
}

impl<'f> Plan<'f> {
    fn new(filter: &'f Filter, capabilities: &Capabilities) -> Self {
        let conjunctions =
            [Family::IPV4, Family::IPV6].map(|family| (family, KernelConjunction::of(filter.expression(), family)));
        let (dumps, exact) = requests(conjunctions, &Supported::in_dump(capabilities));
        let (flushes, flush_exact) = requests(conjunctions, &Supported::in_flush(capabilities));
        let can_flush =
            flush_exact && !flushes.is_empty() && flushes.iter().all(|flush| can_flush(flush, capabilities));
        Self { filter, dumps, exact, flush: can_flush.then_some(flushes) }
    }

    /// Returns the dumps that together contain every flow of the filter: one, or one for each family.
    ///
    /// The list is empty if no flow can match.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Capabilities};
    ///
    /// let filter: Filter = "src 10.0.0.1 and src 10.0.0.2".parse()?;
    /// assert!(filter.plan(&Capabilities::linux(6, 12)).dumps().is_empty());
    /// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
    /// ```
    #[must_use]
    pub fn dumps(&self) -> &[KernelFilter] {
        &self.dumps
    }

    /// Returns whether the dumps contain no other flows.
    ///
    /// A dump that resets counters resets them for every flow that it contains, so it needs an exact plan.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Capabilities};
    ///
    /// let known = Capabilities::linux(6, 12);
    /// assert!(Filter::mark(7).plan(&known).is_exact());
    /// assert!(!Filter::timeout(..30).plan(&known).is_exact());
    /// ```
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Returns the flushes that together delete exactly the flows of the filter.
    ///
    /// Returns `None` if the kernel cannot delete exactly these: then the flows have to be dumped and deleted one by
    /// one. The list is never empty, and never contains a flush of everything.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Capabilities};
    ///
    /// assert!(Filter::zone(0).plan(&Capabilities::linux(6, 8)).flush().is_some());
    /// assert!(Filter::zone(0).plan(&Capabilities::linux(6, 1)).flush().is_none());
    /// ```
    #[must_use]
    pub fn flush(&self) -> Option<&[KernelFilter]> {
        self.flush.as_deref()
    }

    /// Compiles the program for sockets that receive events.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::Capabilities};
    ///
    /// assert!(Filter::mark(7).plan(&Capabilities::none()).socket().is_exact());
    /// ```
    #[must_use]
    pub fn socket(&self) -> SocketFilter {
        SocketFilter::new(self.filter)
    }
}

/// The comparisons that a kernel makes in one kind of request.
struct Supported {
    tuples: bool,
    mark: bool,
    status: bool,
    zone: bool,
}

impl Supported {
    const fn in_dump(capabilities: &Capabilities) -> Self {
        Self {
            tuples: capabilities.dump_tuple_filter,
            mark: capabilities.mark_filter,
            status: capabilities.status_filter,
            zone: capabilities.zone_filter,
        }
    }

    const fn in_flush(capabilities: &Capabilities) -> Self {
        Self { tuples: capabilities.flush_tuple_filter, ..Self::in_dump(capabilities) }
    }
}

/// Returns the requests for both families, and whether they select exactly the flows of the filter.
fn requests(
    conjunctions: [(Family, Option<KernelConjunction>); 2],
    supported: &Supported,
) -> (Vec<KernelFilter>, bool) {
    let mut exact = true;
    let mut filters = Vec::with_capacity(conjunctions.len());
    for (family, conjunction) in conjunctions {
        let Some(conjunction) = conjunction else { continue };
        let mut compared = evaluable(conjunction, supported);
        exact &= !core::mem::take(&mut compared.wider);
        filters.push(KernelFilter { family, compared });
    }
    if let [ipv4, ipv6] = &*filters {
        if ipv4.compared == ipv6.compared && !ipv4.has_tuples() {
            return (vec![KernelFilter { family: Family::UNSPEC, ..*ipv4 }], exact);
        }
    }
    (filters, exact)
}

/// A kernel that ignores the family of a flush would delete the flows of all families.
fn can_flush(flush: &KernelFilter, capabilities: &Capabilities) -> bool {
    !flush.is_everything() && (flush.family() == Family::UNSPEC || flush.has_tuples() || capabilities.flush_family)
}

/// Leaves out the comparisons that the kernel does not make, or makes wrongly.
fn evaluable(mut conjunction: KernelConjunction, supported: &Supported) -> KernelConjunction {
    let protocol = conjunction.value(KernelField::Protocol).and_then(|number| u8::try_from(number).ok()).map(Protocol);
    let icmp_type = conjunction.value(KernelField::IcmpType);
    for field in TUPLE_FIELDS {
        let is_sendable = supported.tuples
            && field.is_compared_for(protocol)
            // The kernel tracks no flow of a type without an answer, and refuses to filter by it.
            && (field != KernelField::IcmpType || icmp_type.is_some_and(|icmp_type| is_query(protocol, icmp_type)));
        if !is_sendable {
            conjunction = conjunction.without(field);
        }
    }
    if !supported.zone {
        conjunction = conjunction.without(KernelField::Zone);
    }
    if !supported.mark {
        conjunction.wider |= conjunction.mark.mask != 0;
        conjunction.mark = Masked::default();
    }
    if !supported.status {
        conjunction.wider |= conjunction.status.mask != 0;
        conjunction.status = Masked::default();
    }
    conjunction
}

const TUPLE_FIELDS: [KernelField; 12] = [
    KernelField::OriginalSource,
    KernelField::OriginalDestination,
    KernelField::ReplySource,
    KernelField::ReplyDestination,
    KernelField::Protocol,
    KernelField::OriginalSourcePort,
    KernelField::OriginalDestinationPort,
    KernelField::ReplySourcePort,
    KernelField::ReplyDestinationPort,
    KernelField::IcmpType,
    KernelField::IcmpCode,
    KernelField::IcmpId,
];

/// Whether the type is in the kernel's table of queries and their answers (`invmap`).
const fn is_query(protocol: Option<Protocol>, icmp_type: u32) -> bool {
    match protocol {
        Some(Protocol::ICMP) => matches!(icmp_type, 0 | 8 | 13..=18),
        Some(Protocol::ICMPV6) => matches!(icmp_type, 128 | 129 | 139 | 140),
        _ => false,
    }
}

impl Display for Plan<'_> {
    /// Prints one line for each dump, the filter if userspace has to evaluate it, one line for each flush, and one line
    /// about the program for sockets.
    ///
    /// The text is for people. It may change in any release.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.dumps.is_empty() {
            f.write_str("dump: none, no flow can match")?;
        }
        for (place, dump) in self.dumps.iter().enumerate() {
            write!(f, "{}dump: {dump}", if place == 0 { "" } else { "\n" })?;
        }
        if !self.exact {
            write!(f, "\nuserspace: {}", self.filter)?;
        }
        match &self.flush {
            None => f.write_str("\nflush: dump and delete")?,
            Some(flushes) => flushes.iter().try_for_each(|flush| write!(f, "\nflush: {flush}"))?,
        }
        let socket = self.socket();
        let extent = if socket.is_exact() { "exactly" } else { "wider than" };
        write!(f, "\nevents: {extent} the filter in the socket, {} instructions", socket.instructions().len())
    }
}

/// The filters that a kernel understands in dumps and flushes.
///
/// A kernel silently skips attributes that it does not know: a flush with an unknown filter empties the table. A client
/// therefore probes the running kernel for each capability before it uses it
/// ([`Client::capabilities`](crate::Client::capabilities)).
///
/// # Example
///
/// ```
/// use ctnetlink::filter::Capabilities;
///
/// assert!(Capabilities::linux(6, 1).status_filter);
/// assert!(!Capabilities::linux(6, 1).flush_tuple_filter);
/// assert!(!Capabilities::none().mark_filter);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Capabilities {
    /// `CTA_MARK` with `CTA_MARK_MASK` selects flows in dumps and flushes. Needs a kernel with
    /// `CONFIG_NF_CONNTRACK_MARK`, which also puts a mark into every entry of a dump.
    pub mark_filter: bool,
    /// A flush honors the family if the version of its header is not 0. Since Linux 5.2.
    pub flush_family: bool,
    /// `CTA_FILTER` selects flows by parts of their tuples in dumps. Since Linux 5.8.
    pub dump_tuple_filter: bool,
    /// `CTA_STATUS` with `CTA_STATUS_MASK` selects flows in dumps and flushes. Since Linux 5.15.
    pub status_filter: bool,
    /// `CTA_ZONE` selects flows in dumps and flushes. Since Linux 6.8.
    pub zone_filter: bool,
    /// `CTA_FILTER` selects flows by parts of their tuples in flushes. Since Linux 6.12.
    pub flush_tuple_filter: bool,
}

impl Capabilities {
    /// No capability but the family of a dump, which every kernel honors.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            mark_filter: false,
            flush_family: false,
            dump_tuple_filter: false,
            status_filter: false,
            zone_filter: false,
            flush_tuple_filter: false,
        }
    }

    /// The capabilities of a release of Linux that was built with marks.
    ///
    /// Distributions backport features and disable options, so a probe of the running kernel is more reliable.
    #[must_use]
    pub const fn linux(major: u32, minor: u32) -> Self {
        const fn since(release: (u32, u32), major: u32, minor: u32) -> bool {
            major > release.0 || (major == release.0 && minor >= release.1)
        }
        Self {
            mark_filter: true,
            flush_family: since((5, 2), major, minor),
            dump_tuple_filter: since((5, 8), major, minor),
            status_filter: since((5, 15), major, minor),
            zone_filter: since((6, 8), major, minor),
            flush_tuple_filter: since((6, 12), major, minor),
        }
    }
}
