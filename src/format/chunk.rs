//! Chunks of output whose length has a bound, and numbers as digits.

use core::net::{IpAddr, Ipv4Addr};

/// Room for two addresses and the words around them, and for the unused bytes that are stored after the last digit.
pub(super) type ChunkBuffer = [u8; 128];

/// A chunk being printed: fragments that together fit a [`ChunkBuffer`].
///
/// Its length is in a register. If each fragment updated the length of the whole output, which is in memory, each would
/// wait for the store of the one before it.
pub(super) struct Chunk<'l> {
    buffer: &'l mut ChunkBuffer,
    length: usize,
}

/// A part of a chunk: a constant word, a decimal number, an address, or a tuple of those.
pub(super) trait Fragment {
    fn print(self, chunk: &mut Chunk<'_>);
}

/// A number in hexadecimal, followed by one ASCII byte.
pub(super) struct HexadecimalAnd(pub(super) u16, pub(super) u8);

impl Fragment for &'static str {
    #[inline(always)]
    fn print(self, chunk: &mut Chunk<'_>) {
        chunk.store(self.as_bytes(), self.len());
    }
}

impl Fragment for u64 {
    #[inline(always)]
    fn print(self, chunk: &mut Chunk<'_>) {
        if self < EIGHT_DIGITS {
            chunk.digits(decimal(self as u32));
        } else {
            chunk.length = long_decimal(chunk.buffer, chunk.length, self);
        }
    }
}

impl Fragment for HexadecimalAnd {
    #[inline(always)]
    fn print(self, chunk: &mut Chunk<'_>) {
        chunk.digits(hexadecimal_and(self.0, self.1));
    }
}

impl Fragment for IpAddr {
    #[inline(always)]
    fn print(self, chunk: &mut Chunk<'_>) {
        match self {
            Self::V4(address) => chunk.ipv4(address),
            Self::V6(address) => chunk.length = ipv6(chunk.buffer, chunk.length, address.to_bits()),
        }
    }
}

macro_rules! numbers {
    ($($number:ident)+) => { $(
        impl Fragment for $number {
            #[inline(always)]
            fn print(self, chunk: &mut Chunk<'_>) {
                u64::from(self).print(chunk);
            }
        }
    )+ };
}

numbers!(u8 u16 u32);

macro_rules! fragments {
    ($($fragment:ident)+) => {
        impl<$($fragment: Fragment),+> Fragment for ($($fragment,)+) {
            #[inline(always)]
            #[allow(non_snake_case, reason = "a fragment is named as its type")]
            fn print(self, chunk: &mut Chunk<'_>) {
                let ($($fragment,)+) = self;
                $( $fragment.print(chunk); )+
            }
        }
    };
}

fragments!(A B);
fragments!(A B C);
fragments!(A B C D);
fragments!(A B C D E);

impl<'l> Chunk<'l> {
    /// Prints a fragment and returns its length in bytes.
    #[inline(always)]
    pub(super) fn print(buffer: &'l mut ChunkBuffer, fragment: impl Fragment) -> usize {
        let mut chunk = Self { buffer, length: 0 };
        fragment.print(&mut chunk);
        chunk.length
    }

    #[inline(always)]
    fn ipv4(&mut self, address: Ipv4Addr) {
        for octet in address.octets() {
            if let Some(digits) = OCTETS.get(usize::from(octet)) {
                self.digits(*digits);
            }
        }
        self.drop_last();
    }

    /// Prints groups in hexadecimal, each followed by a colon. `::` replaces the longest run of zeros.
    #[inline(always)]
    fn groups(&mut self, groups: [u16; 8]) {
        let left_out = longest_run_of_zeros(groups);
        if left_out & 1 != 0 {
            ":".print(self);
        }
        for (place, group) in groups.into_iter().enumerate() {
            if left_out >> place & 1 == 0 {
                HexadecimalAnd(group, b':').print(self);
            } else if left_out >> place << place == left_out {
                ":".print(self);
            }
        }
        if left_out >> 7 == 0 {
            self.drop_last();
        }
    }

    #[inline(always)]
    fn drop_last(&mut self) {
        self.length -= 1;
    }

    /// Stores all `N` bytes and counts the valid ones.
    #[inline(always)]
    fn digits<const N: usize>(&mut self, digits: Digits<N>) {
        self.store(&digits.bytes, digits.length.into());
    }

    #[inline(always)]
    fn store(&mut self, bytes: &[u8], length: usize) {
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += length;
            }
            None => debug_assert!(false, "a chunk of a line has no bound"),
        }
    }
}

// These functions are not inlined. They take and return the length by value, which keeps it in a register of the caller.

#[inline(never)]
fn long_decimal(buffer: &mut ChunkBuffer, length: usize, value: u64) -> usize {
    let mut chunk = Chunk { buffer, length };
    let mut rest = value / EIGHT_DIGITS;
    if rest >= EIGHT_DIGITS {
        chunk.digits(decimal((rest / EIGHT_DIGITS) as u32));
        rest %= EIGHT_DIGITS;
        chunk.digits(Digits { bytes: padded_decimal(rest as u32), length: 8 });
    } else {
        chunk.digits(decimal(rest as u32));
    }
    chunk.digits(Digits { bytes: padded_decimal((value % EIGHT_DIGITS) as u32), length: 8 });
    chunk.length
}

/// Prints like `inet_ntop`: `::` replaces the first of the longest runs of two or more zero groups (RFC 5952), and the last
/// 32 bits print as an IPv4 address after 80 zero bits and `ffff`, or after 96 zero bits.
#[inline(never)]
fn ipv6(buffer: &mut ChunkBuffer, length: usize, bits: u128) -> usize {
    let mut chunk = Chunk { buffer, length };
    let (first_bits, last) = (bits >> 32, Ipv4Addr::from_bits(bits as u32));
    if first_bits == 0xffff {
        "::ffff:".print(&mut chunk);
        chunk.ipv4(last);
    } else if first_bits == 0 && bits >> 16 != 0 {
        // `::1` and `::` do not contain IPv4 addresses.
        "::".print(&mut chunk);
        chunk.ipv4(last);
    } else {
        chunk.groups(core::array::from_fn(|place| (bits >> (112 - 16 * place)) as u16));
    }
    chunk.length
}

/// The first of the longest runs of two or more zero groups, as a set of bits (the lowest for the first group), or 0.
#[inline(always)]
fn longest_run_of_zeros(groups: [u16; 8]) -> u8 {
    let zeros = groups.into_iter().rev().fold(0_u8, |zeros, group| zeros << 1 | u8::from(group == 0));
    RUNS.get(usize::from(zeros)).copied().unwrap_or_default()
}

/// For every set of zero groups, the first of its longest runs of two or more.
#[allow(clippy::indexing_slicing, reason = "in bounds, or it would not compile")]
static RUNS: [u8; 256] = {
    let mut runs = [0_u8; 256];
    let mut zeros = 0;
    while zeros < runs.len() {
        let mut start = 0;
        while start < 8 {
            let length = (zeros >> start).trailing_ones();
            if length >= 2 && length > runs[zeros].count_ones() {
                runs[zeros] = (((1 << length) - 1) << start) as u8;
            }
            start += 1;
        }
        zeros += 1;
    }
    runs
};

// Digits are computed eight decimal or four hexadecimal ones at a time, side by side in the bytes of one integer, the first
// digit in the lowest byte. Then one copy stores them, and the number of trailing zero bits is the number of leading zeros
// to leave out.

/// The first number that `eight_digits` cannot print.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The digits of a number as text, of which only the first `length` bytes count.
#[derive(Clone, Copy)]
struct Digits<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

/// Every octet in decimal, followed by a dot.
#[allow(clippy::indexing_slicing, reason = "in bounds, or it would not compile")]
static OCTETS: [Digits<4>; 256] = {
    let mut octets = [Digits { bytes: [0; 4], length: 0 }; 256];
    let mut octet = 0;
    while octet < octets.len() {
        octets[octet] = with_dot(decimal(octet as u32));
        octet += 1;
    }
    octets
};

const fn with_dot(octet: Digits<8>) -> Digits<4> {
    let text = u64::from_le_bytes(octet.bytes) as u32;
    // The bytes after the digits are zero.
    let text = text | (b'.' as u32) << (octet.length * 8);
    Digits { bytes: text.to_le_bytes(), length: octet.length + 1 }
}

/// A number below 10⁸ in decimal, without leading zeros.
#[inline]
const fn decimal(value: u32) -> Digits<8> {
    let digits = eight_digits(value);
    // The number 0 has one digit.
    let leading = min(digits.trailing_zeros() / 8, 7);
    let text = (digits | 0x3030_3030_3030_3030) >> (leading * 8);
    Digits { bytes: text.to_le_bytes(), length: 8 - leading as u8 }
}

/// A number below 10⁸ in decimal, with leading zeros to eight digits.
#[inline]
pub(super) const fn padded_decimal(value: u32) -> [u8; 8] {
    (eight_digits(value) | 0x3030_3030_3030_3030).to_le_bytes()
}

/// A number in lower-case hexadecimal without leading zeros, followed by the byte `next`.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a byte is in the table")]
fn hexadecimal_and(value: u16, next: u8) -> Digits<8> {
    let [high, low] = value.to_be_bytes().map(|byte| u32::from(BYTES[usize::from(byte)]));
    let digits = high | low << 16;
    // The number 0 has one digit.
    let leading = (digits ^ 0x3030_3030 | 1 << 24).trailing_zeros() / 8;
    let text = (u64::from(digits) | u64::from(next) << 32) >> (leading * 8);
    Digits { bytes: text.to_le_bytes(), length: 5 - leading as u8 }
}

/// The two hexadecimal digits of every byte.
#[allow(clippy::indexing_slicing, reason = "in bounds, or it would not compile")]
static BYTES: [u16; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < bytes.len() {
        bytes[byte] = u16::from_le_bytes([DIGITS[byte >> 4], DIGITS[byte & 0xf]]);
        byte += 1;
    }
    bytes
};

/// The eight digits of a number below 10⁸, one in each byte. The number is split into two halves of four digits, then all
/// halves at once into pairs, then all pairs at once into digits.
#[inline]
const fn eight_digits(value: u32) -> u64 {
    // 10486/2²⁰ is close enough to 1/100 for numbers below 10⁴, and 103/2¹⁰ to 1/10 for numbers below 100.
    let halves = (value / 10_000) as u64 | ((value % 10_000) as u64) << 32;
    let hundreds = (halves * 10_486) >> 20 & 0x0000_007f_0000_007f;
    let quarters = hundreds | (halves - hundreds * 100) << 16;
    let tens = (quarters * 103) >> 10 & 0x000f_000f_000f_000f;
    tens | (quarters - tens * 10) << 8
}

const fn min(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn printed(fragment: impl Fragment) -> String {
        let mut buffer = [0; size_of::<ChunkBuffer>()];
        let length = Chunk::print(&mut buffer, fragment);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn printed_address(address: impl Into<IpAddr>) -> String {
        printed(address.into())
    }

    /// The form of `inet_ntop`. The standard library differs only for IPv4-compatible addresses.
    fn expected(address: Ipv6Addr) -> String {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => format!("::{}", Ipv4Addr::from_bits(address.to_bits() as u32)),
            _ => address.to_string(),
        }
    }

    #[test]
    fn every_pattern_of_zero_groups_matches_inet_ntop() {
        for zeros in 0..=u8::MAX {
            for group in [1, 0xf, 0x10, 0xff, 0x100, 0xfff, 0x1000, 0xffff] {
                let groups: [u16; 8] = core::array::from_fn(|place| if zeros >> place & 1 == 0 { group } else { 0 });
                let address = Ipv6Addr::from(groups);
                assert_eq!(printed_address(address), expected(address), "{groups:x?}");
            }
        }
    }

    /// Recorded from `inet_ntop` of glibc 2.36.
    #[test]
    fn embedded_ipv4_addresses_match_inet_ntop() {
        for text in [
            "::",
            "::1",
            "::ffff",
            "::0.1.0.0",
            "::0.1.0.2",
            "::10.0.0.1",
            "::255.255.255.255",
            "::ffff:0.0.0.0",
            "::ffff:10.0.0.1",
            "::ffff:255.255.255.255",
            "::ffff:0:0:0",
            "::fffe:0:1",
            "::1:ffff:a00:1",
            "64:ff9b::a00:1",
            "1::",
            "1::ffff:a00:1",
            "2001:db8::1:0:0:1",
            "2001:0:0:1::1",
            "1:0:2:3:4:5:6:7",
            "0:1:2:3:4:5:6:7",
            "::1:2:3:4:5:6",
            "1:2:3:4:5:6::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(printed_address(text.parse::<Ipv6Addr>().unwrap()), text);
        }
    }

    /// Half of the groups are zero, so runs of zeros of every length are likely.
    fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
        let group = prop_oneof![3 => Just(0_u16), 1 => 0..=0xff_u16, 1 => any::<u16>(), 1 => Just(0xffff)];
        proptest::array::uniform8(group).prop_map(Ipv6Addr::from)
    }

    proptest! {
        #[test]
        fn ipv4_addresses_match_the_standard_library(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(printed_address(address), address.to_string());
        }

        #[test]
        fn ipv6_addresses_match_inet_ntop(address in ipv6()) {
            prop_assert_eq!(printed_address(address), expected(address));
        }

        #[test]
        fn ipv4_addresses_in_ipv6_match_inet_ntop(bits: u32, sixth in prop_oneof![Just(0), Just(0xffff)]) {
            let address = Ipv6Addr::from_bits(sixth << 32 | u128::from(bits));
            prop_assert_eq!(printed_address(address), expected(address));
        }

        #[test]
        fn numbers_match_the_standard_library(value: u64, shift in 0..64_u32) {
            let value = value >> shift;
            prop_assert_eq!(printed(value), value.to_string());
        }

        #[test]
        fn parts_print_one_behind_the_other(address in ipv6(), number: u64, key: u16) {
            prop_assert_eq!(
                printed(("a=", IpAddr::V6(address), (number, " "), HexadecimalAnd(key, b'.'))),
                format!("a={}{number} {key:x}.", expected(address))
            );
        }
    }

    #[test]
    fn two_addresses_and_their_words_fit() {
        let longest = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
        let text = format!("master-src={longest} master-dst={longest} ");
        assert_eq!(printed(("master-src=", longest, " master-dst=", longest, " ")), text);
    }

    fn digits_of<const N: usize>(digits: Digits<N>) -> String {
        String::from_utf8(digits.bytes[..digits.length.into()].to_vec()).unwrap()
    }

    #[test]
    fn four_digits_print_in_either_half() {
        for value in 0..10_000 {
            assert_eq!(digits_of(decimal(value)), value.to_string());
            let both = value * 10_000 + (9_999 - value);
            assert_eq!(padded_decimal(both), *format!("{both:08}").as_bytes());
            assert_eq!(digits_of(decimal(both)), both.to_string());
        }
    }

    #[test]
    fn octets_print_with_a_dot() {
        for octet in 0..=u8::MAX {
            assert_eq!(digits_of(OCTETS[usize::from(octet)]), format!("{octet}."));
        }
    }

    #[test]
    fn hexadecimal_numbers_print() {
        for value in 0..=u16::MAX {
            assert_eq!(digits_of(hexadecimal_and(value, b':')), format!("{value:x}:"));
        }
    }
}
