//! Bytes of text, read from left to right.
//!
//! Numbers, keys and addresses are recognised a machine word at a time: a word of text is loaded, the bytes that end
//! the token are found with arithmetic on all its bytes at once, and its value comes from three multiplications. What
//! lies past the end of the line reads as zeros, which are part of no token.

use super::error::Expected;

/// Eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The word that a key of up to eight bytes reads as.
pub(super) const fn pack(mut text: &[u8]) -> u64 {
    let mut word = 0;
    let mut shift = 0;
    while let [byte, rest @ ..] = text {
        word |= (*byte as u64) << shift;
        shift += 8;
        text = rest;
    }
    word
}

/// The top bit of every byte that is no decimal digit, of digits as `byte ^ b'0'`.
#[inline(always)]
const fn non_digits(digits: u64) -> u64 {
    (((digits & each(0x7f)) + each(0x7f - 9)) | digits) & each(0x80)
}

/// The value of eight decimal digits, the first in the lowest byte.
#[inline(always)]
const fn value(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul((100 << 16) + 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul((10_000 << 32) + 1) >> 32
}

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(super) const fn peek(&self) -> Option<u8> {
        match self.rest {
            [byte, ..] => Some(*byte),
            [] => None,
        }
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    #[inline(always)]
    pub(super) fn starts_with<const N: usize>(&self, literal: &[u8; N]) -> bool {
        self.rest.first_chunk::<N>() == Some(literal)
    }

    /// Passes over `literal` if it comes next.
    #[inline(always)]
    pub(super) fn eat<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((next, rest)) if next == literal => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    pub(super) fn expect<const N: usize>(&mut self, literal: &[u8; N], expected: Expected) -> Result<(), Expected> {
        if self.eat(literal) { Ok(()) } else { Err(expected) }
    }

    #[inline(always)]
    pub(super) fn skip_spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Passes over what is between two pieces; the end of the line will do.
    #[inline(always)]
    pub(super) fn separate(&mut self) -> Result<(), Expected> {
        match self.rest {
            [b' ', rest @ ..] => {
                self.rest = rest;
                self.skip_spaces();
                Ok(())
            }
            [] => Ok(()),
            _ => Err(Expected::Separator),
        }
    }

    /// Takes everything up to the next space.
    #[inline(always)]
    pub(super) fn word(&mut self) -> &'a [u8] {
        self.until(|byte| byte == b' ')
    }

    /// Takes everything up to the first byte that is as asked for.
    #[inline(always)]
    pub(super) fn until(&mut self, end: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| end(*byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        word
    }

    /// The next eight bytes, the first in the lowest byte, zeros past the end.
    #[inline(always)]
    fn load(&self) -> u64 {
        match self.rest.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => pack(self.rest),
        }
    }

    /// The next sixteen bytes, as [`load`](Self::load).
    #[inline(always)]
    fn load_wide(&self) -> u128 {
        match self.rest.first_chunk() {
            Some(bytes) => u128::from_le_bytes(*bytes),
            None => self.load_wide_at_end(),
        }
    }

    #[cold]
    fn load_wide_at_end(&self) -> u128 {
        let mut bytes = [0; 16];
        for (target, byte) in bytes.iter_mut().zip(self.rest) {
            *target = *byte;
        }
        u128::from_le_bytes(bytes)
    }

    /// The key before the next `=` as [`pack`] makes it, and its length; where it is longer than seven bytes, the next
    /// eight bytes and 8.
    #[inline(always)]
    pub(super) fn key(&self) -> (u64, usize) {
        let word = self.load();
        let others = word ^ each(b'=');
        let ends = others.wrapping_sub(each(1)) & !others & each(0x80);
        let length = ends.trailing_zeros() / 8;
        let mask = 1_u64.checked_shl(8 * length).unwrap_or(0).wrapping_sub(1);
        (word & mask, length as usize)
    }

    /// Reads a decimal number.
    #[inline(always)]
    pub(super) fn number<T: TryFrom<u64>>(&mut self, expected: Expected) -> Result<T, Expected> {
        let digits = self.load() ^ each(b'0');
        let length = non_digits(digits).trailing_zeros() / 8;
        let number = match length {
            0 => return Err(expected),
            8 => return self.long_number(expected),
            _ => value(digits << (64 - 8 * length)),
        };
        let number = T::try_from(number).map_err(|_| expected)?;
        self.skip(length as usize);
        Ok(number)
    }

    #[inline(never)]
    fn long_number<T: TryFrom<u64>>(&mut self, expected: Expected) -> Result<T, Expected> {
        let mut rest = *self;
        let number = rest
            .until(|byte| !byte.is_ascii_digit())
            .iter()
            .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        let number = T::try_from(number.ok_or(expected)?).map_err(|_| expected)?;
        *self = rest;
        Ok(number)
    }

    /// Reads a number of at most four hexadecimal digits after `0x`.
    pub(super) fn hexadecimal(&mut self) -> Result<u16, Expected> {
        let mut rest = *self;
        let number = match rest.eat(b"0x") {
            true => rest.hexadecimal_digits(),
            false => None,
        };
        *self = rest_if(*self, rest, number.is_some());
        number.ok_or(Expected::Hexadecimal)
    }

    /// Reads one to four hexadecimal digits.
    pub(super) fn hexadecimal_digits(&mut self) -> Option<u16> {
        let mut number = 0;
        let mut length = 0;
        while let Some(digit) = self.rest.get(length).and_then(|byte| char::from(*byte).to_digit(16)) {
            number = number << 4 | digit;
            length += 1;
            if length > 4 {
                return None;
            }
        }
        self.skip(length);
        if length == 0 { None } else { u16::try_from(number).ok() }
    }

    /// Reads an IPv4 address.
    #[inline(always)]
    pub(super) fn ipv4(&mut self) -> Result<u32, Expected> {
        let text = self.load_wide();
        let digits = text ^ u128::from_le_bytes([b'0'; 16]);
        let mut ends = gather(non_digits(digits as u64)) | gather(non_digits((digits >> 64) as u64)) << 8;
        let (mut start, mut address, mut sound) = (0, 0, true);
        for place in 0..4 {
            let end = ends.trailing_zeros();
            ends &= ends.wrapping_sub(1);
            let (octet, octet_sound) = octet((digits >> (8 * (start & 15))) as u32, end.wrapping_sub(start));
            let dot = (text >> (8 * (end & 15))) as u8;
            sound &= octet_sound & (place == 3 || dot == b'.');
            address = address << 8 | octet;
            start = end.wrapping_add(1);
        }
        if !sound {
            return Err(Expected::Ipv4Address);
        }
        self.skip(start as usize - 1);
        Ok(address)
    }
}

fn rest_if<'a>(before: Cursor<'a>, after: Cursor<'a>, moved: bool) -> Cursor<'a> {
    if moved { after } else { before }
}

/// The top bits of eight bytes, in the order of the bytes.
#[inline(always)]
const fn gather(top_bits: u64) -> u32 {
    ((top_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// The value of the first `length` digits, and whether they are one to three without a leading zero and below 256.
#[inline(always)]
const fn octet(digits: u32, length: u32) -> (u32, bool) {
    let aligned = digits << (32_u32.wrapping_sub(8 * (length & 3)) & 31);
    let value = (aligned >> 24) + 10 * (aligned >> 16 & 0xf) + 100 * (aligned >> 8 & 0xf);
    // The least that one, two and three digits say: 0, 10 and 100.
    let least = 0x64_0a_00_00_u32 >> (8 * (length & 3)) & 0xff;
    (value, length.wrapping_sub(1) < 3 && value >= least && value < 256)
}
