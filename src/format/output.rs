//! The buffer that every printer writes to.

use core::fmt;

use super::chunk::{self, Chunk, ChunkBuffer, Fragment};

/// Accepts finished bytes, which are whole characters of UTF-8.
pub(super) trait Sink {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result;
}

impl Sink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A sink that writes to a writer of text.
pub(super) struct TextSink<W>(pub(super) W);

impl<W: fmt::Write> Sink for TextSink<W> {
    fn take(&mut self, bytes: &[u8]) -> fmt::Result {
        // Chunks are never split, so the bytes are text. Checking it costs less than a second set of printers for text.
        let text = core::str::from_utf8(bytes).map_err(|_| fmt::Error)?;
        self.0.write_str(text)
    }
}

/// Longer than an ordinary line of text or options. XML elements and JSON objects reach the sink in two or three parts.
const CAPACITY: usize = 512;

/// A line, element or object being printed.
///
/// It is gathered in a buffer on the stack, which makes each of its many short chunks one store, and handed to the sink
/// when it is finished or when the buffer is full. Chunks are never split.
pub(super) struct Output<'a> {
    sink: &'a mut dyn Sink,
    bytes: [u8; CAPACITY],
    length: usize,
    result: fmt::Result,
}

impl<'a> Output<'a> {
    /// Hands everything that `print` prints to the sink.
    #[inline]
    pub(super) fn gather(sink: &'a mut dyn Sink, print: impl FnOnce(&mut Self)) -> fmt::Result {
        let mut output = Self { sink, bytes: [0; CAPACITY], length: 0, result: Ok(()) };
        print(&mut output);
        output.hand_over();
        output.result
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

    /// Removes the last byte, the separator after the last item. It must be ASCII, and written last.
    #[inline]
    pub(super) fn drop_last(&mut self) {
        self.length = self.length.saturating_sub(1);
    }

    /// Prints a chunk, whose length has a bound.
    #[inline(always)]
    pub(super) fn print(&mut self, part: impl Fragment) {
        if self.bytes.len() - self.length < size_of::<ChunkBuffer>() {
            self.hand_over();
        }
        if let Some(room) = self.bytes.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut()) {
            self.length += Chunk::print(room, part);
        }
    }

    /// Prints a number below 10⁸ with leading zeros, in `width` digits (at most eight).
    pub(super) fn padded_decimal(&mut self, value: u32, width: usize) {
        let padded = chunk::padded_decimal(value);
        let digits = padded.get(padded.len().saturating_sub(width)..).unwrap_or_default();
        self.text(core::str::from_utf8(digits).unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(print: impl FnOnce(&mut Output<'_>)) -> String {
        let mut bytes = Vec::new();
        Output::gather(&mut bytes, print).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn output_longer_than_the_buffer_is_complete(pieces in proptest::collection::vec((0..2000_usize, 0..9_u32), 0..8)) {
            let mut expected = String::new();
            let output = printed(|output| {
                for (length, number) in pieces {
                    let text = "é".repeat(length);
                    output.text(&text);
                    output.print(number);
                    expected.push_str(&format!("{text}{number}"));
                }
            });
            prop_assert_eq!(output, expected);
        }
    }

    #[test]
    fn padding_keeps_the_last_digits() {
        assert_eq!(printed(|output| output.padded_decimal(7, 2)), "07");
        assert_eq!(printed(|output| output.padded_decimal(123_456, 6)), "123456");
    }
}
