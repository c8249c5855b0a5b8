//! Keyed hashes: a peer that chooses tuples or identifiers cannot make them collide.

use core::fmt;
use std::{collections::hash_map::RandomState, hash::BuildHasher};

/// SipHash-1-3 with a random key, as in the standard library.
///
/// Here it takes whole words. So it needs neither a buffer for single bytes nor a loop, and a third of the instructions.
#[derive(Clone)]
pub(super) struct WordHasher {
    key: [u64; 2],
}

impl Default for WordHasher {
    fn default() -> Self {
        // The only safe source of random numbers in the standard library.
        let random = RandomState::new();
        Self { key: [0, 1].map(|number: u64| random.hash_one(number)) }
    }
}

impl fmt::Debug for WordHasher {
    /// Keeps the key a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WordHasher").finish_non_exhaustive()
    }
}

impl WordHasher {
    #[inline]
    pub(super) fn hash<const WORDS: usize>(&self, words: [u64; WORDS]) -> u64 {
        let [one, two] = self.key;
        let state = [
            one ^ 0x736f_6d65_7073_6575,
            two ^ 0x646f_7261_6e64_6f6d,
            one ^ 0x6c79_6765_6e65_7261,
            two ^ 0x7465_6462_7974_6573,
        ];
        let absorb = |mut state: [u64; 4], word| {
            state[3] ^= word;
            state = round(state);
            state[0] ^= word;
            state
        };
        let length = (WORDS as u64 * 8) << 56;
        let mut state = absorb(words.into_iter().fold(state, absorb), length);
        state[2] ^= 0xff;
        let [a, b, c, d] = round(round(round(state)));
        a ^ b ^ c ^ d
    }
}

#[inline]
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// A hash of identifiers: multiply and shift by a random odd factor. It costs a tenth of the hash of tuples.
#[derive(Clone)]
pub(super) struct IdHasher {
    factor: u64,
}

impl Default for IdHasher {
    fn default() -> Self {
        Self { factor: RandomState::new().hash_one(0) | 1 }
    }
}

impl fmt::Debug for IdHasher {
    /// Keeps the factor a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdHasher").finish_non_exhaustive()
    }
}

impl IdHasher {
    #[inline]
    pub(super) const fn hash(&self, id: u32) -> u32 {
        // The multiplication mixes best into the high bits.
        (self.factor.wrapping_mul(id as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use proptest::prelude::*;

    use super::*;

    fn of_standard_library(words: &[u64]) -> u64 {
        // The key of a new one is 0.
        let mut hasher = DefaultHasher::new();
        words.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
        hasher.finish()
    }

    proptest! {
        #[test]
        fn words_hash_as_in_the_standard_library(words: [u64; 5]) {
            let hasher = WordHasher { key: [0; 2] };
            let [a, b, ..] = words;
            prop_assert_eq!(hasher.hash(words), of_standard_library(&words));
            prop_assert_eq!(hasher.hash([a, b]), of_standard_library(&[a, b]));
        }
    }

    #[test]
    fn each_table_has_keys_of_its_own() {
        let [one, other] = [(); 2].map(|()| (WordHasher::default(), IdHasher::default()));
        assert_ne!(one.0.hash([1, 2]), other.0.hash([1, 2]));
        assert_ne!(one.1.factor, other.1.factor);
        assert_eq!(one.0.hash([1, 2]), one.0.clone().hash([1, 2]));
        assert!(!format!("{one:?}").contains(&one.0.key[0].to_string()));
    }
}
