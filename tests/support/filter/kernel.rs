//! The kernel's own evaluation of a filtered dump or flush: `ctnetlink_alloc_filter` and `ctnetlink_filter_match` of
//! Linux 6.18, with its bugs.
//!
//! It evaluates filters for any combination of capabilities and for flows that no request can create, and it panics if the
//! kernel would refuse or ignore a part of a filter. The fake kernel imitates releases instead. `tests/filter/kernels.rs`
//! compares the two.

use std::net::IpAddr;

use ctnetlink::{
    Family, Flow, Layer4, Protocol, Tuple,
    filter::{Capabilities, KernelFilter, Plan},
    wire::{
        AttributeSet, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST,
        CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_MARK, CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE,
        CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE,
        CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO,
        CTA_TUPLE_REPLY, CTA_ZONE, Encoder, Flags, MessageType,
    },
};

use super::messages::message;

/// A request as the kernel understands it.
#[derive(Debug)]
pub(crate) struct Request {
    family: Family,
    mark: Option<(u32, u32)>,
    status: Option<(u32, u32)>,
    zone: Option<u16>,
    original: Selector,
    reply: Selector,
}

#[derive(Debug, Default)]
struct Selector {
    flags: u32,
    source: Vec<u8>,
    destination: Vec<u8>,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    icmp: (u8, u8, u16),
    icmpv6: (u8, u8, u16),
}

impl Request {
    /// Reads the request. Panics if the kernel would refuse it or ignore an unknown attribute.
    pub(crate) fn receive(filter: &KernelFilter, capabilities: &Capabilities, tuple_filter: bool) -> Self {
        let mut buffer = [0; 512];
        let mut encoder = Encoder::new(&mut buffer);
        encoder.message(MessageType::FLOW_GET, Flags::DUMP, 0, filter.family(), |body| filter.encode(body));
        let length = encoder.finish().unwrap();
        let message = message(&buffer[..length]);
        let attributes = message.netfilter().unwrap().attributes(AttributeSet::Flow);
        let word = |number| attributes.find(number).map(|attribute| attribute.u32().unwrap());
        let filter_nest = attributes.find(CTA_FILTER);
        let flags = |number| {
            let nest = filter_nest.as_ref().map(|nest| nest.nested(AttributeSet::Filter));
            nest.and_then(|nest| nest.find(number)).map_or(0, |flags| flags.u32_host().unwrap())
        };
        let select = |number, flags| {
            let tuple = attributes.find(number).map(|tuple| tuple.nested(AttributeSet::Tuple));
            assert!(flags != 0 || tuple.is_none(), "a tuple without flags would be a lookup");
            assert!(flags == 0 || matches!(filter.family(), Family::IPV4 | Family::IPV6), "EOPNOTSUPP");
            Selector::receive(tuple, flags, filter.family())
        };
        assert!(filter_nest.is_none() || tuple_filter, "CTA_FILTER passed over");
        assert!(filter_nest.as_ref().is_none_or(|nest| nest.is_nested()), "EINVAL: CTA_FILTER not marked as a nest");
        let request = Self {
            family: filter.family(),
            mark: word(CTA_MARK).map(|mark| (mark, word(CTA_MARK_MASK).unwrap())),
            status: word(CTA_STATUS).map(|status| (status, word(CTA_STATUS_MASK).unwrap_or(status))),
            zone: attributes.find(CTA_ZONE).map(|zone| zone.u16().unwrap()),
            original: select(CTA_TUPLE_ORIG, flags(CTA_FILTER_ORIG_FLAGS)),
            reply: select(CTA_TUPLE_REPLY, flags(CTA_FILTER_REPLY_FLAGS)),
        };
        assert!(request.status.is_none_or(|(_, mask)| mask != 0), "EINVAL: status mask 0");
        assert!(request.mark.is_none() || capabilities.mark_filter, "CTA_MARK passed over");
        assert!(request.status.is_none() || capabilities.status_filter, "CTA_STATUS passed over");
        assert!(request.zone.is_none() || capabilities.zone_filter, "CTA_ZONE passed over");
        request
    }

    /// The flags of `CTA_FILTER`.
    pub(crate) fn flags(&self) -> (u32, u32) {
        (self.original.flags, self.reply.flags)
    }

    /// `ctnetlink_filter_match`.
    pub(crate) fn selects(&self, flow: &Flow, zone: u16) -> bool {
        let masked = |wanted: Option<(u32, u32)>, bits: u32| wanted.is_none_or(|(value, mask)| bits & mask == value);
        (self.family == Family::UNSPEC || self.family == flow.family())
            && masked(self.mark, flow.mark.unwrap())
            && masked(self.status, flow.status.unwrap().bits())
            // `nf_ct_zone_equal_any`: the directions of the zone do not matter.
            && self.zone.is_none_or(|wanted| wanted == zone)
            && self.original.selects(&flow.original)
            && self.reply.selects(&flow.reply)
    }
}

impl Selector {
    fn receive(tuple: Option<Attributes<'_>>, flags: u32, family: Family) -> Self {
        if flags == 0 {
            return Self::default();
        }
        let tuple = tuple.expect("EINVAL: flags without a tuple");
        let nest = |number, kind| tuple.find(number).map(|nest| nest.nested(kind));
        let (ip, proto) =
            (nest(CTA_TUPLE_IP, AttributeSet::TupleIp), nest(CTA_TUPLE_PROTO, AttributeSet::TupleProtocol));
        let flagged = |place: u32| flags & 1 << place != 0;
        assert!(flags < 1 << 12, "EINVAL: flag unknown");
        assert!(flags & 0xff0 == 0 || flagged(3), "EINVAL: a key without a protocol");
        let address = |place, v4, v6| {
            let Some(ip) = ip.as_ref().filter(|_| flagged(place)) else {
                assert!(!flagged(place), "EINVAL: no address");
                return Vec::new();
            };
            ip.find(if family == Family::IPV4 { v4 } else { v6 }).expect("EINVAL: no address").payload().to_vec()
        };
        let number = |place, number| {
            if !flagged(place) {
                return 0;
            }
            let attribute = proto.as_ref().and_then(|proto| proto.find(number)).expect("EINVAL: no such key");
            attribute.payload().iter().fold(0_u16, |value, byte| value << 8 | u16::from(*byte))
        };
        let query = |first, [icmp_type, code, id]: [u16; 3]| {
            (number(first, icmp_type) as u8, number(first + 1, code) as u8, number(first + 2, id))
        };
        let selector = Self {
            flags,
            source: address(0, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
            destination: address(1, CTA_IP_V4_DST, CTA_IP_V6_DST),
            protocol: number(3, CTA_PROTO_NUM) as u8,
            source_port: number(4, CTA_PROTO_SRC_PORT),
            destination_port: number(5, CTA_PROTO_DST_PORT),
            icmp: query(6, [CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID]),
            icmpv6: query(9, [CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID]),
        };
        assert!(!flagged(6) || matches!(selector.icmp.0, 0 | 8 | 13..=18), "EINVAL: no query type");
        assert!(!flagged(9) || matches!(selector.icmpv6.0, 128 | 129 | 139 | 140), "EINVAL: no query type");
        selector
    }

    /// `ctnetlink_filter_match_tuple`.
    fn selects(&self, tuple: &Tuple) -> bool {
        let flagged = |place: u32| self.flags & 1 << place != 0;
        let address = |place, wanted: &[u8], address: IpAddr| {
            !flagged(place)
                || match address {
                    IpAddr::V4(address) => wanted == address.octets(),
                    // The kernel's bug: `!ipv6_addr_cmp()` is true if the addresses are equal.
                    IpAddr::V6(address) => wanted != address.octets(),
                }
        };
        let equal = |place, same: bool| !flagged(place) || same;
        address(0, &self.source, tuple.source)
            && address(1, &self.destination, tuple.destination)
            && equal(3, self.protocol == tuple.protocol.0)
            && match (tuple.protocol, tuple.layer4) {
                (Protocol::TCP | Protocol::UDP, Layer4::Ports { source, destination }) => {
                    equal(4, self.source_port == source) && equal(5, self.destination_port == destination)
                }
                (Protocol::ICMP, Layer4::Icmp { icmp_type, code, id }) => {
                    equal(6, self.icmp.0 == icmp_type) && equal(7, self.icmp.1 == code) && equal(8, self.icmp.2 == id)
                }
                (Protocol::ICMPV6, Layer4::Icmp { icmp_type, code, id }) => {
                    equal(9, self.icmpv6.0 == icmp_type)
                        && equal(10, self.icmpv6.1 == code)
                        && equal(11, self.icmpv6.2 == id)
                }
                // The kernel ignores the ports of other protocols.
                _ => true,
            }
    }
}

/// The dumps of a plan select every matching flow once, and no other flow if the plan is exact.
pub(crate) fn dumps_return_the_matches(
    plan: &Plan<'_>,
    known: &Capabilities,
    (flow, zone): (&Flow, u16),
    matches: bool,
) {
    let selects = |dump| Request::receive(dump, known, known.dump_tuple_filter).selects(flow, zone);
    let selected = plan.dumps().iter().filter(|dump| selects(*dump)).count();
    assert!(selected <= 1, "{plan}");
    assert!(selected == 1 || !matches, "{plan} misses {flow:?}");
    assert!(!plan.is_exact() || (selected == 1) == matches, "{plan} is not exact: {flow:?}");
}

/// The flushes of a plan delete exactly the matching flows.
pub(crate) fn flushes_delete_the_matches(
    plan: &Plan<'_>,
    known: &Capabilities,
    (flow, zone): (&Flow, u16),
    matches: bool,
) {
    let Some(flushes) = plan.flush() else { return };
    assert!(!flushes.is_empty() && flushes.iter().all(|flush| !flush.is_everything()), "{plan}");
    // A kernel that knows neither flushes everything.
    let knows_families = known.flush_family || known.flush_tuple_filter;
    assert!(knows_families || flushes.iter().all(|flush| flush.family() == Family::UNSPEC), "{plan}");
    let selects = |flush| Request::receive(flush, known, known.flush_tuple_filter).selects(flow, zone);
    assert_eq!(flushes.iter().any(selects), matches, "{plan}: {flow:?}");
}
