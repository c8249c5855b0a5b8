//! The tree behind a filter, and the rules that give equal filters one form.
//!
//! A program may nest filters to any depth, so nothing recurses over the tree: code that looks at a whole filter
//! iterates over [`Expression::walk`], and a tree is dropped in a loop.

use core::{
    hash::{Hash, Hasher},
    iter::Rev,
    mem, slice,
};
use std::{collections::BTreeSet, sync::Arc};

use super::{
    AddressSet, Translation,
    fields::{AddressField, NumberField},
    sets::{Ranges, TupleSet},
};
use crate::model::Labels;

/// A filter's tree. Cloning it shares everything below its root.
///
/// Built only through [`all`](Self::all), [`any`](Self::any), [`negated`](Self::negated) and [`term`](Self::term),
/// which ensure one form: no group directly within a group of its kind, no group of one part except negations, no
/// double negation, constants only at the root, and one set for each field within an alternative.
#[derive(Clone)]
pub(crate) enum Expression {
    Everything,
    Nothing,
    Term(Arc<Term>),
    Group(Connective, Arc<Parts>),
}

/// What joins the parts of a group. A negation has one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Connective {
    All,
    Any,
    Not,
}

/// The parts of a group.
#[derive(Clone, Default)]
pub(crate) struct Parts {
    list: Vec<Expression>,
    /// In an alternative, which part is the set of each field: few entries, however long the list.
    sets: Vec<(SetField, usize)>,
}

/// One comparison. It is false if the flow does not have the attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Term {
    /// An address is in the set.
    Address { field: AddressField, set: AddressSet },
    /// A number is in the set.
    Number { field: NumberField, values: Ranges<u64> },
    /// The status has these bits.
    Status(Masked),
    /// The mark has these bits.
    Mark(Masked),
    /// All of these labels are set.
    AllLabels(Labels),
    /// One of these labels is set.
    AnyLabel(Labels),
    /// The helper has one of these names.
    Helper(BTreeSet<Box<str>>),
    /// An endpoint is translated.
    Nat { side: Side, to: Translation },
    /// The original tuple is in the set.
    Tuple(TupleSet),
}

/// Which endpoint is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Source,
    Destination,
    Either,
}

/// A comparison of some bits of a number: `number & mask == value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Masked {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl Masked {
    /// Returns `None` if the value has a bit outside the mask: no number satisfies that.
    pub(crate) const fn new(value: u32, mask: u32) -> Option<Self> {
        if value & !mask == 0 { Some(Self { value, mask }) } else { None }
    }

    #[inline]
    pub(crate) const fn matches(self, bits: u32) -> bool {
        bits & self.mask == self.value
    }

    /// Combines two comparisons. Returns `None` if they contradict each other.
    pub(crate) const fn and(self, other: Self) -> Option<Self> {
        if (self.value ^ other.value) & self.mask & other.mask == 0 {
            Some(Self { value: self.value | other.value, mask: self.mask | other.mask })
        } else {
            None
        }
    }

    /// The bits that both compare with the same value.
    pub(crate) const fn common(self, other: Self) -> Self {
        let mask = self.mask & other.mask & !(self.value ^ other.value);
        Self { value: self.value & mask, mask }
    }

    /// The opposite, which is a comparison only if the mask has one bit.
    pub(crate) const fn negated(self) -> Option<Self> {
        if self.mask.is_power_of_two() { Some(Self { value: self.mask ^ self.value, mask: self.mask }) } else { None }
    }
}

impl Expression {
    pub(crate) const fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    pub(crate) fn term(term: Term) -> Self {
        match &term {
            Term::Address { set, .. } if set.is_empty() => Self::Nothing,
            Term::Number { values, .. } if values.is_empty() => Self::Nothing,
            Term::Tuple(set) if set.len() == 0 => Self::Nothing,
            Term::Helper(names) if names.is_empty() => Self::Nothing,
            Term::AnyLabel(labels) if labels.is_empty() => Self::Nothing,
            Term::Nat { to, .. } if to.is_impossible() => Self::Nothing,
            Term::AllLabels(labels) if labels.is_empty() => Self::Everything,
            Term::Mark(bits) | Term::Status(bits) if bits.mask == 0 => Self::Everything,
            _ => Self::Term(Arc::new(term)),
        }
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut list = Vec::new();
        for part in parts {
            match part {
                Self::Everything => {}
                Self::Nothing => return Self::Nothing,
                Self::Group(Connective::All, mut inner) => append(&mut list, &mut owned(&mut inner).list),
                part => list.push(part),
            }
        }
        Self::group(Connective::All, Parts { list, sets: Vec::new() }).unwrap_or(Self::Everything)
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut alternatives = Alternatives::default();
        for part in parts {
            match part {
                Self::Nothing => {}
                Self::Everything => return Self::Everything,
                Self::Group(Connective::Any, mut inner) => alternatives.append(owned(&mut inner)),
                part => alternatives.push(part),
            }
        }
        Self::group(Connective::Any, alternatives.finish()).unwrap_or(Self::Nothing)
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Everything => Self::Nothing,
            Self::Nothing => Self::Everything,
            Self::Group(Connective::Not, mut inner) => owned(&mut inner).list.pop().unwrap_or(Self::Nothing),
            other => Self::Group(Connective::Not, Arc::new(Parts { list: vec![other], sets: Vec::new() })),
        }
    }

    /// A group of two parts or more, the only part, or `None` if there is no part.
    fn group(connective: Connective, mut parts: Parts) -> Option<Self> {
        match parts.list.len() {
            0 | 1 => parts.list.pop(),
            _ => Some(Self::Group(connective, Arc::new(parts))),
        }
    }

    /// Visits the tree from the first term to the last.
    pub(crate) fn walk(&self) -> TreeWalk<'_, slice::Iter<'_, Self>> {
        TreeWalk { root: Some(self), open: Vec::new(), parts: |parts| parts.list.iter() }
    }

    /// Visits the tree from the last term to the first. A group is still entered before its parts.
    pub(crate) fn walk_back(&self) -> TreeWalk<'_, Rev<slice::Iter<'_, Self>>> {
        TreeWalk { root: Some(self), open: Vec::new(), parts: |parts| parts.list.iter().rev() }
    }

    /// Returns the conditions at the root, all of which a flow has to satisfy, and whether they are negated.
    pub(crate) fn conditions(&self) -> (&[Self], bool) {
        match self {
            Self::Group(Connective::All, parts) => (&parts.list, false),
            Self::Group(Connective::Not, parts) => match &*parts.list {
                [Self::Group(Connective::Any, parts)] => (&parts.list, true),
                parts => (parts, true),
            },
            other => (slice::from_ref(other), false),
        }
    }
}

/// Returns the parts of a group for taking them out: a shallow copy if another filter shares them.
fn owned(parts: &mut Arc<Parts>) -> &mut Parts {
    Arc::make_mut(parts)
}

/// Appends a list. An empty list takes over the other one, which keeps extending a long list cheap.
fn append<T>(list: &mut Vec<T>, more: &mut Vec<T>) {
    if list.is_empty() { mem::swap(list, more) } else { list.append(more) }
}

impl Drop for Parts {
    /// Drops the tree in a loop, since recursion over a deep tree would exhaust the stack.
    fn drop(&mut self) {
        let mut pending = mem::take(&mut self.list);
        while let Some(part) = pending.pop() {
            if let Expression::Group(_, parts) = part {
                // If several threads drop their references at once, exactly one of them gets the parts.
                pending.append(&mut Arc::into_inner(parts).unwrap_or_default().list);
            }
        }
    }
}

/// A step of a walk through a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Visit<'e> {
    /// A group begins: its parts follow, and then its `Leave`.
    Enter(Connective),
    /// A comparison.
    Term(&'e Arc<Term>),
    /// Every flow (`true`) or none, at the root only.
    Constant(bool),
    /// A group ends.
    Leave(Connective),
}

/// Visits a tree without recursion.
pub(crate) struct TreeWalk<'e, I> {
    root: Option<&'e Expression>,
    open: Vec<(Connective, I)>,
    parts: fn(&'e Parts) -> I,
}

impl<'e, I: Iterator<Item = &'e Expression>> Iterator for TreeWalk<'e, I> {
    type Item = Visit<'e>;

    fn next(&mut self) -> Option<Visit<'e>> {
        let next = match (self.root.take(), self.open.last_mut()) {
            (Some(root), _) => Some(root),
            (None, Some((_, parts))) => parts.next(),
            (None, None) => return None,
        };
        match next {
            Some(Expression::Group(connective, parts)) => {
                self.open.push((*connective, (self.parts)(parts)));
                Some(Visit::Enter(*connective))
            }
            Some(Expression::Term(term)) => Some(Visit::Term(term)),
            Some(Expression::Everything) => Some(Visit::Constant(true)),
            Some(Expression::Nothing) => Some(Visit::Constant(false)),
            None => self.open.pop().map(|(connective, _)| Visit::Leave(connective)),
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.walk().eq(other.walk())
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.walk().for_each(|visit| visit.hash(state));
    }
}

/// A field of which an alternative has one set: `src A or src B` is `src A,B`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetField {
    Address(AddressField),
    Number(NumberField),
    Helper,
    Tuple,
}

impl SetField {
    const fn of(term: &Term) -> Option<Self> {
        match term {
            Term::Address { field, .. } => Some(Self::Address(*field)),
            Term::Number { field, .. } => Some(Self::Number(*field)),
            Term::Helper(_) => Some(Self::Helper),
            Term::Tuple(_) => Some(Self::Tuple),
            _ => None,
        }
    }
}

/// The parts of an alternative under construction.
///
/// `src A or dport 22 or src B` becomes `src A,B or dport 22`: the first set of a field absorbs the others. This
/// happens once at the end: ten thousand sets are sorted once.
#[derive(Default)]
struct Alternatives {
    parts: Parts,
    /// The terms that each entry of `parts.sets` is going to absorb.
    absorbed: Vec<Vec<Arc<Term>>>,
}

impl Alternatives {
    fn push(&mut self, part: Expression) {
        let Some((field, term)) = set(&part) else { return self.parts.list.push(part) };
        match self.absorbing(field) {
            Some(absorbed) => absorbed.push(Arc::clone(term)),
            None => {
                self.parts.sets.push((field, self.parts.list.len()));
                self.parts.list.push(part);
            }
        }
    }

    /// Adds the parts of another alternative, without looking at parts that are not sets.
    fn append(&mut self, more: &mut Parts) {
        let mut removed = 0;
        let sets = mem::take(&mut more.sets);
        for (field, place) in sets {
            let Some(absorbed) = self.absorbing(field) else {
                self.parts.sets.push((field, self.parts.list.len() + place - removed));
                continue;
            };
            if let Some(part) = more.list.get_mut(place) {
                absorbed.extend(set(part).map(|(_, term)| Arc::clone(term)));
                *part = Expression::Nothing;
                removed += 1;
            }
        }
        if removed > 0 {
            more.list.retain(|part| !matches!(part, Expression::Nothing));
        }
        append(&mut self.parts.list, &mut more.list);
    }

    /// Returns the list of terms that the set of a field is going to absorb, if there is such a set.
    fn absorbing(&mut self, field: SetField) -> Option<&mut Vec<Arc<Term>>> {
        let entry = self.parts.sets.iter().position(|(known, _)| *known == field)?;
        if self.absorbed.len() <= entry {
            self.absorbed.resize_with(entry + 1, Vec::new);
        }
        self.absorbed.get_mut(entry)
    }

    fn finish(mut self) -> Parts {
        for ((_, place), absorbed) in self.parts.sets.iter().zip(self.absorbed) {
            if let Some(Expression::Term(term)) = self.parts.list.get_mut(*place) {
                if !absorbed.is_empty() {
                    Arc::make_mut(term).absorb(&absorbed);
                }
            }
        }
        self.parts
    }
}

fn set(part: &Expression) -> Option<(SetField, &Arc<Term>)> {
    let Expression::Term(term) = part else { return None };
    Some((SetField::of(term)?, term))
}

impl Term {
    /// Adds the sets of other terms on the same field.
    fn absorb(&mut self, others: &[Arc<Self>]) {
        let others = others.iter().map(|other| &**other);
        match self {
            Self::Address { set, .. } => {
                set.extend(
                    others.filter_map(|term| if let Self::Address { set, .. } = term { Some(set) } else { None }),
                );
            }
            Self::Number { values, .. } => {
                let more =
                    others.filter_map(|term| if let Self::Number { values, .. } = term { Some(values) } else { None });
                values.extend(more.flat_map(|values| values.as_slice().iter().copied()));
            }
            Self::Helper(names) => {
                names.extend(
                    others.flat_map(|term| if let Self::Helper(more) = term { more.clone() } else { BTreeSet::new() }),
                );
            }
            Self::Tuple(set) => {
                set.extend(others.filter_map(|term| if let Self::Tuple(set) = term { Some(set) } else { None }));
            }
            Self::Status(_) | Self::Mark(_) | Self::AllLabels(_) | Self::AnyLabel(_) | Self::Nat { .. } => {}
        }
    }
}
