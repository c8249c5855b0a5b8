//! Printers of flows and expectations in the formats of conntrack(8) and as JSON, and a reader of saved lines.
//!
//! A printer holds options. Its methods combine it with a flow into a [`Printed`], which prints to a byte buffer, to a
//! writer of text, or through `Display`. `Display` of [`Flow`](crate::Flow) and [`Expectation`](crate::Expectation) is the
//! plain form of [`Text`]. No printer writes a newline.
//!
//! | printer | format | options |
//! |---|---|---|
//! | [`Text`] | `conntrack -L`, `-E` | extended, id, timestamp, ktimestamp, labels, userspace |
//! | [`Save`] | `-o save`; [`read_save`] reads it | labels, helpers |
//! | [`Xml`] | `-o xml` | timestamp, ktimestamp, labels |
//! | `Json` (feature `json`) | JSON | |
//!
//! # Differences from conntrack 1.4.7
//!
//! Text is identical byte for byte, except:
//!
//! - Dates are in UTC or in the zone that the caller sets, not in local time.
//! - The age of a flow that begins in the future (after the clock was set back) is 0, not a number near 2⁶⁴.
//! - Names of helpers are not cut off after 15 bytes.
//! - The caller has to find the name of the program that caused an event.
//!
//! XML is identical as well, except:
//!
//! - SCTP and DCCP have the names of their own states. conntrack prints the names of TCP states.
//! - `<layer4>` of ICMP and ICMPv6 contains `<type>`, `<code>` and `<id>`. conntrack prints nothing.
//! - Offloaded flows are marked with `<offload/>` and `<hw-offload/>`.
//! - Text is escaped, and characters that XML cannot contain are U+FFFD.
//! - A security context alone is enough for a `<meta direction="independent">`.
//! - Nothing follows `</flow>`. conntrack appends ` [USERSPACE] portid=…`.
//! - The caller closes the document, for every kind of list.
//!
//! Saved lines ([`Save`]) can be read by `conntrack -R`. In addition to conntrack's own lines they contain:
//!
//! - marks, labels and helpers (both on request), and the port that a flow of TCP or UDP is translated to;
//! - everything that `-A` requires and the flow lacks: a timeout, a state, the ports of DCCP.
//!
//! They do not contain:
//!
//! - `EXPECTED`, with which the kernel refuses the whole line;
//! - in a `-D`, the values that change during the life of a flow, because `-R` would not find the flow by them. The line
//!   names zone 0, or `-R` would delete the flow in every zone. (1.4.7 treats a flow with a zone in one direction only as
//!   a flow of zone 0 too.)
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

mod chunk;
mod common;
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
