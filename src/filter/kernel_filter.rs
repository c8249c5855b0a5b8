//! Filters that a dump or a flush carries for the kernel to evaluate.
//!
//! The kernel evaluates a conjunction of exact comparisons. [`KernelConjunction`] is the strongest one that every flow of
//! the filter satisfies.

use core::{
    fmt::{self, Debug, Display, Formatter},
    net::Ipv4Addr,
};

use super::text::write_status;
use crate::{
    error::{DecodeError, DecodeErrorKind},
    filter::{
        expression::{Connective, Expression, Masked, Visit},
        fields::{AddressField, NumberField},
        lowering::{Leaf, Lowered},
    },
    macros::read_attributes,
    model::{Family, Protocol},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_IP_V4_DST,
        CTA_IP_V4_SRC, CTA_MARK, CTA_MARK_MASK, CTA_PROTO_DST_PORT, CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID,
        CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM,
        CTA_PROTO_SRC_PORT, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO,
        CTA_TUPLE_REPLY, CTA_ZONE, Encoder,
    },
};

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

/// A field that the kernel compares with one exact value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelField {
    OriginalSource,
    OriginalDestination,
    ReplySource,
    ReplyDestination,
    Protocol,
    OriginalSourcePort,
    OriginalDestinationPort,
    ReplySourcePort,
    ReplyDestinationPort,
    IcmpType,
    IcmpCode,
    IcmpId,
    Zone,
}

impl KernelField {
    /// Whether the kernel compares the field in tuples of this protocol. It ignores the others.
    pub(super) const fn is_compared_for(self, protocol: Option<Protocol>) -> bool {
        match self {
            Self::OriginalSourcePort
            | Self::OriginalDestinationPort
            | Self::ReplySourcePort
            | Self::ReplyDestinationPort => matches!(protocol, Some(Protocol::TCP | Protocol::UDP)),
            Self::IcmpType | Self::IcmpCode | Self::IcmpId => {
                matches!(protocol, Some(Protocol::ICMP | Protocol::ICMPV6))
            }
            _ => true,
        }
    }
}

const FIELDS: usize = KernelField::Zone as usize + 1;

/// A conjunction that every flow of a filter and a family satisfies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct KernelConjunction {
    values: [Option<u32>; FIELDS],
    /// Compares nothing if its mask is empty, like `status`.
    pub(super) mark: Masked,
    pub(super) status: Masked,
    /// Something was left out: flows outside the filter may satisfy this.
    pub(super) wider: bool,
}

/// The parts of a group, combined so far. `None` means that no flow satisfies them.
struct Combined {
    all: bool,
    parts: Option<KernelConjunction>,
}

impl Combined {
    /// A group without parts: every flow satisfies all of none, and no flow one of none.
    const fn new(all: bool) -> Self {
        Self { all, parts: if all { Some(KernelConjunction::TRUE) } else { None } }
    }

    fn add(&mut self, part: Option<KernelConjunction>) {
        self.parts = match (self.all, self.parts, part) {
            (true, Some(parts), Some(part)) => parts.and(part),
            (true, _, _) => None,
            (false, Some(parts), Some(part)) => Some(parts.common(part)),
            (false, parts, part) => parts.or(part),
        };
    }
}

impl KernelConjunction {
    /// Excludes no flow, exactly as the filter.
    pub(super) const TRUE: Self = Self {
        values: [None; FIELDS],
        mark: Masked { value: 0, mask: 0 },
        status: Masked { value: 0, mask: 0 },
        wider: false,
    };
    /// Excludes no flow, although the filter may.
    const WIDER: Self = Self { wider: true, ..Self::TRUE };

    /// The strongest conjunction for the flows of one family. Returns `None` if no flow of that family matches.
    pub(super) fn of(expression: &Expression, family: Family) -> Option<Self> {
        let (mut negated, mut outer, mut group) = (false, Vec::new(), Combined::new(true));
        for visit in expression.walk() {
            match visit {
                Visit::Enter(Connective::Not) | Visit::Leave(Connective::Not) => negated = !negated,
                Visit::Enter(connective) => {
                    let inner = Combined::new((connective == Connective::All) != negated);
                    outer.push(core::mem::replace(&mut group, inner));
                }
                Visit::Leave(_) => {
                    let inner = group.parts;
                    group = outer.pop().unwrap_or(group);
                    group.add(inner);
                }
                Visit::Constant(holds) => group.add(Self::constant(holds != negated)),
                Visit::Term(term) => group.add(Self::of_lowered(&Lowered::new(term, negated), family)),
            }
        }
        group.parts
    }

    /// As [`of`](Self::of), for one term: it is nested by a few levels only.
    fn of_lowered(condition: &Lowered<'_>, family: Family) -> Option<Self> {
        let combined = |all, parts: &[Lowered<'_>]| {
            let mut group = Combined::new(all);
            parts.iter().for_each(|part| group.add(Self::of_lowered(part, family)));
            group.parts
        };
        match condition {
            Lowered::All(parts) => combined(true, parts),
            Lowered::Any(parts) => combined(false, parts),
            Lowered::Leaf { leaf, negated } => Self::of_leaf(leaf, *negated, family),
            Lowered::Unknown => Some(Self::WIDER),
        }
    }

    pub(super) fn value(&self, field: KernelField) -> Option<u32> {
        self.values.get(field as usize).copied().flatten()
    }

    /// Leaves a field out, and is wider if it was compared.
    pub(super) fn without(mut self, field: KernelField) -> Self {
        if let Some(value) = self.values.get_mut(field as usize) {
            self.wider |= value.take().is_some();
        }
        self
    }

    pub(super) fn set(&mut self, field: KernelField, value: u32) {
        if let Some(slot) = self.values.get_mut(field as usize) {
            *slot = Some(value);
        }
    }

    fn exactly(field: KernelField, value: u32) -> Self {
        let mut conjunction = Self::TRUE;
        conjunction.set(field, value);
        conjunction
    }

    /// Both. Returns `None` if they contradict each other.
    fn and(mut self, other: Self) -> Option<Self> {
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            match (*mine, theirs) {
                (Some(mine), Some(theirs)) if mine != theirs => return None,
                (None, theirs) => *mine = theirs,
                _ => {}
            }
        }
        self.mark = self.mark.and(other.mark)?;
        self.status = self.status.and(other.status)?;
        self.wider |= other.wider;
        Some(self)
    }

    /// The comparisons that both make.
    fn common(mut self, other: Self) -> Self {
        if self == other {
            return self;
        }
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            *mine = mine.filter(|mine| Some(*mine) == theirs);
        }
        Self { mark: self.mark.common(other.mark), status: self.status.common(other.status), wider: true, ..self }
    }

    fn of_leaf(leaf: &Leaf<'_>, negated: bool, family: Family) -> Option<Self> {
        match leaf {
            Leaf::Address { field, set } => {
                let (empty, full) = match family {
                    Family::IPV4 => (set.ipv4.is_empty(), set.ipv4.as_slice() == [(0, u32::MAX)]),
                    _ => (set.ipv6.is_empty(), set.ipv6.as_slice() == [(0, u128::MAX)]),
                };
                match (empty, full, kernel_field(*field), set.ipv4.single()) {
                    (true, _, _, _) => Self::constant(negated),
                    (_, true, _, _) => Self::constant(!negated),
                    (_, _, Some(field), Some(address)) if family == Family::IPV4 && !negated => {
                        Some(Self::exactly(field, address))
                    }
                    _ => Some(Self::WIDER),
                }
            }
            Leaf::Number { field: NumberField::Family, values } => {
                Self::constant(values.contains(family.0.into()) != negated)
            }
            Leaf::Number { field, values } => Some(match values.single() {
                Some(value) if !negated => {
                    u32::try_from(value).map_or(Self::WIDER, |value| Self::of_number(*field, value))
                }
                _ => Self::WIDER,
            }),
            Leaf::Mark(bits) => Some(Self::bits(*bits, negated, |mark| Self { mark, ..Self::TRUE })),
            Leaf::Status(bits) => Some(Self::bits(*bits, negated, |status| Self { status, ..Self::TRUE })),
        }
    }

    fn constant(holds: bool) -> Option<Self> {
        holds.then_some(Self::TRUE)
    }

    fn bits(bits: Masked, negated: bool, conjunction: impl FnOnce(Masked) -> Self) -> Self {
        let bits = if negated { bits.negated() } else { Some(bits) };
        bits.map_or(Self::WIDER, conjunction)
    }

    fn of_number(field: NumberField, value: u32) -> Self {
        let field = match field {
            NumberField::Protocol => KernelField::Protocol,
            NumberField::SourcePort => KernelField::OriginalSourcePort,
            NumberField::DestinationPort => KernelField::OriginalDestinationPort,
            NumberField::ReplySourcePort => KernelField::ReplySourcePort,
            NumberField::ReplyDestinationPort => KernelField::ReplyDestinationPort,
            NumberField::IcmpType => KernelField::IcmpType,
            NumberField::IcmpCode => KernelField::IcmpCode,
            NumberField::IcmpId => KernelField::IcmpId,
            NumberField::Zone | NumberField::ZoneOriginal | NumberField::ZoneReply | NumberField::ZoneEither => {
                return Self::of_zone(field, value);
            }
            _ => return Self::WIDER,
        };
        Self::exactly(field, value)
    }

    /// The kernel compares the number of a zone, whichever directions it applies to. A direction to which it does not
    /// apply is in zone 0.
    fn of_zone(field: NumberField, zone: u32) -> Self {
        match (field, zone) {
            (NumberField::Zone, 0) => Self::exactly(KernelField::Zone, 0),
            (NumberField::ZoneEither, 1..) => Self::exactly(KernelField::Zone, zone),
            (_, 0) => Self::WIDER,
            (_, 1..) => Self { wider: true, ..Self::exactly(KernelField::Zone, zone) },
        }
    }
}

const fn kernel_field(field: AddressField) -> Option<KernelField> {
    match field {
        AddressField::Source => Some(KernelField::OriginalSource),
        AddressField::Destination => Some(KernelField::OriginalDestination),
        AddressField::ReplySource => Some(KernelField::ReplySource),
        AddressField::ReplyDestination => Some(KernelField::ReplyDestination),
        AddressField::Any => None,
    }
}

impl KernelFilter {
    /// Decodes the filter of a dump or a flush.
    ///
    /// Fails on a filter that this crate never sends, since kernels evaluate it wrongly: an IPv6 address, the zone of a
    /// tuple, ports of other protocols than TCP and UDP, an empty mask.
    pub(crate) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TUPLE_ORIG => original = SentTuple::read,
            CTA_TUPLE_REPLY => reply = SentTuple::read,
            CTA_MARK => mark = Attribute::u32,
            CTA_MARK_MASK => mark_mask = Attribute::u32,
            CTA_STATUS => status = Attribute::u32,
            CTA_STATUS_MASK => status_mask = Attribute::u32,
            CTA_ZONE => zone = Attribute::u16,
            CTA_FILTER => flags = |nest: Attribute<'_>| nest.walk(AttributeSet::Filter, walk_flags),
        );
        let mut filter = Self { family, compared: KernelConjunction::default() };
        if let Some(value) = mark {
            filter.compared.mark = masked(value, mark_mask.unwrap_or(u32::MAX), CTA_MARK)?;
        }
        if let Some(value) = status {
            filter.compared.status = masked(value, status_mask.unwrap_or(value), CTA_STATUS)?;
        }
        if let Some(zone) = zone {
            filter.compared.set(KernelField::Zone, zone.into());
        }
        let (original_flags, reply_flags) = flags.unwrap_or_default();
        filter.compare(&ORIGINAL, &original.unwrap_or_default(), original_flags)?;
        filter.compare(&REPLY, &reply.unwrap_or_default(), reply_flags)?;
        Ok(filter)
    }

    /// Adds the fields of a tuple that the flags name.
    fn compare(&mut self, direction: &DirectionFields, tuple: &SentTuple<'_>, flags: u32) -> Result<(), DecodeError> {
        let mut set = |field: KernelField, sent: &[Attribute<'_>], protocol| {
            let encoding = FieldEncoding::of(field, protocol);
            // The last attribute of a number counts.
            let attribute = sent.iter().rfind(|attribute| attribute.number() == encoding.attribute);
            let Some(attribute) = attribute.filter(|_| flags & encoding.flag != 0) else { return Ok(None) };
            let value = match encoding.bytes {
                1 => attribute.u8()?.into(),
                2 => attribute.u16()?.into(),
                _ => attribute.u32()?,
            };
            // A flow has one protocol: the reply tuple can only repeat that of the original tuple.
            if self.compared.value(field).is_some_and(|known| known != value) {
                return Err(unsendable(direction.tuple));
            }
            self.compared.set(field, value);
            Ok(Some(value))
        };
        for field in direction.addresses {
            set(field, &tuple.addresses, None)?;
        }
        let protocol = set(KernelField::Protocol, &tuple.layer4, None)?.map(|number| Protocol(number as u8));
        let comparable = direction.layer4.iter().filter(|field| field.is_compared_for(protocol));
        for field in comparable {
            set(*field, &tuple.layer4, protocol)?;
        }
        // A flag without its attribute, or for something else, is left over.
        if self.flags(direction) == flags { Ok(()) } else { Err(unsendable(direction.tuple)) }
    }
}

fn unsendable(attribute: u16) -> DecodeError {
    let kind = DecodeErrorKind::Value("the filter is incomplete, or kernels evaluate it wrongly");
    DecodeError::in_attribute(kind, AttributeSet::Flow, attribute, 0)
}

fn masked(value: u32, mask: u32, attribute: u16) -> Result<Masked, DecodeError> {
    if mask == 0 { Err(unsendable(attribute)) } else { Ok(Masked { value, mask }) }
}

fn walk_flags(attributes: Attributes<'_>) -> Result<(u32, u32), DecodeError> {
    read_attributes!(attributes;
        CTA_FILTER_ORIG_FLAGS => original = Attribute::u32_host,
        CTA_FILTER_REPLY_FLAGS => reply = Attribute::u32_host,
    );
    Ok((original.unwrap_or(0), reply.unwrap_or(0)))
}

/// The attributes in a tuple, whether or not they are compared.
#[derive(Default)]
struct SentTuple<'a> {
    addresses: Vec<Attribute<'a>>,
    layer4: Vec<Attribute<'a>>,
}

impl<'a> SentTuple<'a> {
    fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Tuple, |attributes| {
            read_attributes!(attributes;
                CTA_TUPLE_IP => addresses = |nest: Attribute<'a>| nest.walk(AttributeSet::TupleIp, attributes_of),
                CTA_TUPLE_PROTO => layer4 = |nest: Attribute<'a>| nest.walk(AttributeSet::TupleProtocol, attributes_of),
            );
            Ok(Self { addresses: addresses.unwrap_or_default(), layer4: layer4.unwrap_or_default() })
        })
    }
}

fn attributes_of(mut nest: Attributes<'_>) -> Result<Vec<Attribute<'_>>, DecodeError> {
    let attributes = core::iter::from_fn(|| nest.advance()).collect();
    nest.end()?;
    Ok(attributes)
}
