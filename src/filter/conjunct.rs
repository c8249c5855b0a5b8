//! The strongest condition of a filter that the kernel can evaluate: a conjunction of exact comparisons.

use super::{
    expression::Masked,
    fields::{AddressField, NumberField},
    lower::{Leaf, Lowered},
};
use crate::model::Family;

/// What the kernel compares with one exact value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
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

const PARTS: usize = Part::Zone as usize + 1;

/// A conjunction that every flow of a filter and a family satisfies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conjunct {
    values: [Option<u32>; PARTS],
    pub(super) mark: Masked,
    pub(super) status: Masked,
    /// Left something out: flows that satisfy this need not be of the filter.
    pub(super) wider: bool,
}

impl Conjunct {
    /// Takes no flow out, and leaves nothing to userspace.
    const TRUE: Self = Self {
        values: [None; PARTS],
        mark: Masked { value: 0, mask: 0 },
        status: Masked { value: 0, mask: 0 },
        wider: false,
    };
    /// Takes no flow out, where some should be.
    const WIDER: Self = Self { wider: true, ..Self::TRUE };

    /// The strongest for the flows of one family; `None` where no flow of that family is meant.
    pub(super) fn of(condition: &Lowered<'_>, family: Family) -> Option<Self> {
        match condition {
            Lowered::All(parts) => parts.iter().try_fold(Self::TRUE, |all, part| all.and(Self::of(part, family)?)),
            Lowered::Any(parts) => parts.iter().filter_map(|part| Self::of(part, family)).reduce(Self::common),
            Lowered::Leaf { leaf, negated } => Self::of_leaf(leaf, *negated, family),
            Lowered::Undecided => Some(Self::WIDER),
        }
    }

    pub(super) fn value(&self, part: Part) -> Option<u32> {
        self.values.get(part as usize).copied().flatten()
    }

    /// The same without one part, and wider if it had it.
    pub(super) fn without(mut self, part: Part) -> Self {
        if let Some(value) = self.values.get_mut(part as usize) {
            self.wider |= value.take().is_some();
        }
        self
    }

    fn exactly(part: Part, value: u32) -> Self {
        let mut conjunct = Self::TRUE;
        if let Some(slot) = conjunct.values.get_mut(part as usize) {
            *slot = Some(value);
        }
        conjunct
    }

    /// Both; `None` where they contradict.
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

    /// What holds of either.
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
                match (empty, full, part_of(*field), set.ipv4.single()) {
                    (true, _, _, _) => Self::constant(negated),
                    (_, true, _, _) => Self::constant(!negated),
                    (_, _, Some(part), Some(address)) if family == Family::IPV4 && !negated => {
                        Some(Self::exactly(part, address))
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

    fn bits(bits: Masked, negated: bool, conjunct: impl FnOnce(Masked) -> Self) -> Self {
        let bits = if negated { bits.negated() } else { Some(bits) };
        bits.map_or(Self::WIDER, conjunct)
    }

    fn of_number(field: NumberField, value: u32) -> Self {
        let part = match field {
            NumberField::Protocol => Part::Protocol,
            NumberField::SourcePort => Part::OriginalSourcePort,
            NumberField::DestinationPort => Part::OriginalDestinationPort,
            NumberField::ReplySourcePort => Part::ReplySourcePort,
            NumberField::ReplyDestinationPort => Part::ReplyDestinationPort,
            NumberField::IcmpType => Part::IcmpType,
            NumberField::IcmpCode => Part::IcmpCode,
            NumberField::IcmpId => Part::IcmpId,
            NumberField::Zone | NumberField::ZoneOriginal | NumberField::ZoneReply | NumberField::ZoneEither => {
                return Self::of_zone(field, value);
            }
            _ => return Self::WIDER,
        };
        Self::exactly(part, value)
    }

    /// The kernel compares the number of a zone, not the directions it is for; a direction that it is not for is in
    /// zone 0.
    fn of_zone(field: NumberField, zone: u32) -> Self {
        match (field, zone) {
            (NumberField::Zone, 0) => Self::exactly(Part::Zone, 0),
            (NumberField::ZoneEither, 1..) => Self::exactly(Part::Zone, zone),
            (_, 0) => Self::WIDER,
            (_, 1..) => Self { wider: true, ..Self::exactly(Part::Zone, zone) },
        }
    }
}

const fn part_of(field: AddressField) -> Option<Part> {
    match field {
        AddressField::Source => Some(Part::OriginalSource),
        AddressField::Destination => Some(Part::OriginalDestination),
        AddressField::ReplySource => Some(Part::ReplySource),
        AddressField::ReplyDestination => Some(Part::ReplyDestination),
        AddressField::Any => None,
    }
}
