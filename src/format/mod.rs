//! Printers: flows and expectations in the formats of conntrack(8), and as JSON.
//!
//! A printer is an object whose options are set once; what it makes of a flow ([`Printed`]) goes into a byte buffer, a
//! writer of text, or `format!`. `Display` of [`Flow`](crate::Flow) and [`Expectation`](crate::Expectation) is the
//! plain form of [`Text`]. No printer writes a newline.
//!
//! | printer | prints as | options of it |
//! |---|---|---|
//! | [`Text`] | `conntrack -L`, `-E` | extended, id, timestamp, ktimestamp, labels, userspace |
//! | [`Save`] | `-o save` | labels |
//! | [`Xml`] | `-o xml` | timestamp, ktimestamp, labels |
//! | `Json` (feature `json`) | | |
//!
//! # Differences from conntrack 1.4.7
//!
//! Text is the same byte for byte, but that
//!
//! - dates are in UTC, or in the zone that the caller names, where conntrack prints local time;
//! - the age of a flow that begins in the future, by a clock that was set back, is 0, not 2⁶⁴ less the difference;
//! - helpers and security contexts are printed whole, where conntrack cuts the names of helpers to 15 bytes;
//! - the name of the program behind an event is for the caller to find.
//!
//! XML is the same as well, but that
//!
//! - the states of SCTP and DCCP are their own, where conntrack takes them from the table of TCP;
//! - `<layer4>` of ICMP and ICMPv6 has `<type>`, `<code>` and `<id>`, where conntrack has nothing;
//! - flows that a flow table or hardware carries are marked, by `<offload/>` and `<hw-offload/>`;
//! - text is escaped, and what XML cannot hold is U+FFFD;
//! - a security context stands in the `<meta>` of neither direction even if nothing else does;
//! - nothing follows `</flow>`, where conntrack appends ` [USERSPACE] portid=…`;
//! - the document is closed where the caller closes it, whatever it lists.
//!
//! Lines of options ([`Save`]) say what those of conntrack say and `conntrack -R` reads, and besides
//!
//! - marks, labels on request, and the port that a flow of TCP or UDP is translated to, which conntrack drops;
//! - what `-A` asks for and the flow does not tell: a timeout, a state, the ports of DCCP;
//!
//! but not
//!
//! - `EXPECTED`, with which the kernel refuses the whole line;
//! - in a `-D`, what changes in the life of a flow, with which `-R` would not find it; and it names zone 0, without
//!   which `-R` would delete the flow in every zone (1.4.7 takes a flow that has a zone in one direction alone for one of
//!   zone 0 too);
//! - in a `-U`, a translation, which the kernel refuses, or a zone, which `-R` refuses;
//! - the sender of an event, which `-R` does not read.
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Flow, Tuple, format::{Save, Text}};
//!
//! let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
//! let mut flow = Flow::new(original, original.inverted().ok_or("an ICMP type without an answer")?);
//! flow.id = Some(7);
//!
//! let mut line = String::new();
//! Text::new().id(true).flow(&flow).write_to(&mut line)?;
//! assert!(line.starts_with("udp      17 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 ") && line.ends_with(" id=7"));
//! println!("{flow}\n{}", Save::new().flow(&flow));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calendar;
mod chunk;
mod common;
mod digits;
#[cfg(feature = "json")]
mod json;
mod label_map;
mod output;
mod printed;
mod save;
mod text;
mod xml;

pub use common::Sender;
#[cfg(feature = "json")]
pub use json::Json;
pub use label_map::LabelMap;
pub use printed::Printed;
pub use save::{Save, SaveCommand, SaveError, SaveLine, SaveReader, read_save};
pub use text::Text;
pub use xml::Xml;
