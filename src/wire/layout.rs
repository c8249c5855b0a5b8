//! Nests as the kernel writes them, recognised whole.
//!
//! The kernel writes most nests in one way only: the same attributes, in the same order, of the same lengths. Comparing
//! all the headers of such a nest at once, and then reading its values where they have to be, takes a fraction of the
//! time of a walk. A nest that differs in anything is walked: the result is the same, and a property test holds that.

use byteorder::{ByteOrder, NetworkEndian};

use super::attribute::NESTED;

/// The headers of a nest of exactly `N` bytes, `H` of them.
#[derive(Debug)]
pub(crate) struct Layout<const N: usize, const H: usize> {
    headers: [Expected; H],
}

/// An attribute's header: where it stands, and its four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    at: usize,
    header: u32,
}

impl Expected {
    /// At byte `at`, an attribute of `length` bytes with its header.
    pub(crate) const fn value(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number) }
    }

    /// At byte `at`, a nest of `length` bytes with its header.
    pub(crate) const fn nest(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number | NESTED) }
    }
}

/// Length and type as they stand in memory.
pub(super) const fn header(length: u16, kind: u16) -> u32 {
    let ([l0, l1], [k0, k1]) = (length.to_ne_bytes(), kind.to_ne_bytes());
    u32::from_ne_bytes([l0, l1, k0, k1])
}

impl<const N: usize, const H: usize> Layout<N, H> {
    pub(crate) const fn new(headers: [Expected; H]) -> Self {
        Self { headers }
    }

    /// The bytes, if every header is the one expected and nothing follows.
    #[inline(always)]
    pub(crate) fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<Fixed<'a, N>> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        let fixed = Fixed(bytes);
        let mut difference = 0;
        for expected in &self.headers {
            difference |= u32::from_ne_bytes(fixed.array(expected.at)) ^ expected.header;
        }
        (difference == 0).then_some(fixed)
    }
}

/// A nest whose layout is known: values are read by their place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Fixed<'_, N> {
    /// `M` bytes at a place within the nest; zeros for a place outside it, of which no layout has one.
    #[inline(always)]
    pub(crate) fn array<const M: usize>(&self, at: usize) -> [u8; M] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; M])
    }

    #[inline(always)]
    pub(crate) fn u8(&self, at: usize) -> u8 {
        let [byte] = self.array(at);
        byte
    }

    #[inline(always)]
    pub(crate) fn u16(&self, at: usize) -> u16 {
        NetworkEndian::read_u16(&self.array::<2>(at))
    }

    #[inline(always)]
    pub(crate) fn u64(&self, at: usize) -> u64 {
        NetworkEndian::read_u64(&self.array::<8>(at))
    }
}
