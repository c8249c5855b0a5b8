//! Nests in the kernel's layout, recognized as a whole.
//!
//! The kernel writes most nests in one way only: the same attributes, in the same order, of the same lengths. The plain
//! way to read a nest is a walk, attribute by attribute. For such a nest it is faster to compare all headers at once and
//! to read the values at their fixed positions. A nest that differs in anything is walked. Both ways give the same
//! result, which a property test checks.

use byteorder::{ByteOrder, NetworkEndian};

use super::header::{NESTED, header};

/// The headers of a nest of exactly `N` bytes, `H` of them.
#[derive(Debug)]
pub(crate) struct FixedLayout<const N: usize, const H: usize> {
    headers: [HeaderAt; H],
}

/// The header of an attribute: its position and its four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderAt {
    at: usize,
    header: u32,
}

impl HeaderAt {
    /// At byte `at`, an attribute of `length` bytes with its header.
    pub(crate) const fn value(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number) }
    }

    /// At byte `at`, a nest of `length` bytes with its header.
    pub(crate) const fn nest(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number | NESTED) }
    }
}

impl<const N: usize, const H: usize> FixedLayout<N, H> {
    pub(crate) const fn new(headers: [HeaderAt; H]) -> Self {
        Self { headers }
    }

    /// Returns the nest if all its headers are as expected and nothing follows.
    #[inline]
    pub(crate) fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<FixedNest<'a, N>> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        let fixed = FixedNest(bytes);
        let mut difference = 0;
        for expected in &self.headers {
            difference |= u32::from_ne_bytes(fixed.array(expected.at)) ^ expected.header;
        }
        (difference == 0).then_some(fixed)
    }
}

/// A nest with a known layout. Values are read by their position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedNest<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> FixedNest<'_, N> {
    /// Returns `M` bytes at a position in the nest. No layout has a position outside it, which would give zeros.
    #[inline]
    pub(crate) fn array<const M: usize>(&self, at: usize) -> [u8; M] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; M])
    }

    #[inline]
    pub(crate) fn u8(&self, at: usize) -> u8 {
        let [byte] = self.array(at);
        byte
    }

    #[inline]
    pub(crate) fn u16(&self, at: usize) -> u16 {
        NetworkEndian::read_u16(&self.array::<2>(at))
    }

    #[inline]
    pub(crate) fn u64(&self, at: usize) -> u64 {
        NetworkEndian::read_u64(&self.array::<8>(at))
    }
}
