//! A flow or an expectation with the printer that prints it.

use core::fmt;

#[cfg(feature = "json")]
use super::json::Json;
use super::{
    output::{Output, Sink, TextSink},
    save::Save,
    text::Text,
    xml::Xml,
};
use crate::{Expectation, Flow};

/// A flow or an expectation, ready to print in one of the formats.
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
enum Job<'a> {
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

impl Printed<'_> {
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
        Output::gather(sink, |output| match &self.job {
            Job::FlowText(text, flow) => text.print_flow(flow, output),
            Job::ExpectationText(text, expectation) => text.print_expectation(expectation, output),
            Job::FlowSave(save, flow) => save.print_flow(flow, output),
            #[cfg(feature = "json")]
            Job::FlowJson(json, flow) => json.print(flow, output),
            #[cfg(feature = "json")]
            Job::ExpectationJson(json, expectation) => json.print(expectation, output),
            Job::FlowXml(xml, flow) => xml.print_flow(flow, output),
            Job::ExpectationXml(xml, expectation) => xml.print_expectation(expectation, output),
        })
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl<'a> Text<'a> {
    /// A flow as a line, without the newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed { job: Job::FlowText(*self, flow) }
    }

    /// An expectation as a line, without the newline.
    pub const fn expectation(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed { job: Job::ExpectationText(*self, expectation) }
    }
}

impl<'a> Save<'a> {
    /// A flow as a line, without the newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed { job: Job::FlowSave(*self, flow) }
    }
}

impl<'a> Xml<'a> {
    /// A flow as an element, without a newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed { job: Job::FlowXml(*self, flow) }
    }

    /// An expectation as an element, without a newline.
    pub const fn expectation(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed { job: Job::ExpectationXml(*self, expectation) }
    }
}

#[cfg(feature = "json")]
impl Json {
    /// A flow as an object, without a newline.
    pub const fn flow<'a>(&self, flow: &'a Flow) -> Printed<'a> {
        Printed { job: Job::FlowJson(*self, flow) }
    }

    /// An expectation as an object, without a newline.
    pub const fn expectation<'a>(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed { job: Job::ExpectationJson(*self, expectation) }
    }
}
