//! The tree behind a filter, and the rules that give equal filters one form.

use super::{
    Addresses, Translation,
    fields::{AddressField, NumberField},
    ranges::Ranges,
    tuples::Tuples,
};
use crate::model::Labels;

/// A filter's tree.
///
/// Built only through [`all`](Self::all), [`any`](Self::any), [`negated`](Self::negated) and
/// [`term`](Self::term), which keep it in one form: no list directly within a list of its kind, no list of one, no
/// double negation, nothing constant inside, sets of one field within an alternative merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Each of these; of none, every flow.
    All(Vec<Self>),
    /// At least one of these; of none, no flow.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// One comparison.
    Term(Term),
}

/// One comparison. On an attribute that the flow does not have it is false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// An address lies in a set.
    Address { field: AddressField, set: Addresses },
    /// A number lies in a set.
    Number { field: NumberField, values: Ranges<u64> },
    /// Status bits.
    Status(Masked),
    /// Bits of the mark.
    Mark(Masked),
    /// All of these labels are set.
    AllLabels(Labels),
    /// One of these labels is set.
    AnyLabel(Labels),
    /// The name of the helper.
    Helper(Box<str>),
    /// An end is translated.
    Nat { side: Side, to: Translation },
    /// The original tuple is one of these.
    Tuple(Tuples),
}

/// Which end is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Source,
    Destination,
    Either,
}

/// Bits that are compared, and what they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Masked {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl Masked {
    /// `None` where a bit outside the mask is asked to be set, which no number satisfies.
    pub(crate) const fn new(value: u32, mask: u32) -> Option<Self> {
        if value & !mask == 0 { Some(Self { value, mask }) } else { None }
    }

    #[inline]
    pub(crate) const fn matches(self, bits: u32) -> bool {
        bits & self.mask == self.value
    }

    /// The same of every bit that either compares; `None` where they contradict.
    pub(crate) const fn and(self, other: Self) -> Option<Self> {
        if (self.value ^ other.value) & self.mask & other.mask == 0 {
            Some(Self { value: self.value | other.value, mask: self.mask | other.mask })
        } else {
            None
        }
    }

    /// What both ask for.
    pub(crate) const fn common(self, other: Self) -> Self {
        let mask = self.mask & other.mask & !(self.value ^ other.value);
        Self { value: self.value & mask, mask }
    }

    /// The opposite, where that is a comparison too: of one bit.
    pub(crate) const fn negated(self) -> Option<Self> {
        if self.mask.is_power_of_two() { Some(Self { value: self.mask ^ self.value, mask: self.mask }) } else { None }
    }
}

impl Expression {
    pub(crate) const EVERYTHING: Self = Self::All(Vec::new());
    pub(crate) const NOTHING: Self = Self::Any(Vec::new());

    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Any(parts) if parts.is_empty())
    }

    pub(crate) fn term(term: Term) -> Self {
        match &term {
            Term::Address { set, .. } if set.is_empty() => Self::NOTHING,
            Term::Number { values, .. } if values.is_empty() => Self::NOTHING,
            Term::Tuple(set) if set.len() == 0 => Self::NOTHING,
            Term::AnyLabel(labels) if labels.is_empty() => Self::NOTHING,
            Term::Nat { to, .. } if to.is_impossible() => Self::NOTHING,
            Term::AllLabels(labels) if labels.is_empty() => Self::EVERYTHING,
            Term::Mark(bits) | Term::Status(bits) if bits.mask == 0 => Self::EVERYTHING,
            _ => Self::Term(term),
        }
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All(inner) => flat.extend(inner),
                part if part.is_nothing() => return Self::NOTHING,
                part => flat.push(part),
            }
        }
        Self::only(&mut flat).unwrap_or(Self::All(flat))
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Any(inner) => flat.extend(inner),
                part if part.is_everything() => return Self::EVERYTHING,
                part => flat.push(part),
            }
        }
        let mut merged = merge_sets(flat);
        Self::only(&mut merged).unwrap_or(Self::Any(merged))
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            all if all.is_everything() => Self::NOTHING,
            any if any.is_nothing() => Self::EVERYTHING,
            other => Self::Not(Box::new(other)),
        }
    }

    fn only(parts: &mut Vec<Self>) -> Option<Self> {
        if parts.len() == 1 { parts.pop() } else { None }
    }
}

/// What sets may be merged in an alternative: those of one field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merging {
    Address(AddressField),
    Number(NumberField),
    Tuple,
}

impl Merging {
    const fn of(expression: &Expression) -> Option<Self> {
        match expression {
            Expression::Term(Term::Address { field, .. }) => Some(Self::Address(*field)),
            Expression::Term(Term::Number { field, .. }) => Some(Self::Number(*field)),
            Expression::Term(Term::Tuple(_)) => Some(Self::Tuple),
            _ => None,
        }
    }
}

/// `src A or dport 22 or src B` is `src A,B or dport 22`: the first of a field takes in all the others.
fn merge_sets(parts: Vec<Expression>) -> Vec<Expression> {
    let mut groups: Vec<(Option<Merging>, Vec<Expression>)> = Vec::new();
    // Where the group of a field is: there are few fields, however many parts.
    let mut places: Vec<(Merging, usize)> = Vec::new();
    for part in parts {
        let merging = Merging::of(&part);
        let place = places.iter().find(|(group, _)| Some(*group) == merging).map(|(_, place)| *place);
        match place.and_then(|place| groups.get_mut(place)) {
            Some((_, members)) => members.push(part),
            None => {
                places.extend(merging.map(|merging| (merging, groups.len())));
                groups.push((merging, vec![part]));
            }
        }
    }
    groups.into_iter().filter_map(|(merging, members)| merged(merging, members)).collect()
}

fn merged(merging: Option<Merging>, mut members: Vec<Expression>) -> Option<Expression> {
    if members.len() < 2 {
        return members.pop();
    }
    let terms =
        || members.iter().filter_map(|member| if let Expression::Term(term) = member { Some(term) } else { None });
    let term = match merging? {
        Merging::Address(field) => {
            let sets = terms().filter_map(|term| if let Term::Address { set, .. } = term { Some(set) } else { None });
            Term::Address { field, set: Addresses::union(sets) }
        }
        Merging::Number(field) => {
            let sets =
                terms().filter_map(|term| if let Term::Number { values, .. } = term { Some(values) } else { None });
            Term::Number { field, values: Ranges::new(sets.flat_map(|set| set.as_slice().iter().copied())) }
        }
        Merging::Tuple => Term::Tuple(Tuples::union(
            terms().filter_map(|term| if let Term::Tuple(set) = term { Some(set) } else { None }),
        )),
    };
    Some(Expression::Term(term))
}
