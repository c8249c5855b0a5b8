//! The kernel's evaluation of a filtered dump or flush, including its bugs.
//!
//! Follows `ctnetlink_alloc_filter` and `ctnetlink_filter_match` in `net/netfilter/nf_conntrack_netlink.c`.

use core::net::IpAddr;

use super::{
    flow::{FlowEntry, RawTuple},
    release::Release,
};
use crate::{
    error::Errno,
    model::{Direction, Family, Protocol},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST,
        CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_MARK, CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE,
        CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE,
        CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO,
        CTA_TUPLE_REPLY, CTA_TUPLE_ZONE, CTA_ZONE,
    },
};

/// The filter of a dump or flush.
#[derive(Clone, Debug)]
pub(super) struct FlowFilter {
    family: Family,
    mark: MaskedValue,
    status: MaskedValue,
    zone: Option<u16>,
    original: TupleSelector,
    reply: TupleSelector,
}

/// A value and a mask. The default selects everything.
#[derive(Clone, Copy, Debug, Default)]
struct MaskedValue {
    value: u32,
    mask: u32,
}

impl MaskedValue {
    const fn selects(self, bits: u32) -> bool {
        bits & self.mask == self.value
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct TupleSelector {
    flags: u32,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: u8,
    ports: [u16; 2],
    /// Type, code and identifier of ICMP, and the same of ICMPv6.
    queries: [[u16; 3]; 2],
}

/// The bit numbers of the flags of `CTA_FILTER`.
mod flag {
    pub(super) const SOURCE: u32 = 0;
    pub(super) const DESTINATION: u32 = 1;
    pub(super) const ZONE: u32 = 2;
    pub(super) const PROTOCOL: u32 = 3;
    pub(super) const SOURCE_PORT: u32 = 4;
    pub(super) const DESTINATION_PORT: u32 = 5;
    pub(super) const ICMP: u32 = 6;
    pub(super) const ICMPV6: u32 = 9;
    pub(super) const UNKNOWN: u32 = !0 << 12;
    /// Flags that require a protocol.
    pub(super) const OF_PROTOCOL: u32 = 0xff0;
}

impl FlowFilter {
    /// Reads the filter of a request. Returns `None` if it selects everything.
    pub(super) fn read(family: Family, attributes: Attributes<'_>, release: Release) -> Result<Option<Self>, Errno> {
        let find = |number| attributes.find(number);
        let knows_status = release >= Release::STATUS_FILTER;
        let mark = find(CTA_MARK).filter(|_| knows_status || find(CTA_MARK_MASK).is_some());
        let status = find(CTA_STATUS).filter(|_| knows_status);
        let zone = find(CTA_ZONE).filter(|_| release >= Release::ZONE_FILTER);
        let flags = find(CTA_FILTER);
        if family == Family::UNSPEC && mark.is_none() && status.is_none() && zone.is_none() && flags.is_none() {
            return Ok(None);
        }
        let mut filter = Self {
            family,
            mark: MaskedValue::default(),
            status: MaskedValue::default(),
            zone: zone.map(word16).transpose()?,
            original: TupleSelector::default(),
            reply: TupleSelector::default(),
        };
        if let Some(mark) = mark {
            let mask = find(CTA_MARK_MASK).map_or(Ok(u32::MAX), word32)?;
            filter.mark = MaskedValue { value: word32(mark)?, mask };
        } else if knows_status && find(CTA_MARK_MASK).is_some() {
            return Err(Errno::EINVAL);
        }
        if let Some(status) = status {
            let value = word32(status)?;
            let mask = find(CTA_STATUS_MASK).map_or(Ok(value), word32)?;
            filter.status = MaskedValue { value, mask };
            if mask == 0 {
                return Err(Errno::EINVAL);
            }
        } else if knows_status && find(CTA_STATUS_MASK).is_some() {
            return Err(Errno::EINVAL);
        }
        if let Some(flags) = flags {
            filter.read_tuples(flags, attributes, release)?;
        }
        Ok(Some(filter))
    }

    fn read_tuples(&mut self, flags: Attribute<'_>, attributes: Attributes<'_>, release: Release) -> Result<(), Errno> {
        if !flags.is_nested() {
            return Err(Errno::EINVAL);
        }
        let flags_of = |number| match flags.nested(AttributeSet::Filter).find(number) {
            None => Ok(0),
            Some(flags) => match flags.u32_host().map_err(|_| Errno::ERANGE)? {
                flags if flags & flag::UNKNOWN != 0 && release < Release::RANGE_CHECKS => Err(Errno::EOPNOTSUPP),
                flags if flags & flag::UNKNOWN != 0 => Err(Errno::EINVAL),
                flags => Ok(flags),
            },
        };
        let (original, reply) = (flags_of(CTA_FILTER_ORIG_FLAGS)?, flags_of(CTA_FILTER_REPLY_FLAGS)?);
        let zone = self.zone.unwrap_or(0);
        let read = |flags, number| match attributes.find(number) {
            _ if flags == 0 => Ok(TupleSelector::default()),
            None => Err(Errno::EINVAL),
            Some(tuple) => TupleSelector::read(tuple.nested(AttributeSet::Tuple), flags, self.family, zone),
        };
        (self.original, self.reply) = (read(original, CTA_TUPLE_ORIG)?, read(reply, CTA_TUPLE_REPLY)?);
        Ok(())
    }

    /// Returns true if the filter selects the flow.
    pub(super) fn selects(&self, flow: &FlowEntry) -> bool {
        (self.family == Family::UNSPEC || self.family == flow.family())
            // The kernel ignores which directions the zone of the flow applies to.
            && self.zone.is_none_or(|zone| zone == flow.zone.id)
            && self.original.selects(flow.tuple(Direction::Original))
            && self.reply.selects(flow.tuple(Direction::Reply))
            && self.mark.selects(flow.mark)
            && self.status.selects(flow.status.bits())
    }
}

impl TupleSelector {
    fn read(tuple: Attributes<'_>, flags: u32, family: Family, zone: u16) -> Result<Self, Errno> {
        let flagged = |place: u32| flags & 1 << place != 0;
        if !matches!(family, Family::IPV4 | Family::IPV6) {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags & flag::OF_PROTOCOL != 0 && !flagged(flag::PROTOCOL) {
            return Err(Errno::EINVAL);
        }
        let addresses = tuple.find(CTA_TUPLE_IP).map(|nest| nest.nested(AttributeSet::TupleIp));
        let address = |place, v4, v6| match addresses {
            _ if !flagged(place) => Ok(None),
            Some(nest) => read_address(nest, family, v4, v6).map(Some),
            None => Err(Errno::EINVAL),
        };
        let keys = tuple.find(CTA_TUPLE_PROTO).map(|nest| nest.nested(AttributeSet::TupleProtocol));
        let key = |place, number| match keys.and_then(|keys| keys.find(number)) {
            _ if !flagged(place) => Ok(0),
            Some(key) => Ok(key.payload().iter().fold(0_u16, |value, byte| value << 8 | u16::from(*byte))),
            None => Err(Errno::EINVAL),
        };
        let query = |first, [icmp_type, code, id]: [u16; 3]| -> Result<[u16; 3], Errno> {
            Ok([key(first, icmp_type)?, key(first + 1, code)?, key(first + 2, id)?])
        };
        let filter = Self {
            flags,
            source: address(flag::SOURCE, CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
            destination: address(flag::DESTINATION, CTA_IP_V4_DST, CTA_IP_V6_DST)?,
            protocol: key(flag::PROTOCOL, CTA_PROTO_NUM)? as u8,
            ports: [key(flag::SOURCE_PORT, CTA_PROTO_SRC_PORT)?, key(flag::DESTINATION_PORT, CTA_PROTO_DST_PORT)?],
            queries: [
                query(flag::ICMP, [CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID])?,
                query(flag::ICMPV6, [CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID])?,
            ],
        };
        filter.check_query_type(flagged(flag::ICMP), flagged(flag::ICMPV6))?;
        // The kernel checks the zone of a tuple but does not compare it.
        let has_zone = flagged(flag::ZONE) && tuple.find(CTA_TUPLE_ZONE).is_some();
        if has_zone && zone != 0 { Err(Errno::EINVAL) } else { Ok(filter) }
    }

    fn check_query_type(&self, icmp: bool, icmpv6: bool) -> Result<(), Errno> {
        let [[icmp_type, ..], [icmpv6_type, ..]] = self.queries;
        let is_query = (!icmp || matches!(icmp_type, 0 | 8 | 13..=18))
            && (!icmpv6 || matches!(icmpv6_type, 128 | 129 | 139 | 140));
        if is_query { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn selects(&self, tuple: &RawTuple) -> bool {
        let flagged = |place: u32| self.flags & 1 << place != 0;
        let address = |wanted: Option<IpAddr>, address: IpAddr| match wanted {
            None => true,
            // The kernel's bug: `!ipv6_addr_cmp()` is true for equal addresses, and then the flow is skipped.
            Some(IpAddr::V6(_)) => wanted != Some(address),
            Some(IpAddr::V4(_)) => wanted == Some(address),
        };
        let equal = |place, same: bool| !flagged(place) || same;
        let query = |first, [icmp_type, code, id]: [u16; 3]| {
            let [tuple_type, tuple_code] = tuple.destination_part.to_be_bytes();
            equal(first, icmp_type == u16::from(tuple_type))
                && equal(first + 1, code == u16::from(tuple_code))
                && equal(first + 2, id == tuple.source_part)
        };
        let [icmp, icmpv6] = self.queries;
        address(self.source, tuple.source)
            && address(self.destination, tuple.destination)
            && equal(flag::PROTOCOL, self.protocol == tuple.protocol.0)
            && match tuple.protocol {
                Protocol::TCP | Protocol::UDP => {
                    equal(flag::SOURCE_PORT, self.ports.first() == Some(&tuple.source_part))
                        && equal(flag::DESTINATION_PORT, self.ports.last() == Some(&tuple.destination_part))
                }
                Protocol::ICMP => query(flag::ICMP, icmp),
                Protocol::ICMPV6 => query(flag::ICMPV6, icmpv6),
                // The kernel compares no ports of other protocols.
                _ => true,
            }
    }
}

fn read_address(nest: Attributes<'_>, family: Family, v4: u16, v6: u16) -> Result<IpAddr, Errno> {
    let find = |number| nest.find(number).ok_or(Errno::EINVAL);
    Ok(if family == Family::IPV4 {
        IpAddr::from(*find(v4)?.array::<4>().map_err(|_| Errno::ERANGE)?)
    } else {
        IpAddr::from(*find(v6)?.array::<16>().map_err(|_| Errno::ERANGE)?)
    })
}

fn word32(attribute: Attribute<'_>) -> Result<u32, Errno> {
    attribute.u32().map_err(|_| Errno::ERANGE)
}

fn word16(attribute: Attribute<'_>) -> Result<u16, Errno> {
    attribute.u16().map_err(|_| Errno::ERANGE)
}
