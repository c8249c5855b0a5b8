//! JSON, one object for each line.

use std::io;

use super::output::Output;
use crate::EventKind;

/// Prints flows and expectations as JSON: their serde form, as one object without blanks or newlines.
///
/// Reading the object with serde returns an equal flow. Addresses are strings. States, status bits and protocols are
/// strings if they have names, and numbers otherwise. Absent attributes are left out.
///
/// Times are integers in nanoseconds. They exceed 2⁵³, so JavaScript and jq round them.
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
    /// Creates a printer of flows and expectations without an event.
    #[must_use]
    pub const fn new() -> Self {
        Self { event: None }
    }

    /// Prints an event of this kind: the object begins with the field `event`, which is `new`, `update` or `destroy`.
    #[must_use]
    pub const fn event(self, event: EventKind) -> Self {
        Self { event: Some(event) }
    }

    pub(super) fn print(&self, item: &impl serde::Serialize, output: &mut Output<'_>) {
        // Neither can fail: the output accepts everything, and every attribute has a form in JSON.
        let _ = serde_json::to_writer(output, &Object { event: self.event, item });
    }
}

/// The printed object: the kind of the event, if there is one, and the fields of the item.
#[derive(serde::Serialize)]
struct Object<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventKind>,
    #[serde(flatten)]
    item: &'a T,
}

impl io::Write for Output<'_> {
    /// Accepts whole characters of UTF-8, as serializers write them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text(core::str::from_utf8(bytes).map_err(io::Error::other)?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
