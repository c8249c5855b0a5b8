//! Numbers as digits, eight decimal or four hexadecimal at a time.
//!
//! The digits of a number are computed side by side in the bytes of one integer, the first digit in the lowest byte. Then
//! one copy stores them, and the number of trailing zero bits is the number of leading zeros to leave out.

/// The first number that `eight_digits` cannot print.
pub(super) const EIGHT_DIGITS: u64 = 100_000_000;

/// The digits of a number as text, of which only the first `length` bytes count.
#[derive(Clone, Copy)]
pub(super) struct Digits<const N: usize> {
    pub(super) bytes: [u8; N],
    pub(super) length: u8,
}

/// Every octet in decimal, followed by a dot.
#[allow(clippy::indexing_slicing, reason = "in bounds, or it would not compile")]
pub(super) static OCTETS: [Digits<4>; 256] = {
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
pub(super) const fn decimal(value: u32) -> Digits<8> {
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
pub(super) fn hexadecimal_and(value: u16, next: u8) -> Digits<8> {
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
    use super::*;

    fn text<const N: usize>(digits: Digits<N>) -> String {
        String::from_utf8(digits.bytes[..digits.length.into()].to_vec()).unwrap()
    }

    #[test]
    fn four_digits_print_in_either_half() {
        for value in 0..10_000 {
            assert_eq!(text(decimal(value)), value.to_string());
            let both = value * 10_000 + (9_999 - value);
            assert_eq!(padded_decimal(both), *format!("{both:08}").as_bytes());
            assert_eq!(text(decimal(both)), both.to_string());
        }
    }

    #[test]
    fn octets_print_with_a_dot() {
        for octet in 0..=u8::MAX {
            assert_eq!(text(OCTETS[usize::from(octet)]), format!("{octet}."));
        }
    }

    #[test]
    fn hexadecimal_numbers_print() {
        for value in 0..=u16::MAX {
            assert_eq!(text(hexadecimal_and(value, b':')), format!("{value:x}:"));
        }
    }
}
