//! Tokens of a line: numbers, keys and addresses.
//!
//! Each function has a plain meaning, and the tests compare it with the standard library on random text: numbers are
//! read like `str::parse`, IPv4 addresses like `Ipv4Addr`, and a key is everything before the next `=`.
//!
//! The implementation works on eight or sixteen bytes at once. The invariant of all of them:
//!
//! 1. [`load`](Cursor::load) returns the next eight bytes as an integer, the first byte in the lowest bits, zeros after the
//!    end of the line. Zero is part of no token, so the end of the line ends every token.
//! 2. Arithmetic on the whole integer sets the top bit of each byte that ends the token. A carry can only spoil bytes after
//!    the first such byte, so `trailing_zeros` finds the end of the token, and nothing after it is used.
//! 3. The digits before the end are shifted to the top, which fills the rest with zeros. [`value`] adds the eight digits up
//!    with three multiplications.
//!
//! For the lines of the kernel, reading numbers digit by digit takes 4 % more instructions, and finding keys byte by byte
//! 14 % more. An IPv4 address takes as many instructions as a loop, but no branch depends on the length of its octets.

use super::error::Expected;

/// Eight copies of a byte.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The integer that [`Cursor::key`] returns for a key of up to eight bytes.
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

/// Sets the top bit of every byte that is not a decimal digit. Takes `byte ^ b'0'`, which is below 10 for a digit. A byte
/// above 0x7f may carry into the next byte, so only the first marked byte is reliable.
#[inline(always)]
const fn non_digits(digits: u64) -> u64 {
    (digits.wrapping_add(each(0x7f - 9)) | digits) & each(0x80)
}

/// Sets the top bit of every byte that is at most a space: of blanks, and of the zeros after the end. As in
/// [`non_digits`], only the first marked byte is reliable.
#[inline(always)]
const fn non_words(text: u64) -> u64 {
    text.wrapping_sub(each(b' ' + 1)) & !text & each(0x80)
}

/// The value of eight decimal digits, the first in the lowest byte. Pairs of digits are added up first, then pairs of
/// pairs, then both halves.
#[inline(always)]
const fn value(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul((100 << 16) + 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul((10_000 << 32) + 1) >> 32
}

/// The rest of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// The last eight bytes of the line, from which [`load`](Self::load) reads if fewer are left.
    tail: u64,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let tail = match bytes.last_chunk() {
            Some(tail) => u64::from_le_bytes(*tail),
            None => pack(bytes).checked_shl(8 * (8 - bytes.len() as u32)).unwrap_or(0),
        };
        Self { rest: bytes, tail }
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

    /// Takes `literal`, if it comes next.
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

    /// Takes the blanks after a field, and the key of the required next field.
    #[inline(always)]
    pub(super) fn expect_next<const N: usize>(&mut self, key: &[u8; N], expected: Expected) -> Result<(), Expected> {
        self.separate()?;
        if self.eat(key) {
            return Ok(());
        }
        self.rest = after_blanks(self.rest, key).ok_or(expected)?;
        Ok(())
    }

    /// Returns true if the next field begins with such a byte. Skips additional blanks before it, and checks for them last,
    /// because there are hardly ever any.
    #[inline(always)]
    pub(super) fn begins(&mut self, is_first: impl Fn(&u8) -> bool) -> bool {
        match self.rest {
            [byte, ..] if is_first(byte) => true,
            [b' ' | b'\t', ..] => {
                self.skip_blanks();
                self.rest.first().is_some_and(is_first)
            }
            _ => false,
        }
    }

    #[inline(always)]
    pub(super) fn skip_blanks(&mut self) {
        self.rest = without_blanks(self.rest);
    }

    /// Takes the space between two fields, or nothing at the end of the line. The reader of the next field skips
    /// additional blanks.
    #[inline(always)]
    pub(super) fn separate(&mut self) -> Result<(), Expected> {
        match self.rest {
            [b' ', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            other => separate_otherwise(other),
        }
    }

    /// Takes a word and the blanks after it: at once if it fills a column of eight, as the kernel prints names.
    #[inline(always)]
    pub(super) fn padded_word(&mut self) -> &'a [u8] {
        let text = self.load();
        let length = non_words(text).trailing_zeros() & !7;
        let padding = (text ^ each(b' ')).checked_shr(length);
        match self.rest.split_at_checked(9) {
            Some((field, rest)) if padding == Some(0) && field.last() == Some(&b' ') && rest.first() > Some(&b' ') => {
                self.rest = rest;
                field.get(..(length / 8) as usize).unwrap_or_default()
            }
            _ => {
                let word = self.word();
                self.skip_blanks();
                word
            }
        }
    }

    /// Takes everything up to the next blank.
    #[inline(always)]
    pub(super) fn word(&mut self) -> &'a [u8] {
        let mut ahead = *self;
        loop {
            let length = non_words(ahead.load()).trailing_zeros() / 8;
            ahead.skip(length as usize);
            if length < 8 {
                break;
            }
        }
        if !matches!(ahead.rest, [] | [b' ' | b'\t', ..]) {
            return self.until(|byte| matches!(byte, b' ' | b'\t'));
        }
        self.take(self.rest.len() - ahead.rest.len())
    }

    /// Takes everything before the first byte that satisfies `end`.
    #[inline(always)]
    pub(super) fn until(&mut self, end: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| end(*byte)).unwrap_or(self.rest.len());
        self.take(length)
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// The next eight bytes, the first in the lowest byte, zeros past the end.
    #[inline(always)]
    fn load(&self) -> u64 {
        match self.rest.first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => self.tail.checked_shr(8 * (8 - self.rest.len() as u32)).unwrap_or(0),
        }
    }

    /// The next sixteen bytes, in the form of [`load`](Self::load).
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

    /// The key before the next `=` in the form of [`pack`], and its length. If no `=` is among the next eight bytes, those
    /// eight bytes and the length 8.
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
    pub(super) fn number<T: TryFrom<u64> + From<u8>>(&mut self, expected: Expected) -> Result<T, Expected> {
        if let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            if !matches!(rest, [b'0'..=b'9', ..]) {
                self.rest = rest;
                return Ok((digit - b'0').into());
            }
        }
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

    /// Reads a number of eight digits or more, eight at a time.
    #[inline(never)]
    fn long_number<T: TryFrom<u64>>(&mut self, expected: Expected) -> Result<T, Expected> {
        let mut ahead = *self;
        let mut number = 0_u64;
        loop {
            let digits = ahead.load() ^ each(b'0');
            let length = non_digits(digits).trailing_zeros() / 8;
            let part = if length == 0 { 0 } else { value(digits << (64 - 8 * length)) };
            let unit = 10_u64.pow(length);
            number = number.checked_mul(unit).and_then(|number| number.checked_add(part)).ok_or(expected)?;
            ahead.skip(length as usize);
            if length < 8 {
                break;
            }
        }
        let number = T::try_from(number).map_err(|_| expected)?;
        *self = ahead;
        Ok(number)
    }

    /// Reads `0x` and one to four hexadecimal digits.
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

    /// Reads an IPv4 address: four numbers below 256 without leading zeros, between dots.
    ///
    /// The ends of the four numbers are the first four bytes that are not digits. Errors are gathered and checked once.
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

/// The rest after blanks and `key`.
#[cold]
#[inline(never)]
fn after_blanks<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    without_blanks(bytes).strip_prefix(key)
}

/// The end of the line is a separator too, and so is a tab, which is skipped as a blank before the next field.
#[cold]
#[inline(never)]
const fn separate_otherwise(bytes: &[u8]) -> Result<(), Expected> {
    if let [] | [b'\t', ..] = bytes { Ok(()) } else { Err(Expected::Separator) }
}

/// The rest after blanks.
#[cold]
#[inline(never)]
fn without_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn rest_if<'a>(before: Cursor<'a>, after: Cursor<'a>, moved: bool) -> Cursor<'a> {
    if moved { after } else { before }
}

/// The top bits of eight bytes as eight bits, the first byte in the lowest bit.
#[inline(always)]
const fn gather(top_bits: u64) -> u32 {
    ((top_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// The value of the first `length` digits, and whether it is an octet: one to three digits, no leading zero, below 256.
#[inline(always)]
const fn octet(digits: u32, length: u32) -> (u32, bool) {
    let aligned = digits << (32_u32.wrapping_sub(8 * (length & 3)) & 31);
    let value = (aligned >> 24) + 10 * (aligned >> 16 & 0xf) + 100 * (aligned >> 8 & 0xf);
    // The smallest numbers of one, two and three digits: 0, 10 and 100.
    let least = 0x64_0a_00_00_u32 >> (8 * (length & 3)) & 0xff;
    (value, length.wrapping_sub(1) < 3 && value >= least && value < 256)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_end_at_the_equals_sign() {
        assert_eq!(Cursor::new(b"use=2").key(), (pack(b"use"), 3));
        assert_eq!(Cursor::new(b"packets=1").key(), (pack(b"packets"), 7));
        assert_eq!(Cursor::new(b"zone-orig=1").key(), (pack(b"zone-ori"), 8));
        assert_eq!(Cursor::new(b"=").key(), (0, 0));
        assert_eq!(Cursor::new(b"").key(), (0, 8));
    }

    #[test]
    fn words_are_read_with_and_without_padding() {
        for (text, word, rest) in [
            ("ipv4     2 tcp", "ipv4", "2 tcp"),
            ("udplite  136 ", "udplite", "136 "),
            ("longername 5 and more", "longername", "5 and more"),
            ("tcp 6 29 src=10.0.0.1", "tcp", "6 29 src=10.0.0.1"),
            ("tcp          6 29 src", "tcp", "6 29 src"),
            ("exactly8 7 more", "exactly8", "7 more"),
            ("tcp", "tcp", ""),
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!((cursor.padded_word(), cursor.rest()), (word.as_bytes(), rest.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_malformed_token_is_not_consumed() {
        for text in ["", "x", "256", "99999999999999999999"] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!((cursor.number::<u8>(Expected::U8), cursor.rest()), (Err(Expected::U8), text.as_bytes()));
        }
        for text in ["", "x", "0x12345", "0x", "1.2.3", "1.2.3.", "1.2.3.256", "1.2.3.4444", "1.2.3.04", "1..2.3"] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!((cursor.ipv4(), cursor.rest()), (Err(Expected::Ipv4Address), text.as_bytes()), "{text}");
            assert_eq!((cursor.hexadecimal(), cursor.rest()), (Err(Expected::Hexadecimal), text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_match_the_standard_library(number: u64, shift in 0..64_u32, zeros in 0..9_usize, tail in "[ ,\\]é]?.{0,9}") {
            let digits = format!("{}{}", "0".repeat(zeros), number >> shift);
            prop_assume!(!tail.starts_with(|first: char| first.is_ascii_digit()));
            let text = format!("{digits}{tail}");
            let mut cursor = Cursor::new(text.as_bytes());
            prop_assert_eq!(cursor.number::<u64>(Expected::U64).ok(), digits.parse::<u64>().ok());
            prop_assert_eq!(cursor.rest(), tail.as_bytes());
            let mut cursor = Cursor::new(text.as_bytes());
            let narrow = cursor.number::<u16>(Expected::U16);
            prop_assert_eq!(narrow.ok(), digits.parse::<u16>().ok());
            prop_assert_eq!(cursor.rest(), if narrow.is_ok() { tail.as_bytes() } else { text.as_bytes() });
        }

        #[test]
        fn words_end_at_the_first_blank(text in "([!-~é]{0,12}[ \t\r\\x00\\x1f]{0,2}){0,4}") {
            let mut cursor = Cursor::new(text.as_bytes());
            let word = text.split([' ', '\t']).next().unwrap();
            prop_assert_eq!(cursor.word(), word.as_bytes());
            prop_assert_eq!(cursor.rest(), &text.as_bytes()[word.len()..]);
        }

        #[test]
        fn ipv4_addresses_match_the_standard_library(text in "[0-9]{1,3}(\\.[0-9]{1,3}){2,3}(\\.|é|x)?", tail in " .{0,9}|") {
            let mut cursor = Cursor::new(text.as_bytes());
            let alone = cursor.ipv4().ok().filter(|_| cursor.is_at_end());
            prop_assert_eq!(alone.map(Ipv4Addr::from_bits), text.parse().ok());
            let text = format!("{text}{tail}");
            let mut cursor = Cursor::new(text.as_bytes());
            let followed = cursor.ipv4().ok().filter(|_| cursor.rest() == tail.as_bytes());
            prop_assert_eq!(followed, alone);
        }

        #[test]
        fn every_ipv4_address_is_read(bits: u32, mask: u32, tail in "( .{0,20})?") {
            let address = Ipv4Addr::from_bits(bits & mask).to_string();
            let text = format!("{address}{tail}");
            let mut cursor = Cursor::new(text.as_bytes());
            prop_assert_eq!(cursor.ipv4(), Ok(bits & mask));
            prop_assert_eq!(cursor.rest(), tail.as_bytes());
        }
    }
}
