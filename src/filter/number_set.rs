//! Sets of numbers, as the caller gives them.

use core::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::ranges::Ranges;
use crate::model::{DccpRole, DccpState, Family, Protocol, SctpState, TcpState};

/// A set of numbers: one (`22`), a range (`1024..=65535`, `..30`, `1_000_000..`), or many (`[80, 443]`).
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
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberSet<T>(Vec<(T, T)>);

/// What a [`NumberSet`] may hold: `u8`, `u16`, `u32`, `u64`, and the crate's protocols, families, states and roles.
pub trait Number: sealed::Number {}

pub(super) mod sealed {
    #[allow(unnameable_types, reason = "sealed: which numbers there are is this crate's matter")]
    pub trait Number: Copy + Ord {
        const LEAST: Self;
        const GREATEST: Self;
        fn value(self) -> u64;
        fn predecessor(self) -> Option<Self>;
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl sealed::Number for $number {
            const LEAST: Self = <$number>::MIN;
            const GREATEST: Self = <$number>::MAX;
            fn value(self) -> u64 {
                self.into()
            }
            fn predecessor(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
        impl Number for $number {}
    )* };
}

macro_rules! open_enums {
    ($($name:ident)*) => { $(
        impl sealed::Number for $name {
            const LEAST: Self = Self(u8::MIN);
            const GREATEST: Self = Self(u8::MAX);
            fn value(self) -> u64 {
                self.0.into()
            }
            fn predecessor(self) -> Option<Self> {
                self.0.checked_sub(1).map(Self)
            }
        }
        impl Number for $name {}
    )* };
}

numbers!(u8 u16 u32 u64);
open_enums!(Protocol Family TcpState SctpState DccpState DccpRole);

impl<T: Number> NumberSet<T> {
    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, number: T) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    pub(super) fn into_ranges(self) -> Ranges<u64> {
        Ranges::new(self.0.into_iter().map(|(first, last)| (first.value(), last.value())))
    }
}

impl<T: Number> From<T> for NumberSet<T> {
    fn from(number: T) -> Self {
        Self(vec![(number, number)])
    }
}

impl<T: Number> From<RangeInclusive<T>> for NumberSet<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        Self(vec![range.into_inner()])
    }
}

impl<T: Number> From<Range<T>> for NumberSet<T> {
    fn from(range: Range<T>) -> Self {
        Self(range.end.predecessor().map(|last| (range.start, last)).into_iter().collect())
    }
}

impl<T: Number> From<RangeFrom<T>> for NumberSet<T> {
    fn from(range: RangeFrom<T>) -> Self {
        Self(vec![(range.start, T::GREATEST)])
    }
}

impl<T: Number> From<RangeTo<T>> for NumberSet<T> {
    fn from(range: RangeTo<T>) -> Self {
        (T::LEAST..range.end).into()
    }
}

impl<T: Number> From<RangeToInclusive<T>> for NumberSet<T> {
    fn from(range: RangeToInclusive<T>) -> Self {
        (T::LEAST..=range.end).into()
    }
}

impl<T: Number> From<RangeFull> for NumberSet<T> {
    fn from(_: RangeFull) -> Self {
        (T::LEAST..=T::GREATEST).into()
    }
}

impl<T: Number, N: Into<Self>> FromIterator<N> for NumberSet<T> {
    fn from_iter<I: IntoIterator<Item = N>>(sets: I) -> Self {
        Self(sets.into_iter().flat_map(|set| set.into().0).collect())
    }
}

impl<T: Number, const N: usize> From<[T; N]> for NumberSet<T> {
    fn from(numbers: [T; N]) -> Self {
        numbers.into_iter().collect()
    }
}

impl<T: Number> From<Vec<T>> for NumberSet<T> {
    fn from(numbers: Vec<T>) -> Self {
        numbers.into_iter().collect()
    }
}
