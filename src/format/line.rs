//! The buffer that every printer writes to.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::number::{self, Digits, EIGHT_DIGITS, OCTETS};

/// What takes the finished bytes: always whole characters of UTF-8.
pub(super) trait Sink {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result;
}

impl Sink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Any writer of text as a sink.
pub(super) struct TextSink<W>(pub(super) W);

impl<W: fmt::Write> Sink for TextSink<W> {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result {
        // Pieces are never split, so that this is text: the check costs less than a second way through the printers.
        let text = core::str::from_utf8(bytes).map_err(|_| fmt::Error)?;
        self.0.write_str(text)
    }
}

/// Longer than an ordinary line of text or options; elements and objects go to the sink in two or three parts.
const CAPACITY: usize = 512;

/// A line being printed.
///
/// It gathers in a buffer on the stack, so that the many short pieces of a line cost a store each, and goes to the
/// sink when it is finished, or earlier if the buffer is full. Pieces are not split between two handings over.
pub(super) struct Line<'a> {
    sink: &'a mut dyn Sink,
    bytes: [u8; CAPACITY],
    length: usize,
    result: fmt::Result,
}

impl<'a> Line<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, bytes: [0; CAPACITY], length: 0, result: Ok(()) }
    }

    /// Hands the rest over.
    pub(super) fn finish(mut self) -> fmt::Result {
        self.hand_over();
        self.result
    }

    #[inline(always)]
    pub(super) fn text(&mut self, text: &str) {
        let end = self.length + text.len();
        match self.bytes.get_mut(self.length..end) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                self.length = end;
            }
            None => self.text_past_the_end(text),
        }
    }

    /// Takes the last byte back: the separator after the last item. It has to be ASCII, and the last thing written.
    #[inline]
    pub(super) fn drop_last(&mut self) {
        self.length = self.length.saturating_sub(1);
    }

    #[inline]
    pub(super) fn decimal(&mut self, value: impl Into<u64>) {
        let value = value.into();
        if value < EIGHT_DIGITS {
            self.digits(number::decimal(value as u32));
        } else {
            self.long_decimal(value);
        }
    }

    #[inline(never)]
    fn long_decimal(&mut self, value: u64) {
        self.decimal(value / EIGHT_DIGITS);
        let digits = number::padded_decimal((value % EIGHT_DIGITS) as u32);
        self.digits(Digits { bytes: digits, length: 8 });
    }

    /// A number below 10⁸ with leading zeros to `width`, at most eight digits.
    pub(super) fn padded_decimal(&mut self, value: u32, width: usize) {
        let digits = number::padded_decimal(value);
        for digit in digits.iter().skip(digits.len().saturating_sub(width)) {
            self.digits(Digits { bytes: [*digit], length: 1 });
        }
    }

    /// A number in hexadecimal, and one ASCII byte behind it.
    #[inline]
    pub(super) fn hexadecimal_and(&mut self, value: u16, next: u8) {
        self.digits(number::hexadecimal_and(value, next));
    }

    #[inline]
    pub(super) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.ipv4(address),
            IpAddr::V6(address) => self.ipv6(address),
        }
    }

    #[inline]
    pub(super) fn ipv4(&mut self, address: Ipv4Addr) {
        for octet in address.octets() {
            if let Some(digits) = OCTETS.get(usize::from(octet)) {
                self.digits(*digits);
            }
        }
        self.drop_last();
    }

    /// Prints as `inet_ntop` does: the first longest run of two or more zero groups left out (RFC 5952), and the last
    /// 32 bits as an IPv4 address where 80 zero bits and `ffff`, or 96 zero bits, go before them.
    pub(super) fn ipv6(&mut self, address: Ipv6Addr) {
        let groups = address.segments();
        match groups {
            [0, 0, 0, 0, 0, 0xffff, ..] => self.embedded_ipv4("::ffff:", address),
            // `::1` and `::` have a run of more than six.
            [0, 0, 0, 0, 0, 0, seventh, _] if seventh != 0 => self.embedded_ipv4("::", address),
            _ => self.groups(&groups),
        }
    }

    fn embedded_ipv4(&mut self, before: &str, address: Ipv6Addr) {
        self.text(before);
        self.ipv4(Ipv4Addr::from_bits(address.to_bits() as u32));
    }

    fn groups(&mut self, groups: &[u16; 8]) {
        let zeros = longest_run_of_zeros(groups);
        let (before, rest) = groups.split_at(zeros.start);
        self.joined(before);
        if !zeros.is_empty() {
            self.text("::");
        }
        self.joined(rest.get(zeros.len()..).unwrap_or_default());
    }

    fn joined(&mut self, groups: &[u16]) {
        for group in groups {
            self.hexadecimal_and(*group, b':');
        }
        if !groups.is_empty() {
            self.drop_last();
        }
    }

    /// Stores all `N` bytes, and keeps those that count.
    #[inline(always)]
    fn digits<const N: usize>(&mut self, digits: Digits<N>) {
        if self.store(&digits.bytes).is_none() {
            self.hand_over();
            // An empty buffer has room.
            let _ = self.store(&digits.bytes);
        }
        self.length += usize::from(digits.length);
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        self.bytes.get_mut(self.length..self.length + N)?.copy_from_slice(bytes);
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn text_past_the_end(&mut self, text: &str) {
        self.hand_over();
        match self.bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                self.length = text.len();
            }
            None => self.result = self.result.and_then(|()| self.sink.take(text.as_bytes())),
        }
    }

    #[cold]
    #[inline(never)]
    fn hand_over(&mut self) {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        self.result = self.result.and_then(|()| self.sink.take(bytes));
        self.length = 0;
    }
}

/// Where the first longest run of two or more zero groups is; an empty range where there is none.
#[inline]
fn longest_run_of_zeros(groups: &[u16; 8]) -> Range<usize> {
    let zeros = groups.iter().rev().fold(0_u16, |zeros, group| zeros << 1 | u16::from(*group == 0));
    // A bit of `starts` stays as long as a run that long starts at its group.
    let (mut starts, mut length) = (zeros, 1);
    while starts & zeros >> length != 0 {
        starts &= zeros >> length;
        length += 1;
    }
    if length < 2 {
        return 0..0;
    }
    let start = starts.trailing_zeros() as usize;
    start..start + length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(print: impl FnOnce(&mut Line<'_>)) -> String {
        let mut bytes = Vec::new();
        let mut line = Line::new(&mut bytes);
        print(&mut line);
        line.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Groups that are zero as often as not, so that runs of zeros of every length come up.
    fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
        let group = prop_oneof![3 => Just(0_u16), 1 => 0..=0xff_u16, 1 => any::<u16>()];
        proptest::array::uniform8(group).prop_map(Ipv6Addr::from)
    }

    proptest! {
        #[test]
        fn ipv4_addresses_print_as_the_standard_library_prints_them(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(printed(|line| line.ipv4(address)), address.to_string());
        }

        #[test]
        fn ipv6_addresses_print_as_the_standard_library_prints_them(address in ipv6()) {
            // The standard library prints no IPv4-compatible addresses, which inet_ntop does.
            prop_assume!(address.to_bits() >> 32 != 0 || address.to_bits() >> 16 == 0);
            prop_assert_eq!(printed(|line| line.ipv6(address)), address.to_string());
        }

        #[test]
        fn numbers_print_as_the_standard_library_prints_them(value: u64, shift in 0..64_u32) {
            let value = value >> shift;
            prop_assert_eq!(printed(|line| line.decimal(value)), value.to_string());
        }

        #[test]
        fn lines_longer_than_the_buffer_come_out_whole(pieces in proptest::collection::vec((0..2000_usize, 0..9_u32), 0..8)) {
            let mut expected = String::new();
            let line = printed(|line| {
                for (length, number) in pieces {
                    let text = "é".repeat(length);
                    line.text(&text);
                    line.decimal(number);
                    expected.push_str(&format!("{text}{number}"));
                }
            });
            prop_assert_eq!(line, expected);
        }
    }

    #[test]
    fn ipv6_addresses_print_as_inet_ntop_prints_them() {
        for text in
            ["::", "::1", "::0.1.0.2", "::10.0.0.1", "::ffff:10.0.0.1", "1::", "2001:db8::1:0:0:1", "::fffe:0:1"]
        {
            let address = text.parse().unwrap();
            assert_eq!(printed(|line| line.ipv6(address)), text);
        }
        let one_zero_group = "1:0:2:3:4:5:6:7".parse().unwrap();
        assert_eq!(printed(|line| line.ipv6(one_zero_group)), "1:0:2:3:4:5:6:7");
    }

    #[test]
    fn padding_keeps_the_last_digits() {
        assert_eq!(printed(|line| line.padded_decimal(7, 2)), "07");
        assert_eq!(printed(|line| line.padded_decimal(123_456, 6)), "123456");
    }
}
