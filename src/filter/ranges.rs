//! Sets of numbers as sorted ranges.

/// A number that ranges are made of.
pub(crate) trait Bound: Copy + Ord {
    /// The number after this one, if there is one.
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

/// A set of numbers: ranges with both ends in, sorted, with a gap between each and the next.
///
/// One set has one form, so that equal sets compare equal. Searching one of 10,000 ranges takes 14 comparisons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ranges<T>(Box<[(T, T)]>);

impl<T: Bound> Ranges<T> {
    /// The union of ranges in any order; one whose first is past its last is empty.
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
        Self(merged.into())
    }

    #[inline]
    pub(crate) fn contains(&self, number: T) -> bool {
        match &*self.0 {
            [] => false,
            [(first, last)] => (*first..=*last).contains(&number),
            ranges => {
                let after = ranges.partition_point(|(first, _)| *first <= number);
                after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
            }
        }
    }

    /// The only number in the set.
    pub(crate) fn single(&self) -> Option<T> {
        match *self.0 {
            [(first, last)] if first == last => Some(first),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }
}

/// At most `limit` ranges (at least one) that hold all of these: the narrowest gaps are closed.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(Ranges::new([(5_u32, 9), (1, 4), (20, 10)]).as_slice(), [(1, 9)]);
        assert_eq!(Ranges::new([(0_u32, u32::MAX), (7, 8)]).as_slice(), [(0, u32::MAX)]);
        assert_eq!(Ranges::new([(4_u64, 4)]).single(), Some(4));
    }

    proptest! {
        #[test]
        fn a_set_holds_what_its_ranges_hold(
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
        fn coarsening_loses_nothing_and_keeps_the_limit(
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
}
