//! What a dump or a flush can carry for the kernel to select by.

mod decode;

use core::{
    fmt::{self, Display, Formatter},
    net::Ipv4Addr,
};

use super::{expression::Masked, text::write_status};
use crate::{
    model::{Family, Protocol},
    wire::{
        CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_MARK,
        CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE,
        CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT,
        CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_ZONE, Encoder,
    },
};

/// What the kernel is asked to select by, in a dump or a flush.
///
/// Comes out of a [`Plan`](super::Plan), and so holds nothing that the kernel refuses, passes over or gets wrong: no
/// IPv6 address (it would select all others), no port but of TCP and UDP, no status with an empty mask.
///
/// Source: `ctnetlink_alloc_filter` and `ctnetlink_filter_match` in `net/netfilter/nf_conntrack_netlink.c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelFilter {
    pub(super) family: Family,
    /// Only with IPv4 as family if it has addresses, and IPv4 or IPv6 if it has anything.
    pub(super) original: TupleFilter,
    pub(super) reply: TupleFilter,
    pub(super) mark: Option<Masked>,
    pub(super) status: Option<Masked>,
    pub(super) zone: Option<u16>,
}

/// The parts of a tuple that are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TupleFilter {
    pub(super) source: Option<Ipv4Addr>,
    pub(super) destination: Option<Ipv4Addr>,
    pub(super) layer4: Option<Layer4Filter>,
}

/// The protocol, and what is compared of what it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Layer4Filter {
    Any(Protocol),
    Tcp(PortFilter),
    Udp(PortFilter),
    Icmp(QueryFilter),
    Icmpv6(QueryFilter),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PortFilter {
    pub(super) source: Option<u16>,
    pub(super) destination: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct QueryFilter {
    pub(super) icmp_type: Option<u8>,
    pub(super) code: Option<u8>,
    pub(super) id: Option<u16>,
}

impl KernelFilter {
    /// Every flow of a family.
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        const NOTHING: TupleFilter = TupleFilter { source: None, destination: None, layer4: None };
        Self { family, original: NOTHING, reply: NOTHING, mark: None, status: None, zone: None }
    }

    /// The family for the header of the request. A flush needs version 1 with it.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether everything is selected: a flush by this would empty the table.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether parts of the tuples are compared, so that the request carries `CTA_FILTER`.
    pub(super) fn has_tuples(&self) -> bool {
        !self.original.is_empty() || !self.reply.is_empty()
    }

    /// Writes the attributes of the request.
    pub fn encode(&self, encoder: &mut Encoder<'_>) {
        for (number, tuple) in [(CTA_TUPLE_ORIG, &self.original), (CTA_TUPLE_REPLY, &self.reply)] {
            if !tuple.is_empty() {
                encoder.nest(number, |nest| tuple.encode(nest));
            }
        }
        if let Some(mark) = self.mark {
            encoder.u32(CTA_MARK, mark.value);
            encoder.u32(CTA_MARK_MASK, mark.mask);
        }
        if let Some(status) = self.status {
            encoder.u32(CTA_STATUS, status.value);
            encoder.u32(CTA_STATUS_MASK, status.mask);
        }
        if let Some(zone) = self.zone {
            encoder.u16(CTA_ZONE, zone);
        }
        if self.has_tuples() {
            encoder.nest(CTA_FILTER, |nest| {
                nest.u32_host(CTA_FILTER_ORIG_FLAGS, self.original.flags());
                nest.u32_host(CTA_FILTER_REPLY_FLAGS, self.reply.flags());
            });
        }
    }
}

impl TupleFilter {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `CTA_FILTER_FLAG` of each part that is compared.
    fn flags(&self) -> u32 {
        let flag = |present: bool, place: u32| u32::from(present) << place;
        let addresses = flag(self.source.is_some(), 0) | flag(self.destination.is_some(), 1);
        let query = |query: QueryFilter, first: u32| {
            flag(query.icmp_type.is_some(), first)
                | flag(query.code.is_some(), first + 1)
                | flag(query.id.is_some(), first + 2)
        };
        let layer4 = match self.layer4 {
            None | Some(Layer4Filter::Any(_)) => 0,
            Some(Layer4Filter::Tcp(ports) | Layer4Filter::Udp(ports)) => {
                flag(ports.source.is_some(), 4) | flag(ports.destination.is_some(), 5)
            }
            Some(Layer4Filter::Icmp(parts)) => query(parts, 6),
            Some(Layer4Filter::Icmpv6(parts)) => query(parts, 9),
        };
        addresses | flag(self.layer4.is_some(), 3) | layer4
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        if self.source.is_some() || self.destination.is_some() {
            encoder.nest(CTA_TUPLE_IP, |ip| {
                for (number, address) in [(CTA_IP_V4_SRC, self.source), (CTA_IP_V4_DST, self.destination)] {
                    if let Some(address) = address {
                        ip.u32(number, address.to_bits());
                    }
                }
            });
        }
        if let Some(layer4) = self.layer4 {
            encoder.nest(CTA_TUPLE_PROTO, |nest| layer4.encode(nest));
        }
    }
}

impl Layer4Filter {
    const fn protocol(self) -> Protocol {
        match self {
            Self::Any(protocol) => protocol,
            Self::Tcp(_) => Protocol::TCP,
            Self::Udp(_) => Protocol::UDP,
            Self::Icmp(_) => Protocol::ICMP,
            Self::Icmpv6(_) => Protocol::ICMPV6,
        }
    }

    fn encode(self, nest: &mut Encoder<'_>) {
        nest.u8(CTA_PROTO_NUM, self.protocol().0);
        match self {
            Self::Any(_) => {}
            Self::Tcp(ports) | Self::Udp(ports) => {
                for (number, port) in [(CTA_PROTO_SRC_PORT, ports.source), (CTA_PROTO_DST_PORT, ports.destination)] {
                    if let Some(port) = port {
                        nest.u16(number, port);
                    }
                }
            }
            Self::Icmp(query) => query.encode([CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID], nest),
            Self::Icmpv6(query) => {
                query.encode([CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID], nest);
            }
        }
    }
}

impl QueryFilter {
    fn encode(self, [icmp_type, code, id]: [u16; 3], nest: &mut Encoder<'_>) {
        if let Some(value) = self.icmp_type {
            nest.u8(icmp_type, value);
        }
        if let Some(value) = self.code {
            nest.u8(code, value);
        }
        if let Some(value) = self.id {
            nest.u16(id, value);
        }
    }
}

impl Display for KernelFilter {
    /// Prints what is selected, in words: `ipv4, protocol tcp, original destination port 22, status !ASSURED`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::UNSPEC => f.write_str("all families")?,
            family => family.fmt(f)?,
        }
        if let Some(layer4) = self.original.layer4.or(self.reply.layer4) {
            write!(f, ", protocol {}", layer4.protocol())?;
        }
        self.original.write(f, "original")?;
        self.reply.write(f, "reply")?;
        if let Some(mark) = self.mark {
            write!(f, ", mark {mark}")?;
        }
        if let Some(status) = self.status {
            f.write_str(", status ")?;
            write_status(f, status)?;
        }
        match self.zone {
            Some(zone) => write!(f, ", zone {zone} in either direction"),
            None => Ok(()),
        }
    }
}

impl TupleFilter {
    fn write(&self, f: &mut Formatter<'_>, direction: &str) -> fmt::Result {
        let mut part = |name: &str, value: Option<&dyn Display>| match value {
            Some(value) => write!(f, ", {direction} {name} {value}"),
            None => Ok(()),
        };
        part("source", self.source.as_ref().map(|address| address as _))?;
        part("destination", self.destination.as_ref().map(|address| address as _))?;
        match self.layer4.as_ref() {
            None | Some(Layer4Filter::Any(_)) => Ok(()),
            Some(Layer4Filter::Tcp(ports) | Layer4Filter::Udp(ports)) => {
                part("source port", ports.source.as_ref().map(|port| port as _))?;
                part("destination port", ports.destination.as_ref().map(|port| port as _))
            }
            Some(Layer4Filter::Icmp(query) | Layer4Filter::Icmpv6(query)) => {
                part("type", query.icmp_type.as_ref().map(|icmp_type| icmp_type as _))?;
                part("code", query.code.as_ref().map(|code| code as _))?;
                part("identifier", query.id.as_ref().map(|id| id as _))
            }
        }
    }
}
