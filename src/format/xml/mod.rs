//! The elements of `conntrack -o xml`.

mod element;
mod expectation;
mod flow;

use super::{
    LabelMap, Printed,
    line::Line,
    options::{Options, options},
    printed::Job,
};
use crate::{EventKind, Expectation, Flow, Timestamp};

/// Prints flows and expectations as conntrack(8) does with `-o xml`.
///
/// An entry is one `<flow>` element. A document of them begins with [`FLOWS_BEGIN`](Self::FLOWS_BEGIN) or
/// [`EXPECTATIONS_BEGIN`](Self::EXPECTATIONS_BEGIN) and ends with [`FLOWS_END`](Self::FLOWS_END) or
/// [`EXPECTATIONS_END`](Self::EXPECTATIONS_END), with a newline after each entry.
///
/// The kind of an event is the `type` of the element, and its timestamp a date, `<when>`; when a flow began and ended is
/// in nanoseconds since 1970.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, format::Xml};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
/// let document = format!("{}{}\n{}", Xml::FLOWS_BEGIN, Xml::new().flow(&flow), Xml::FLOWS_END);
/// assert!(document.contains("<flow><meta direction=\"original\"><layer3 protonum=\"2\" protoname=\"ipv4\">"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Xml<'a> {
    options: Options<'a>,
}

options!(Xml);

impl<'a> Xml<'a> {
    /// What goes before the first flow.
    pub const FLOWS_BEGIN: &'static str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n";
    /// What goes after the last flow.
    pub const FLOWS_END: &'static str = "</conntrack>\n";
    /// What goes before the first expectation.
    pub const EXPECTATIONS_BEGIN: &'static str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<expect>\n";
    /// What goes after the last expectation.
    pub const EXPECTATIONS_END: &'static str = "</expect>\n";

    /// The plain form, that of `conntrack -L -o xml`.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: Options::new() }
    }

    /// A flow as an element, without a newline.
    pub const fn flow(&self, flow: &'a Flow) -> Printed<'a> {
        Printed::new(Job::FlowXml(*self, flow))
    }

    /// An expectation as an element, without a newline.
    pub const fn expectation(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed::new(Job::ExpectationXml(*self, expectation))
    }

    fn begin(&self, line: &mut Line<'_>) {
        line.text(match self.options.event {
            Some(EventKind::New) => "<flow type=\"new\">",
            Some(EventKind::Update) => "<flow type=\"update\">",
            Some(EventKind::Destroy) => "<flow type=\"destroy\">",
            None => "<flow>",
        });
    }

    fn when(&self, line: &mut Line<'_>) {
        if let Some(timestamp) = self.options.timestamp {
            element::when(timestamp, self.options.utc_offset_seconds, line);
        }
    }
}
