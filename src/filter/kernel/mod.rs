//! Filters that a dump or a flush carries for the kernel to evaluate.

mod conjunction;

use core::{
    fmt::{self, Debug, Display, Formatter},
    net::Ipv4Addr,
};

use super::text::write_status;
use crate::{
    model::{Family, Protocol},
    wire::{
        CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_MARK,
        CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE,
        CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT,
        CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_ZONE, Encoder,
    },
};

pub(super) use conjunction::{KernelConjunction, KernelField};

/// A filter in the form in which the kernel evaluates it, in a dump or a flush.
///
/// It comes from a [`Plan`](super::Plan), so it contains nothing that a kernel refuses, ignores or evaluates wrongly: no
/// IPv6 address (the kernel selects all other addresses), no ports except of TCP and UDP, no status with an empty
/// mask.
///
/// Source: `ctnetlink_alloc_filter` and `ctnetlink_filter_match` in `net/netfilter/nf_conntrack_netlink.c`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::Capabilities};
///
/// let filter: Filter = "family ipv4 and proto udp and dport 53".parse()?;
/// let plan = filter.plan(&Capabilities::linux(6, 12));
/// assert_eq!(plan.dumps()[0].to_string(), "ipv4, protocol udp, original destination port 53");
/// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct KernelFilter {
    pub(super) family: Family,
    /// Addresses only if the family is IPv4, and fields of tuples only if the family is IPv4 or IPv6. Whether it is
    /// wider than the filter that it comes from is not kept here.
    pub(super) compared: KernelConjunction,
}

/// The fields of one direction, in the order in which they are encoded.
struct DirectionFields {
    name: &'static str,
    tuple: u16,
    flags: u16,
    addresses: [KernelField; 2],
    layer4: &'static [KernelField],
}

const ORIGINAL: DirectionFields = DirectionFields {
    name: "original",
    tuple: CTA_TUPLE_ORIG,
    flags: CTA_FILTER_ORIG_FLAGS,
    addresses: [KernelField::OriginalSource, KernelField::OriginalDestination],
    layer4: &[
        KernelField::OriginalSourcePort,
        KernelField::OriginalDestinationPort,
        KernelField::IcmpType,
        KernelField::IcmpCode,
        KernelField::IcmpId,
    ],
};

const REPLY: DirectionFields = DirectionFields {
    name: "reply",
    tuple: CTA_TUPLE_REPLY,
    flags: CTA_FILTER_REPLY_FLAGS,
    addresses: [KernelField::ReplySource, KernelField::ReplyDestination],
    layer4: &[KernelField::ReplySourcePort, KernelField::ReplyDestinationPort],
};

/// Where a field of a tuple is encoded.
struct FieldEncoding {
    /// The attribute, in `CTA_TUPLE_IP` or `CTA_TUPLE_PROTO`.
    attribute: u16,
    /// The bit in the flags of `CTA_FILTER` that makes the kernel compare it.
    flag: u32,
    bytes: u8,
    name: &'static str,
}

impl FieldEncoding {
    const fn of(field: KernelField, protocol: Option<Protocol>) -> Self {
        let is_icmpv6 = matches!(protocol, Some(Protocol::ICMPV6));
        let (attribute, place, bytes, name) = match field {
            KernelField::OriginalSource | KernelField::ReplySource => (CTA_IP_V4_SRC, 0, 4, "source"),
            KernelField::OriginalDestination | KernelField::ReplyDestination => (CTA_IP_V4_DST, 1, 4, "destination"),
            KernelField::Protocol => (CTA_PROTO_NUM, 3, 1, "protocol"),
            KernelField::OriginalSourcePort | KernelField::ReplySourcePort => (CTA_PROTO_SRC_PORT, 4, 2, "source port"),
            KernelField::OriginalDestinationPort | KernelField::ReplyDestinationPort => {
                (CTA_PROTO_DST_PORT, 5, 2, "destination port")
            }
            KernelField::IcmpType if is_icmpv6 => (CTA_PROTO_ICMPV6_TYPE, 9, 1, "type"),
            KernelField::IcmpCode if is_icmpv6 => (CTA_PROTO_ICMPV6_CODE, 10, 1, "code"),
            KernelField::IcmpId if is_icmpv6 => (CTA_PROTO_ICMPV6_ID, 11, 2, "identifier"),
            KernelField::IcmpType => (CTA_PROTO_ICMP_TYPE, 6, 1, "type"),
            KernelField::IcmpCode => (CTA_PROTO_ICMP_CODE, 7, 1, "code"),
            KernelField::IcmpId => (CTA_PROTO_ICMP_ID, 8, 2, "identifier"),
            // Not a field of a tuple.
            KernelField::Zone => (CTA_ZONE, 31, 2, "zone"),
        };
        Self { attribute, flag: 1 << place, bytes, name }
    }
}

impl KernelFilter {
    /// Selects every flow of a family.
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        Self { family, compared: KernelConjunction::TRUE }
    }

    /// Returns the family for the header of the request. In a flush, the header needs version 1 with it.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns whether every flow is selected: a flush by this filter would empty the table.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether fields of the tuples are compared, for which the request carries `CTA_FILTER`.
    pub(super) fn has_tuples(&self) -> bool {
        self.flags(&ORIGINAL) | self.flags(&REPLY) != 0
    }

    /// Writes the attributes of the request.
    pub fn encode(&self, encoder: &mut Encoder<'_>) {
        for direction in [&ORIGINAL, &REPLY] {
            if self.flags(direction) != 0 {
                encoder.nest(direction.tuple, |nest| self.encode_tuple(direction, nest));
            }
        }
        let compared = &self.compared;
        if compared.mark.mask != 0 {
            encoder.u32(CTA_MARK, compared.mark.value);
            encoder.u32(CTA_MARK_MASK, compared.mark.mask);
        }
        if compared.status.mask != 0 {
            encoder.u32(CTA_STATUS, compared.status.value);
            encoder.u32(CTA_STATUS_MASK, compared.status.mask);
        }
        if let Some(zone) = compared.value(KernelField::Zone) {
            encoder.u16(CTA_ZONE, zone as u16);
        }
        if self.has_tuples() {
            encoder.nest(CTA_FILTER, |nest| {
                nest.u32_host(ORIGINAL.flags, self.flags(&ORIGINAL));
                nest.u32_host(REPLY.flags, self.flags(&REPLY));
            });
        }
    }

    fn encode_tuple(&self, direction: &DirectionFields, nest: &mut Encoder<'_>) {
        let mut nested = |number, fields: &mut dyn Iterator<Item = (FieldEncoding, u32)>| {
            let mut fields = fields.peekable();
            if fields.peek().is_none() {
                return;
            }
            nest.nest(number, |nest| {
                for (encoding, value) in fields {
                    match encoding.bytes {
                        1 => nest.u8(encoding.attribute, value as u8),
                        2 => nest.u16(encoding.attribute, value as u16),
                        _ => nest.u32(encoding.attribute, value),
                    }
                }
            });
        };
        nested(CTA_TUPLE_IP, &mut self.addresses(direction));
        nested(CTA_TUPLE_PROTO, &mut self.protocol_fields(direction).chain(self.layer4(direction)));
    }

    /// The `CTA_FILTER_FLAG`s of a direction: one for each field that is compared.
    fn flags(&self, direction: &DirectionFields) -> u32 {
        let fields = self.addresses(direction).chain(self.protocol_fields(direction)).chain(self.layer4(direction));
        fields.fold(0, |flags, (encoding, _)| flags | encoding.flag)
    }

    fn protocol(&self) -> Option<Protocol> {
        self.compared.value(KernelField::Protocol).map(|number| Protocol(number as u8))
    }

    /// The protocol belongs to the original tuple. The reply tuple repeats it if a port needs it.
    fn protocol_fields(&self, direction: &DirectionFields) -> impl Iterator<Item = (FieldEncoding, u32)> + use<> {
        let is_needed = direction.tuple == CTA_TUPLE_ORIG || self.layer4(direction).next().is_some();
        let number = self.compared.value(KernelField::Protocol).filter(|_| is_needed);
        number.map(|number| (FieldEncoding::of(KernelField::Protocol, None), number)).into_iter()
    }

    fn addresses(&self, direction: &DirectionFields) -> impl Iterator<Item = (FieldEncoding, u32)> {
        self.values(direction.addresses)
    }

    fn layer4(&self, direction: &DirectionFields) -> impl Iterator<Item = (FieldEncoding, u32)> {
        self.values(direction.layer4.iter().copied())
    }

    fn values(&self, fields: impl IntoIterator<Item = KernelField>) -> impl Iterator<Item = (FieldEncoding, u32)> {
        let protocol = self.protocol();
        let value = move |field| Some((FieldEncoding::of(field, protocol), self.compared.value(field)?));
        fields.into_iter().filter_map(value)
    }
}

impl Display for KernelFilter {
    /// Prints the selected flows in words: `ipv4, protocol tcp, original destination port 22, status !ASSURED`.
    ///
    /// The words may change in any release.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::UNSPEC => f.write_str("all families")?,
            family => Display::fmt(&family, f)?,
        }
        if let Some(protocol) = self.protocol() {
            write!(f, ", protocol {protocol}")?;
        }
        for direction in [&ORIGINAL, &REPLY] {
            for (encoding, address) in self.addresses(direction) {
                write!(f, ", {} {} {}", direction.name, encoding.name, Ipv4Addr::from_bits(address))?;
            }
            for (encoding, number) in self.layer4(direction) {
                write!(f, ", {} {} {number}", direction.name, encoding.name)?;
            }
        }
        if self.compared.mark.mask != 0 {
            write!(f, ", mark {}", self.compared.mark)?;
        }
        if self.compared.status.mask != 0 {
            f.write_str(", status ")?;
            write_status(f, self.compared.status)?;
        }
        match self.compared.value(KernelField::Zone) {
            Some(zone) => write!(f, ", zone {zone} in either direction"),
            None => Ok(()),
        }
    }
}

impl Debug for KernelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "KernelFilter({self})")
    }
}
