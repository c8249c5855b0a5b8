//! Sets of numbers.

use core::{
    fmt,
    marker::PhantomData,
    ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive},
};
use std::collections::{BTreeSet, HashSet};

use super::ranges::Ranges;
use crate::model::{DccpRole, DccpState, Family, Protocol, SctpState, TcpState};

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

#[cfg(test)]
mod tests {
    use super::*;

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
