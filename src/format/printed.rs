//! A flow with the printer that prints it.

use core::fmt;

#[cfg(feature = "json")]
use super::Json;
use super::{
    Save, Text, Xml,
    output::{Output, Sink, TextSink},
};
use crate::{Expectation, Flow};

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
