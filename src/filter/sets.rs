//! Sets of numbers, as sorted ranges, and of tuples.

use core::{
    fmt,
    marker::PhantomData,
    net::IpAddr,
    ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive},
};
use std::collections::{BTreeSet, HashSet};

use crate::model::{DccpRole, DccpState, Family, GreKeys, Layer4, Protocol, SctpState, TcpState, Tuple};

/// A number that ranges consist of.
pub(crate) trait Bound: Copy + Ord {
    /// Returns the next number, or `None` for the greatest.
    fn successor(self) -> Option<Self>;
}

macro_rules! bounds {
    ($($number:ty)*) => { $(
        impl Bound for $number {
            fn successor(self) -> Option<Self> {
                self.checked_add(1)
            }
        }
    )* };
}

bounds!(u32 u64 u128);

/// A set of numbers, as ranges that include both ends: sorted, with a gap between each and the next.
///
/// Each set has one form: equal sets compare equal. Searching 10,000 ranges takes 14 comparisons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ranges<T>(Vec<(T, T)>);

impl<T: Bound> Ranges<T> {
    /// The union of ranges in any order. A range whose first number exceeds its last is empty.
    pub(crate) fn new(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if end.successor().is_none_or(|next| first <= next) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        merged.shrink_to_fit();
        Self(merged)
    }

    /// Adds ranges in any order.
    ///
    /// Few ranges are inserted one by one, because sorting a large set for each of them would be slow.
    pub(crate) fn extend(&mut self, ranges: impl IntoIterator<Item = (T, T)>) {
        const FEW: usize = 16;
        let ranges: Vec<_> = ranges.into_iter().collect();
        if ranges.len() < self.0.len() / FEW {
            ranges.into_iter().for_each(|range| self.insert(range));
        } else {
            *self = Self::new(self.0.drain(..).chain(ranges));
        }
    }

    fn insert(&mut self, (first, last): (T, T)) {
        if first > last {
            return;
        }
        // Those between `from` and `to` overlap the new range or touch it.
        let from = self.0.partition_point(|(_, end)| end.successor().is_some_and(|next| next < first));
        let to = self.0.partition_point(|(start, _)| last.successor().is_none_or(|next| *start <= next));
        match self.0.get_mut(from..to) {
            Some([one]) => *one = (first.min(one.0), last.max(one.1)),
            Some([lowest, .., highest]) => {
                *lowest = (first.min(lowest.0), last.max(highest.1));
                self.0.drain(from + 1..to);
            }
            _ => self.0.insert(from, (first, last)),
        }
    }

    #[inline]
    pub(crate) fn contains(&self, number: T) -> bool {
        match self.0.as_slice() {
            [] => false,
            [(first, last)] => (*first..=*last).contains(&number),
            ranges => {
                let after = ranges.partition_point(|(first, _)| *first <= number);
                after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
            }
        }
    }

    /// Returns the number if it is the only one in the set.
    pub(crate) fn single(&self) -> Option<T> {
        match *self.0.as_slice() {
            [(first, last)] if first == last => Some(first),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<(T, T)> {
        self.0
    }

    pub(crate) fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }
}

/// Reduces ranges to at most `limit` (but at least one) that contain them all, by closing the narrowest gaps.
pub(crate) fn coarsened(ranges: &[(u32, u32)], limit: usize) -> Vec<(u32, u32)> {
    let excess = ranges.len().saturating_sub(limit.max(1));
    let mut gaps: Vec<(u32, usize)> = ranges
        .windows(2)
        .enumerate()
        .filter_map(|(at, pair)| match pair {
            [(_, end), (start, _)] => Some((start - end, at + 1)),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    let mut closed: Vec<usize> = gaps.into_iter().take(excess).map(|(_, at)| at).collect();
    closed.sort_unstable();
    let mut closed = closed.into_iter().peekable();
    let mut kept: Vec<(u32, u32)> = Vec::with_capacity(limit.min(ranges.len()));
    for (at, range) in ranges.iter().enumerate() {
        match kept.last_mut() {
            Some((_, end)) if closed.next_if_eq(&at).is_some() => *end = range.1,
            _ => kept.push(*range),
        }
    }
    kept
}

/// A set of numbers: ports, zones, states and the like.
///
/// Constructors of [`Filter`](crate::Filter) take anything that converts into a set:
///
/// - one number: `22`
/// - a range: `1024..=65535`, `..30`, `1_000_000..`
/// - an array, a slice, a `Vec`, a `BTreeSet` or a `HashSet` of numbers, by value or by reference
///
/// An iterator over numbers or ranges collects into a set. Neighbors and overlaps are merged: equal sets compare
/// equal however they were built, and a search takes logarithmic time.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::NumberSet};
///
/// let web = Filter::destination_port([80, 443]);
/// let high: NumberSet<u16> = (1024..).into();
/// assert!(high.contains(40_000));
/// assert_eq!((web & Filter::source_port(high)).to_string(), "dport 80,443 and sport 1024-65535");
///
/// let configured = vec![8000, 8001, 8002];
/// assert_eq!(Filter::destination_port(&configured), Filter::destination_port(8000..=8002));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NumberSet<T> {
    ranges: Ranges<u64>,
    numbers: PhantomData<T>,
}

/// A type of number that a [`NumberSet`] holds.
///
/// It is implemented for `u8`, `u16`, `u32`, `u64` and the crate's protocols, families, states and roles. Other types
/// cannot implement it.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::{Number, NumberSet}};
///
/// fn is_subset<N: Number>(numbers: &[N], set: &NumberSet<N>) -> bool {
///     numbers.iter().all(|number| set.contains(*number))
/// }
/// assert!(is_subset(&[22_u16, 80], &NumberSet::from(0..1024)));
/// ```
pub trait Number: sealed::NumberValue {}

pub(super) mod sealed {
    #[allow(unnameable_types, reason = "sealed: this crate decides which types are numbers")]
    pub trait NumberValue: Copy + Ord {
        const LEAST: Self;
        const GREATEST: Self;
        fn value(self) -> u64;
    }
}

macro_rules! integers {
    ($($number:ty)*) => { $(
        impl sealed::NumberValue for $number {
            const LEAST: Self = <$number>::MIN;
            const GREATEST: Self = <$number>::MAX;
            fn value(self) -> u64 {
                self.into()
            }
        }
        impl Number for $number {}
    )* };
}

macro_rules! open_enums {
    ($($name:ident)*) => { $(
        impl sealed::NumberValue for $name {
            const LEAST: Self = Self(u8::MIN);
            const GREATEST: Self = Self(u8::MAX);
            fn value(self) -> u64 {
                self.0.into()
            }
        }
        impl Number for $name {}
    )* };
}

integers!(u8 u16 u32 u64);
open_enums!(Protocol Family TcpState SctpState DccpState DccpRole);

impl<T: Number> NumberSet<T> {
    /// Returns whether the number is in the set.
    #[must_use]
    pub fn contains(&self, number: T) -> bool {
        self.ranges.contains(number.value())
    }

    /// Returns whether the set is empty. A filter on an empty set matches no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn into_ranges(self) -> Ranges<u64> {
        self.ranges
    }

    fn from_ranges(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self { ranges: Ranges::new(ranges), numbers: PhantomData }
    }
}

impl<T> fmt::Debug for NumberSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges.as_slice().iter().map(|(first, last)| *first..=*last);
        f.debug_set().entries(ranges).finish()
    }
}

impl<T: Number> From<T> for NumberSet<T> {
    fn from(number: T) -> Self {
        Self::from(number..=number)
    }
}

impl<T: Number> From<&T> for NumberSet<T> {
    fn from(number: &T) -> Self {
        Self::from(*number)
    }
}

impl<T: Number> From<RangeInclusive<T>> for NumberSet<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        Self::from_ranges([(range.start().value(), range.end().value())])
    }
}

impl<T: Number> From<Range<T>> for NumberSet<T> {
    fn from(range: Range<T>) -> Self {
        let last = range.end.value().checked_sub(1);
        Self::from_ranges(last.map(|last| (range.start.value(), last)))
    }
}

impl<T: Number> From<RangeFrom<T>> for NumberSet<T> {
    fn from(range: RangeFrom<T>) -> Self {
        Self::from(range.start..=T::GREATEST)
    }
}

impl<T: Number> From<RangeTo<T>> for NumberSet<T> {
    fn from(range: RangeTo<T>) -> Self {
        Self::from(T::LEAST..range.end)
    }
}

impl<T: Number> From<RangeToInclusive<T>> for NumberSet<T> {
    fn from(range: RangeToInclusive<T>) -> Self {
        Self::from(T::LEAST..=range.end)
    }
}

impl<T: Number> From<RangeFull> for NumberSet<T> {
    fn from(_: RangeFull) -> Self {
        Self::from(T::LEAST..=T::GREATEST)
    }
}

impl<T: Number, N: Into<Self>> FromIterator<N> for NumberSet<T> {
    fn from_iter<I: IntoIterator<Item = N>>(sets: I) -> Self {
        Self::from_ranges(sets.into_iter().flat_map(|set| set.into().ranges.into_vec()))
    }
}

/// Conversions from collections of numbers, by value and by reference.
macro_rules! from_collections {
    ($( [$($generics:tt)*] $collection:ty ),* $(,)?) => { $(
        impl<$($generics)*> From<$collection> for NumberSet<T> {
            fn from(numbers: $collection) -> Self {
                Self::from_ranges(numbers.into_iter().map(|number| (number.value(), number.value())))
            }
        }
    )* };
}

from_collections! {
    [T: Number, const N: usize] [T; N],
    [T: Number, const N: usize] &[T; N],
    [T: Number] &[T],
    [T: Number] Vec<T>,
    [T: Number] &Vec<T>,
    [T: Number] BTreeSet<T>,
    [T: Number] &BTreeSet<T>,
    [T: Number, S] HashSet<T, S>,
    [T: Number, S] &HashSet<T, S>,
}

/// A set of tuples: addresses, protocol and the ports, keys or query of the protocol. Zones are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TupleSet(Vec<TupleKey>);

/// A tuple in the order in which a set sorts it. The part that differs most comes first: comparisons end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct TupleKey {
    layer4: Layer4Key,
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Layer4Key {
    None,
    Pair(u16, u16),
    Icmp(u8, u8, u16),
}

impl TupleSet {
    pub(crate) fn new(tuples: impl IntoIterator<Item = Tuple>) -> Self {
        Self::from_keys(tuples.into_iter().map(|tuple| TupleKey::new(&tuple)).collect())
    }

    /// Adds the tuples of other sets: few of them one by one, like [`Ranges::extend`](Ranges::extend).
    pub(crate) fn extend<'a>(&mut self, sets: impl Iterator<Item = &'a Self>) {
        const FEW: usize = 16;
        let more: Vec<TupleKey> = sets.flat_map(|set| set.0.iter().copied()).collect();
        if more.len() < self.0.len() / FEW {
            for key in more {
                if let Err(place) = self.0.binary_search(&key) {
                    self.0.insert(place, key);
                }
            }
        } else {
            *self = Self::from_keys(self.0.drain(..).chain(more).collect());
        }
    }

    fn from_keys(mut keys: Vec<TupleKey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }

    #[inline]
    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.0.binary_search(&TupleKey::new(tuple)).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Tuple> + Clone + '_ {
        self.0.iter().map(TupleKey::tuple)
    }
}

impl TupleKey {
    #[inline]
    const fn new(tuple: &Tuple) -> Self {
        let layer4 = match tuple.layer4 {
            Layer4::None => Layer4Key::None,
            Layer4::Ports { source, destination } | Layer4::Gre(GreKeys { source, destination }) => {
                Layer4Key::Pair(source, destination)
            }
            Layer4::Icmp { icmp_type, code, id } => Layer4Key::Icmp(icmp_type, code, id),
        };
        Self { source: tuple.source, destination: tuple.destination, protocol: tuple.protocol, layer4 }
    }

    fn tuple(&self) -> Tuple {
        let layer4 = match self.layer4 {
            Layer4Key::None => Layer4::None,
            Layer4Key::Pair(source, destination) => Layer4::pair(self.protocol, source, destination),
            Layer4Key::Icmp(icmp_type, code, id) => Layer4::Icmp { icmp_type, code, id },
        };
        Tuple { layer4, ..Tuple::new(self.protocol, self.source, self.destination) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbors_become_one_range() {
        assert_eq!(Ranges::new([(5_u32, 9), (1, 4), (20, 10)]).as_slice(), [(1, 9)]);
        assert_eq!(Ranges::new([(0_u32, u32::MAX), (7, 8)]).as_slice(), [(0, u32::MAX)]);
        assert_eq!(Ranges::new([(4_u64, 4)]).single(), Some(4));
    }

    proptest! {
        #[test]
        fn set_contains_what_its_ranges_contain(
            ranges in prop::collection::vec((0_u32..60, 0_u32..60), 0..12), number in 0_u32..64,
        ) {
            let set = Ranges::new(ranges.iter().copied());
            prop_assert_eq!(
                set.contains(number),
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&number)),
            );
            prop_assert!(set.as_slice().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }

        #[test]
        fn inserted_ranges_make_the_same_set(
            ranges in prop::collection::vec((0_u32..400, 0_u32..6), 0..80), top in any::<bool>(),
        ) {
            let base = if top { u32::MAX - 400 } else { 0 };
            let ranges: Vec<_> = ranges.iter().map(|(first, length)| (base + first, (base + first).saturating_add(*length))).collect();
            let mut set = Ranges::new([]);
            ranges.iter().for_each(|range| set.insert(*range));
            prop_assert_eq!(&set, &Ranges::new(ranges.iter().copied()));
            let (some, rest) = ranges.split_at(ranges.len() / 3);
            let mut extended = Ranges::new(rest.iter().copied());
            extended.extend(some.iter().copied());
            prop_assert_eq!(extended, set);
        }

        #[test]
        fn coarse_ranges_contain_all_within_the_limit(
            ranges in prop::collection::vec((0_u32..1000, 0_u32..1000), 1..40), limit in 1_usize..10,
        ) {
            let set = Ranges::new(ranges);
            let coarse = coarsened(set.as_slice(), limit);
            prop_assert!(coarse.len() <= limit);
            for (first, last) in set.as_slice() {
                prop_assert!(coarse.iter().any(|(from, to)| from <= first && last <= to));
            }
        }
    }

    #[test]
    fn equal_sets_compare_equal_however_they_were_built() {
        let expected: NumberSet<u16> = (22..=25).into();
        let numbers = vec![25, 22, 24, 23, 22];
        assert_eq!(NumberSet::from(&numbers), expected);
        assert_eq!(NumberSet::from(numbers.as_slice()), expected);
        assert_eq!(NumberSet::from([22, 23, 24, 25]), expected);
        assert_eq!(NumberSet::from(&[22, 23, 24, 25]), expected);
        assert_eq!(NumberSet::from(22..26), expected);
        assert_eq!(numbers.iter().collect::<NumberSet<u16>>(), expected);
        assert_eq!([22..=23, 24..=25].into_iter().collect::<NumberSet<u16>>(), expected);
        let (sorted, hashed) = (BTreeSet::from_iter(numbers.clone()), HashSet::<u16>::from_iter(numbers.clone()));
        assert_eq!(NumberSet::from(&sorted), expected);
        assert_eq!(NumberSet::from(sorted), expected);
        assert_eq!(NumberSet::from(&hashed), expected);
        assert_eq!(NumberSet::from(hashed), expected);
        assert_eq!(format!("{:?}", NumberSet::from(numbers)), "{22..=25}");
    }

    #[test]
    fn ranges_end_where_their_type_ends() {
        assert!(NumberSet::<u8>::from(..).contains(255));
        assert_eq!(NumberSet::<u8>::from(200..), NumberSet::from(200..=255));
        assert_eq!(NumberSet::<u8>::from(..=7), NumberSet::from(..8));
        assert!(NumberSet::<u64>::from(5..).contains(u64::MAX));
        assert!(NumberSet::<u16>::from(..0).is_empty() && NumberSet::<u16>::from([]).is_empty());
        assert_eq!(NumberSet::from([TcpState::SYN_SENT, TcpState::SYN_RECV]), (TcpState(1)..=TcpState(2)).into());
    }
}
