//! Sets of numbers as sorted ranges.

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
}
