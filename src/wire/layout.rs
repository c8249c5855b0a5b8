//! Nests as the kernel writes them, recognised whole.
//!
//! The kernel writes most nests in one way only: the same attributes, in the same order, of the same lengths. Comparing
//! all the headers of such a nest at once, and then reading its values where they have to be, takes a fraction of the
//! time of a walk. A nest that differs in anything is walked: the result is the same, and a property test holds that.

use byteorder::{ByteOrder, NetworkEndian};

use super::header::{NESTED, header};

/// The headers of a nest of exactly `N` bytes, `H` of them.
#[derive(Debug)]
pub(crate) struct FixedLayout<const N: usize, const H: usize> {
    headers: [HeaderAt; H],
}

/// An attribute's header: where it stands, and its four bytes.
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

    /// The bytes, if every header is the one expected and nothing follows.
    #[inline(always)]
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

/// A nest whose layout is known: values are read by their place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedNest<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> FixedNest<'_, N> {
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
