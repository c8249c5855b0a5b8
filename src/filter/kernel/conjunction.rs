//! The strongest condition of a filter that the kernel can evaluate: a conjunction of exact comparisons.

use super::{DirectionFields, FieldEncoding, KernelFilter, ORIGINAL, REPLY};
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
        Attribute, AttributeSet, Attributes, CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, CTA_MARK,
        CTA_MARK_MASK, CTA_STATUS, CTA_STATUS_MASK, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY,
        CTA_ZONE,
    },
};

/// A field that the kernel compares with one exact value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum KernelField {
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
    pub(in crate::filter) const fn is_compared_for(self, protocol: Option<Protocol>) -> bool {
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
pub(in crate::filter) struct KernelConjunction {
    values: [Option<u32>; FIELDS],
    /// Compares nothing if its mask is empty, like `status`.
    pub(in crate::filter) mark: Masked,
    pub(in crate::filter) status: Masked,
    /// Something was left out: flows outside the filter may satisfy this.
    pub(in crate::filter) wider: bool,
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
    pub(in crate::filter) fn of(expression: &Expression, family: Family) -> Option<Self> {
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

    pub(in crate::filter) fn value(&self, field: KernelField) -> Option<u32> {
        self.values.get(field as usize).copied().flatten()
    }

    /// Leaves a field out, and is wider if it was compared.
    pub(in crate::filter) fn without(mut self, field: KernelField) -> Self {
        if let Some(value) = self.values.get_mut(field as usize) {
            self.wider |= value.take().is_some();
        }
        self
    }

    pub(in crate::filter) fn set(&mut self, field: KernelField, value: u32) {
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
