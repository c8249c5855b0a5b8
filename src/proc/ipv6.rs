//! IPv6 addresses: the kernel's full form, and the short form of everything else.

use super::{error::Expected, scan::Cursor};

/// The length of an address in the kernel's form (`%pI6`): eight groups of four digits.
const FULL: usize = 39;

/// The entry in [`DIGITS`] of a byte that is not a digit.
const NONE: u8 = 0xff;

/// The value of each hexadecimal digit.
#[allow(clippy::indexing_slicing, reason = "made at compile time")]
const DIGITS: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 10 {
        table[b'0' as usize + value] = value as u8;
        value += 1;
    }
    while value < 16 {
        table[b'a' as usize + value - 10] = value as u8;
        table[b'A' as usize + value - 10] = value as u8;
        value += 1;
    }
    table
};

impl Cursor<'_> {
    /// Reads an IPv6 address in any form.
    #[inline(always)]
    pub(super) fn ipv6(&mut self) -> Result<u128, Expected> {
        match self.rest().first_chunk::<FULL>().and_then(full) {
            Some(address) => {
                self.skip(FULL);
                Ok(address)
            }
            None => self.short_ipv6(),
        }
    }

    /// Reads an address in the short form (RFC 4291, section 2.2).
    #[inline(never)]
    fn short_ipv6(&mut self) -> Result<u128, Expected> {
        let mut rest = *self;
        let address = Groups::read(&mut rest).ok_or(Expected::Ipv6Address)?;
        *self = rest;
        Ok(address)
    }
}

/// Reads the kernel's form. Errors are gathered and checked once at the end, so the loop has no branches and unrolls.
#[inline(always)]
fn full(text: &[u8; FULL]) -> Option<u128> {
    let mut address = 0_u128;
    let mut wrong = 0;
    for (place, byte) in text.iter().enumerate() {
        if place % 5 == 4 {
            wrong |= byte ^ b':';
        } else {
            let digit = DIGITS.get(usize::from(*byte)).copied().unwrap_or(NONE);
            wrong |= digit & 0xf0;
            address = address << 4 | u128::from(digit & 0xf);
        }
    }
    (wrong == 0).then_some(address)
}

/// The kind of a part between colons.
#[derive(PartialEq, Eq)]
enum Group {
    Hexadecimal,
    /// Two groups. Nothing may follow.
    Ipv4,
}

/// The groups of an address, before and after `::`.
#[derive(Default)]
struct Groups {
    /// All groups so far, the last in the lowest bits.
    bits: u128,
    count: u32,
    /// The number of groups before `::`.
    gap: Option<u32>,
}

impl Groups {
    fn read(cursor: &mut Cursor<'_>) -> Option<u128> {
        let mut groups = Self::default();
        if cursor.eat(b"::") {
            groups.gap = Some(0);
        }
        while groups.count < 8 && cursor.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
            if groups.read_one(cursor)? == Group::Ipv4 {
                break;
            }
            if cursor.eat(b"::") {
                if groups.gap.replace(groups.count).is_some() {
                    return None;
                }
            } else if !cursor.eat(b":") {
                return groups.address();
            } else if !cursor.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
        }
        groups.address()
    }

    /// Reads a group of hexadecimal digits, or the last two as an IPv4 address.
    fn read_one(&mut self, cursor: &mut Cursor<'_>) -> Option<Group> {
        let mut ahead = *cursor;
        ahead.until(|byte| !byte.is_ascii_hexdigit());
        if ahead.peek() == Some(b'.') {
            let address = cursor.ipv4().ok()?;
            self.push((address >> 16) as u16);
            self.push(address as u16);
            Some(Group::Ipv4)
        } else {
            self.push(cursor.hexadecimal_digits()?);
            Some(Group::Hexadecimal)
        }
    }

    fn push(&mut self, group: u16) {
        self.bits = self.bits << 16 | u128::from(group);
        self.count += 1;
    }

    fn address(&self) -> Option<u128> {
        match self.gap {
            None if self.count == 8 => Some(self.bits),
            Some(before) if self.count < 8 => {
                let after_bits = 16 * (self.count - before);
                let high = (self.bits >> after_bits).checked_shl(128 - 16 * before).unwrap_or(0);
                let low = self.bits & ((1 << after_bits) - 1);
                Some(high | low)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(u128, usize)> {
        let mut cursor = Cursor::new(text.as_bytes());
        let address = cursor.ipv6().ok()?;
        Some((address, text.len() - cursor.rest().len()))
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            ":",
            ":1",
            "1",
            "1:",
            "1:2",
            "1::2::3",
            "12345::",
            "1:2:3:4:5:6:7:8:9",
            "1:::2",
            "::g",
            "1:2:3:4:5:6:7:",
        ] {
            let whole = read(text).filter(|(_, length)| *length == text.len());
            assert!(whole.is_none() || text.parse::<Ipv6Addr>().is_ok(), "{text}: {whole:?}");
        }
    }

    proptest! {
        #[test]
        fn both_forms_match_the_standard_library(bits: u128, mask: u128, low in 0..3_u32) {
            // The mask makes runs of zeros likely. The last case is an IPv4-mapped address.
            let bits = match low { 0 => bits, 1 => bits & mask, _ => bits as u32 as u128 | 0xffff_0000_0000 };
            let address = Ipv6Addr::from_bits(bits);
            let short = address.to_string();
            prop_assert_eq!(read(&short), Some((bits, short.len())));
            let full = address.segments().map(|group| format!("{group:04x}")).join(":");
            prop_assert_eq!(read(&full), Some((bits, FULL)));
        }

        #[test]
        fn accepted_text_matches_the_standard_library(text in "[0-9a-fg:.]{0,24}") {
            let whole = read(&text).filter(|(_, length)| *length == text.len()).map(|(bits, _)| Ipv6Addr::from_bits(bits));
            prop_assert_eq!(whole, text.parse().ok());
        }
    }
}
