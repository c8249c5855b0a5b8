//! The filter of somebody's request, from the wire.

use core::net::Ipv4Addr;

use super::{KernelFilter, Layer4Filter, Masked, PortFilter, QueryFilter, TupleFilter};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    macros::read_attributes,
    model::{Family, Protocol},
    wire::{
        Attribute, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST, CTA_IP_V4_SRC,
        CTA_MARK, CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE,
        CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT,
        CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_ZONE, Nest,
    },
};

impl KernelFilter {
    /// Reads the filter of a dump or flush. One that this crate never sends, since kernels evaluate it wrongly, is an
    /// error: an IPv6 address, a zone of a tuple, ports of other protocols than TCP and UDP.
    pub(crate) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TUPLE_ORIG => original = PartialTuple::read,
            CTA_TUPLE_REPLY => reply = PartialTuple::read,
            CTA_MARK => mark = Attribute::u32,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_STATUS => status = Attribute::u32,
            CTA_STATUS_MASK => status_mask = Attribute::u32,
            CTA_ZONE => zone = Attribute::u16,
            CTA_FILTER => flags = |nest: Attribute<'_>| nest.walk(Nest::Filter, walk_flags),
        );
        let (original_flags, reply_flags) = flags.unwrap_or_default();
        let compared = |tuple: Option<PartialTuple>, flags, number| {
            let unsendable = DecodeErrorKind::Value("a filter that kernels evaluate wrongly, or incomplete");
            let compared = tuple.unwrap_or_default().compared(flags);
            compared.ok_or_else(|| DecodeError::in_attribute(unsendable, Nest::Flow, number, 0))
        };
        Ok(Self {
            family,
            original: compared(original, original_flags, CTA_TUPLE_ORIG)?,
            reply: compared(reply, reply_flags, CTA_TUPLE_REPLY)?,
            mark: mark.map(|value| Masked { value, mask: mark_mask.unwrap_or(u32::MAX) }),
            status: status.map(|value| Masked { value, mask: status_mask.unwrap_or(value) }),
            zone,
        })
    }
}

fn walk_flags(attributes: Attributes<'_>) -> Result<(u32, u32), DecodeError> {
    read_attributes!(attributes;
        CTA_FILTER_ORIG_FLAGS => original = Attribute::u32_host,
        CTA_FILTER_REPLY_FLAGS => reply = Attribute::u32_host,
    );
    Ok((original.unwrap_or(0), reply.unwrap_or(0)))
}

/// What a tuple of a filter says, whether or not it is compared.
#[derive(Clone, Copy, Default)]
struct PartialTuple {
    addresses: (Option<Ipv4Addr>, Option<Ipv4Addr>),
    layer4: PartialLayer4,
}

#[derive(Clone, Copy, Default)]
struct PartialLayer4 {
    protocol: Option<Protocol>,
    ports: PortFilter,
    icmp: QueryFilter,
    icmpv6: QueryFilter,
}

impl PartialTuple {
    fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(Nest::Tuple, |attributes| {
            read_attributes!(attributes;
                CTA_TUPLE_IP => addresses = |nest: Attribute<'_>| nest.walk(Nest::TupleIp, walk_addresses),
                CTA_TUPLE_PROTO => layer4 = |nest: Attribute<'_>| nest.walk(Nest::TupleProtocol, PartialLayer4::walk),
            );
            Ok(Self { addresses: addresses.unwrap_or_default(), layer4: layer4.unwrap_or_default() })
        })
    }

    /// What of it the flags compare; `None` where a part is missing that is to be compared, or may not be.
    fn compared(self, flags: u32) -> Option<TupleFilter> {
        let (source, destination) = self.addresses;
        let filter = TupleFilter {
            source: source.filter(|_| flags & 1 != 0),
            destination: destination.filter(|_| flags & 2 != 0),
            layer4: if flags & 8 != 0 { Some(self.layer4.compared(flags)?) } else { None },
        };
        (filter.flags() == flags).then_some(filter)
    }
}

impl PartialLayer4 {
    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_PROTO_NUM => protocol = Attribute::u8,
            CTA_PROTO_SRC_PORT => source = Attribute::u16,
            CTA_PROTO_DST_PORT => destination = Attribute::u16,
            CTA_PROTO_ICMP_TYPE => icmp_type = Attribute::u8,
            CTA_PROTO_ICMP_CODE => icmp_code = Attribute::u8,
            CTA_PROTO_ICMP_ID => icmp_id = Attribute::u16,
            CTA_PROTO_ICMPV6_TYPE => icmpv6_type = Attribute::u8,
            CTA_PROTO_ICMPV6_CODE => icmpv6_code = Attribute::u8,
            CTA_PROTO_ICMPV6_ID => icmpv6_id = Attribute::u16,
        );
        Ok(Self {
            protocol: protocol.map(Protocol),
            ports: PortFilter { source, destination },
            icmp: QueryFilter { icmp_type, code: icmp_code, id: icmp_id },
            icmpv6: QueryFilter { icmp_type: icmpv6_type, code: icmpv6_code, id: icmpv6_id },
        })
    }

    fn compared(self, flags: u32) -> Option<Layer4Filter> {
        let compared = |bit: u32| flags & (1 << bit) != 0;
        let ports = PortFilter {
            source: self.ports.source.filter(|_| compared(4)),
            destination: self.ports.destination.filter(|_| compared(5)),
        };
        let query = |query: QueryFilter, first: u32| QueryFilter {
            icmp_type: query.icmp_type.filter(|_| compared(first)),
            code: query.code.filter(|_| compared(first + 1)),
            id: query.id.filter(|_| compared(first + 2)),
        };
        Some(match self.protocol? {
            Protocol::TCP => Layer4Filter::Tcp(ports),
            Protocol::UDP => Layer4Filter::Udp(ports),
            Protocol::ICMP => Layer4Filter::Icmp(query(self.icmp, 6)),
            Protocol::ICMPV6 => Layer4Filter::Icmpv6(query(self.icmpv6, 9)),
            other => Layer4Filter::Any(other),
        })
    }
}

fn walk_addresses(attributes: Attributes<'_>) -> Result<(Option<Ipv4Addr>, Option<Ipv4Addr>), DecodeError> {
    read_attributes!(attributes;
        CTA_IP_V4_SRC => source = Attribute::u32,
        CTA_IP_V4_DST => destination = Attribute::u32,
    );
    Ok((source.map(Ipv4Addr::from_bits), destination.map(Ipv4Addr::from_bits)))
}
