//! Which part of a filter runs where.

use core::{
    fmt::{self, Display, Formatter},
    net::Ipv4Addr,
};

use super::{
    Capabilities, Filter, KernelFilter, SocketFilter,
    conjunction::{KernelConjunction, KernelField},
    expression::Masked,
    kernel::{Layer4Filter, PortFilter, QueryFilter, TupleFilter},
};
use crate::model::{Family, Protocol};

/// What of a filter the kernel does in a dump or a flush, what the socket does, and what is left to userspace.
///
/// The kernel is asked for the strongest conjunction of comparisons that every flow of the filter satisfies and that
/// this kernel evaluates right. It is asked once, or once for each family where the families differ or the tuples are
/// compared, for which it wants a family. What comes back is to be held against the filter again.
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

impl<'f> Plan<'f> {
    pub(super) fn new(filter: &'f Filter, capabilities: &Capabilities) -> Self {
        let conjunctions =
            [Family::IPV4, Family::IPV6].map(|family| (family, KernelConjunction::of(filter.expression(), family)));
        let (dumps, exact) = requests(conjunctions, &Request::dump(capabilities));
        let (flushes, flush_exact) = requests(conjunctions, &Request::flush(capabilities));
        let can_flush =
            flush_exact && !flushes.is_empty() && flushes.iter().all(|flush| can_flush(flush, capabilities));
        Self { filter, dumps, exact, flush: can_flush.then_some(flushes) }
    }

    /// The dumps that together give every flow of the filter: one, or one for each family; none if there can be no such
    /// flow.
    #[must_use]
    pub fn dumps(&self) -> &[KernelFilter] {
        &self.dumps
    }

    /// Whether the dumps give no other flows.
    ///
    /// A dump that zeroes counters zeroes those of every flow that it gives: it wants an exact plan.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// The flushes that together delete exactly the flows of the filter; `None` where the kernel cannot, and flows have
    /// to be dumped and deleted one by one.
    ///
    /// Never a flush of everything, and never an empty list.
    #[must_use]
    pub fn flush(&self) -> Option<&[KernelFilter]> {
        self.flush.as_deref()
    }

    /// The program for sockets that receive events. Compiled anew by each call.
    #[must_use]
    pub fn socket(&self) -> SocketFilter {
        SocketFilter::new(self.filter)
    }
}

/// What a kind of request can carry.
struct Request {
    tuples: bool,
    mark: bool,
    status: bool,
    zone: bool,
}

impl Request {
    const fn dump(capabilities: &Capabilities) -> Self {
        Self {
            tuples: capabilities.dump_tuple_filter,
            mark: capabilities.mark_filter,
            status: capabilities.status_filter,
            zone: capabilities.zone_filter,
        }
    }

    const fn flush(capabilities: &Capabilities) -> Self {
        Self { tuples: capabilities.flush_tuple_filter, ..Self::dump(capabilities) }
    }
}

/// The requests for both families, and whether they ask for no more than the filter.
fn requests(conjunctions: [(Family, Option<KernelConjunction>); 2], request: &Request) -> (Vec<KernelFilter>, bool) {
    let narrowed = conjunctions
        .map(|(family, conjunction)| (family, conjunction.map(|conjunction| evaluable(conjunction, request))));
    let exact = narrowed.iter().all(|(_, conjunction)| conjunction.is_none_or(|conjunction| !conjunction.wider));
    let filters: Vec<_> = narrowed
        .into_iter()
        .filter_map(|(family, conjunction)| conjunction.map(|conjunction| kernel_filter(family, &conjunction)))
        .collect();
    if let [ipv4, ipv6] = &*filters {
        let both = KernelFilter { family: Family::UNSPEC, ..*ipv4 };
        if !both.has_tuples() && both == (KernelFilter { family: Family::UNSPEC, ..*ipv6 }) {
            return (vec![both], exact);
        }
    }
    (filters, exact)
}

/// A flush by family is one by everything on a kernel that passes over the family.
fn can_flush(flush: &KernelFilter, capabilities: &Capabilities) -> bool {
    !flush.is_everything() && (flush.family() == Family::UNSPEC || flush.has_tuples() || capabilities.flush_family)
}

/// What the kernel evaluates right of a conjunction.
fn evaluable(mut conjunction: KernelConjunction, request: &Request) -> KernelConjunction {
    let protocol = conjunction.value(KernelField::Protocol).and_then(|number| u8::try_from(number).ok()).map(Protocol);
    // Ports of any other protocol, or without a protocol, are passed over.
    if !matches!(protocol, Some(Protocol::TCP | Protocol::UDP)) {
        conjunction = PORTS.into_iter().fold(conjunction, KernelConjunction::without);
    }
    if !matches!(protocol, Some(Protocol::ICMP | Protocol::ICMPV6)) {
        conjunction = [KernelField::IcmpType, KernelField::IcmpCode, KernelField::IcmpId]
            .into_iter()
            .fold(conjunction, KernelConjunction::without);
    }
    // Of a type that has no answer the kernel tracks no flow, and refuses to filter by it.
    if !conjunction.value(KernelField::IcmpType).is_some_and(|icmp_type| is_query(protocol, icmp_type)) {
        conjunction = conjunction.without(KernelField::IcmpType);
    }
    if !request.tuples {
        conjunction = TUPLES.into_iter().chain(PORTS).fold(conjunction, KernelConjunction::without);
    }
    if !request.zone {
        conjunction = conjunction.without(KernelField::Zone);
    }
    if !request.mark {
        conjunction.wider |= conjunction.mark.mask != 0;
        conjunction.mark = Masked::default();
    }
    if !request.status {
        conjunction.wider |= conjunction.status.mask != 0;
        conjunction.status = Masked::default();
    }
    conjunction
}

const PORTS: [KernelField; 4] = [
    KernelField::OriginalSourcePort,
    KernelField::OriginalDestinationPort,
    KernelField::ReplySourcePort,
    KernelField::ReplyDestinationPort,
];

const TUPLES: [KernelField; 8] = [
    KernelField::OriginalSource,
    KernelField::OriginalDestination,
    KernelField::ReplySource,
    KernelField::ReplyDestination,
    KernelField::Protocol,
    KernelField::IcmpType,
    KernelField::IcmpCode,
    KernelField::IcmpId,
];

/// Whether the type is in the kernel's table of queries and answers (`invmap`).
const fn is_query(protocol: Option<Protocol>, icmp_type: u32) -> bool {
    match protocol {
        Some(Protocol::ICMP) => matches!(icmp_type, 0 | 8 | 13..=18),
        Some(Protocol::ICMPV6) => matches!(icmp_type, 128 | 129 | 139 | 140),
        _ => false,
    }
}

fn kernel_filter(family: Family, conjunction: &KernelConjunction) -> KernelFilter {
    let address = |part| conjunction.value(part).map(Ipv4Addr::from_bits);
    let port = |part| conjunction.value(part).and_then(|port| u16::try_from(port).ok());
    let byte = |part| conjunction.value(part).and_then(|number| u8::try_from(number).ok());
    let protocol = byte(KernelField::Protocol).map(Protocol);
    let layer4 = |ports, query| {
        protocol.map(|protocol| match protocol {
            Protocol::TCP => Layer4Filter::Tcp(ports),
            Protocol::UDP => Layer4Filter::Udp(ports),
            Protocol::ICMP => Layer4Filter::Icmp(query),
            Protocol::ICMPV6 => Layer4Filter::Icmpv6(query),
            other => Layer4Filter::Any(other),
        })
    };
    let reply_ports =
        PortFilter { source: port(KernelField::ReplySourcePort), destination: port(KernelField::ReplyDestinationPort) };
    let bits = |bits: Masked| (bits.mask != 0).then_some(bits);
    KernelFilter {
        family,
        original: TupleFilter {
            source: address(KernelField::OriginalSource),
            destination: address(KernelField::OriginalDestination),
            layer4: layer4(
                PortFilter {
                    source: port(KernelField::OriginalSourcePort),
                    destination: port(KernelField::OriginalDestinationPort),
                },
                QueryFilter {
                    icmp_type: byte(KernelField::IcmpType),
                    code: byte(KernelField::IcmpCode),
                    id: port(KernelField::IcmpId),
                },
            ),
        },
        reply: TupleFilter {
            source: address(KernelField::ReplySource),
            destination: address(KernelField::ReplyDestination),
            // The protocol is that of the original tuple: it is only repeated where a port asks for it.
            layer4: layer4(reply_ports, QueryFilter::default()).filter(|_| reply_ports != PortFilter::default()),
        },
        mark: bits(conjunction.mark),
        status: bits(conjunction.status),
        zone: port(KernelField::Zone),
    }
}

impl Display for Plan<'_> {
    /// Prints what runs where: what the kernel selects in dumps; if that is more than the filter, what is left to
    /// userspace; what the kernel selects in flushes; what the socket does.
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
