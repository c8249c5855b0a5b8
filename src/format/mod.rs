//! Printers: flows and expectations as the lines of conntrack(8).
//!
//! A printer is an object whose options are set once ([`Text`]); what it makes of a flow ([`Printed`]) goes into a byte
//! buffer, a writer of text, or `format!`. `Display` of [`Flow`](crate::Flow) and
//! [`Expectation`](crate::Expectation) is the plain form of [`Text`].

mod calendar;
mod label_map;
mod line;
mod number;
mod printed;
mod sender;
mod text;
mod vocabulary;
mod xml;

pub use label_map::LabelMap;
pub use printed::Printed;
pub use sender::Sender;
pub use text::Text;
pub use xml::Xml;
