//! A flow with the printer that prints it, and the buffer that every printer writes to.

use core::fmt;

use super::{
    Save, Text, Xml,
    chunk::{Chunk, ChunkBuffer, Fragment},
    digits,
};
use crate::{Expectation, Flow};

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
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, bytes: [0; CAPACITY], length: 0, result: Ok(()) }
    }

    /// Hands the rest to the sink.
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
        let padded = digits::padded_decimal(value);
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

#[cfg(feature = "json")]
use super::Json;

/// A flow or an expectation that is to be printed in one of the formats.
///
/// It prints to a byte buffer ([`append_to`](Self::append_to)), to any [`fmt::Write`] ([`write_to`](Self::write_to)), or
/// through `Display`, always without a string in between. The output does not end with a newline.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, format::Text};
///
/// let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let flow = Flow::new(original, Tuple::tcp("10.0.0.2:22".parse()?, "10.0.0.1:40000".parse()?));
///
/// let mut lines = Vec::new(); // To be cleared and used again.
/// Text::new().flow(&flow).append_to(&mut lines);
/// lines.push(b'\n');
/// assert_eq!(lines.last_chunk(), Some(b"sport=22 dport=40000\n"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is printed yet"]
pub struct Printed<'a> {
    job: Job<'a>,
}

/// A printer, and the item to print.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job<'a> {
    FlowText(Text<'a>, &'a Flow),
    ExpectationText(Text<'a>, &'a Expectation),
    FlowSave(Save<'a>, &'a Flow),
    #[cfg(feature = "json")]
    FlowJson(Json, &'a Flow),
    #[cfg(feature = "json")]
    ExpectationJson(Json, &'a Expectation),
    FlowXml(Xml<'a>, &'a Flow),
    ExpectationXml(Xml<'a>, &'a Expectation),
}

impl<'a> Printed<'a> {
    pub(super) const fn new(job: Job<'a>) -> Self {
        Self { job }
    }

    /// Appends the text to a buffer. Allocates only if the buffer has to grow.
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        // A vector accepts everything.
        let _ = self.print(buffer);
    }

    /// Prints to a writer of text.
    ///
    /// # Errors
    ///
    /// Fails if the writer fails.
    pub fn write_to(&self, writer: impl fmt::Write) -> fmt::Result {
        self.print(&mut TextSink(writer))
    }

    fn print(&self, sink: &mut dyn Sink) -> fmt::Result {
        let mut output = Output::new(sink);
        match &self.job {
            Job::FlowText(text, flow) => text.print_flow(flow, &mut output),
            Job::ExpectationText(text, expectation) => text.print_expectation(expectation, &mut output),
            Job::FlowSave(save, flow) => save.print_flow(flow, &mut output),
            #[cfg(feature = "json")]
            Job::FlowJson(json, flow) => json.print(flow, &mut output),
            #[cfg(feature = "json")]
            Job::ExpectationJson(json, expectation) => json.print(expectation, &mut output),
            Job::FlowXml(xml, flow) => xml.print_flow(flow, &mut output),
            Job::ExpectationXml(xml, expectation) => xml.print_expectation(expectation, &mut output),
        }
        output.finish()
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(print: impl FnOnce(&mut Output<'_>)) -> String {
        let mut bytes = Vec::new();
        let mut output = Output::new(&mut bytes);
        print(&mut output);
        output.finish().unwrap();
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
