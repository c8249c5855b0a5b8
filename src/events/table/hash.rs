//! A keyed hash: a peer that chooses tuples cannot make their hashes collide.

use core::fmt;
use std::{collections::hash_map::RandomState, hash::BuildHasher};

/// A hash of a few words with random factors.
///
/// It is strongly universal: whoever does not know the factors cannot choose two different keys whose hashes are equal, or
/// related in any way, more often than random numbers are. (M. Dietzfelbinger, "Universal hashing and k-wise independent
/// random variables via integer arithmetic without primes", STACS 1996, for 64 of 128 bits.) A network peer sees neither
/// the hashes nor the time that a search takes, so this is as good as SipHash here, and takes a sixth of the instructions.
#[derive(Clone)]
pub(super) struct WordHasher {
    /// One for each word, and a summand.
    factors: [u128; MOST_WORDS],
    summand: u128,
}

/// The words of the longest key.
const MOST_WORDS: usize = 5;

impl Default for WordHasher {
    fn default() -> Self {
        // The only safe source of random numbers in the standard library.
        let random = RandomState::new();
        let half = |number: usize| u128::from(random.hash_one(number));
        let number = |at| half(2 * at) << 64 | half(2 * at + 1);
        Self { factors: core::array::from_fn(number), summand: number(MOST_WORDS) }
    }
}

impl fmt::Debug for WordHasher {
    /// Keeps the factors a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WordHasher").finish_non_exhaustive()
    }
}

impl WordHasher {
    /// Returns the hash of at most five words.
    #[inline]
    pub(super) fn hash<const WORDS: usize>(&self, words: [u64; WORDS]) -> u32 {
        const { assert!(WORDS <= MOST_WORDS) };
        let products = words.into_iter().zip(self.factors).map(|(word, factor)| factor.wrapping_mul(word.into()));
        let sum = products.fold(self.summand, u128::wrapping_add);
        spread((sum >> 64) as u64)
    }
}

/// Adjacent keys have hashes at a constant distance, which would fill adjacent buckets. This bijection, the last
/// step of MurmurHash3, scatters them.
#[inline]
const fn spread(number: u64) -> u32 {
    let number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// 65,536 keys that differ in a few bits, at any place of either word.
    #[test]
    fn regular_keys_have_random_hashes() {
        let hasher = WordHasher::default();
        for shift in [0, 1, 16, 31, 32, 48] {
            for keys in [|key| [key, 7], |key| [7, key], |key| [key, key], |key| [key & 0xff, key >> 8]] {
                let hashes = (0..1 << 16).map(|number| hasher.hash(keys(number << shift)));
                let different: HashSet<u32> = hashes.collect();
                // Half a collision is expected.
                assert!(different.len() > 65_536 - 12, "{shift}: {}", different.len());
                // So many random numbers hit 63.2 % of the values of 16 bits: 41,427, with a deviation of 103.
                let of_16_bits: HashSet<u32> = different.into_iter().map(|hash| hash >> 16).collect();
                assert!((40_600..42_300).contains(&of_16_bits.len()), "{shift}: {}", of_16_bits.len());
            }
        }
    }

    #[test]
    fn every_word_changes_the_hash() {
        let hasher = WordHasher::default();
        let all = (0..MOST_WORDS).flat_map(|at| (0..64).map(move |bit| (at, bit)));
        let hashes: HashSet<u32> = all
            .map(|(at, bit)| {
                let mut words = [0; MOST_WORDS];
                words[at] = 1 << bit;
                hasher.hash(words)
            })
            .collect();
        assert!(hashes.len() > 5 * 64 - 3, "{}", hashes.len());
    }

    #[test]
    fn each_table_has_factors_of_its_own() {
        let [one, other] = [(); 2].map(|()| WordHasher::default());
        assert_ne!(one.hash([1, 2]), other.hash([1, 2]));
        assert_eq!(one.hash([1, 2]), one.clone().hash([1, 2]));
        assert!(!format!("{one:?}").contains(&one.summand.to_string()));
    }
}
