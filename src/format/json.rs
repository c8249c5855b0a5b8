//! One JSON object a line.

use std::io;

use super::{Printed, output::Output, printed::Job};
use crate::{EventKind, Expectation, Flow};

/// Prints flows and expectations as JSON: what their `Serialize` gives, as one object without blanks or newlines.
///
/// Any JSON reader with serde gives the same flow back. Addresses are strings, and states, status bits and protocols
/// too, where they have names: others are numbers. What is absent is left out.
///
/// Times are integers, in nanoseconds. They are above 2⁵³: JavaScript and jq round them.
///
/// # Example
///
/// ```
/// use ctnetlink::{EventKind, Flow, Tuple, format::Json};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
/// let line = Json::new().event(EventKind::New).flow(&flow).to_string();
/// assert!(line.starts_with(r#"{"event":"new","original":{"source":"10.0.0.1","#));
/// assert_eq!(serde_json::from_str::<Flow>(&line)?, flow);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json {
    event: Option<EventKind>,
}

impl Json {
    /// Flows and expectations alone.
    #[must_use]
    pub const fn new() -> Self {
        Self { event: None }
    }

    /// What the event that is printed tells: objects begin with a field `event`, which is `new`, `update` or
    /// `destroy`.
    #[must_use]
    pub const fn event(self, event: EventKind) -> Self {
        Self { event: Some(event) }
    }

    /// A flow as an object, without a newline.
    pub const fn flow<'a>(&self, flow: &'a Flow) -> Printed<'a> {
        Printed::new(Job::FlowJson(*self, flow))
    }

    /// An expectation as an object, without a newline.
    pub const fn expectation<'a>(&self, expectation: &'a Expectation) -> Printed<'a> {
        Printed::new(Job::ExpectationJson(*self, expectation))
    }

    pub(super) fn print(&self, item: &impl serde::Serialize, output: &mut Output<'_>) {
        // A line takes everything, and nothing in a flow or expectation has no form in JSON.
        let _ = serde_json::to_writer(output, &Object { event: self.event, item });
    }
}

/// The fields of what is printed, behind what the event tells.
#[derive(serde::Serialize)]
struct Object<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventKind>,
    #[serde(flatten)]
    item: &'a T,
}

impl io::Write for Output<'_> {
    /// Takes whole characters of UTF-8, as a serializer gives them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text(core::str::from_utf8(bytes).map_err(io::Error::other)?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
