//! Readers of text: `/proc/net/nf_conntrack` and related files, and the output of conntrack(8).
//!
//! They serve a process that may not use netlink, a table that arrived as a file, or a machine without Linux. Nothing here
//! knows netlink, and only [`open`], [`open_expectations`] and [`read_statistics`] need Linux.
//!
//! | text | type |
//! |---|---|
//! | `/proc/net/nf_conntrack` of Linux 4.19 to 6.18 | [`Line`], [`Reader`], [`open`] |
//! | `/proc/net/ip_conntrack` of older kernels | [`Line`], [`Reader`] |
//! | `conntrack -L` and `-E`, with any `-o` but `xml` and `save` | [`Line`], [`Reader`] |
//! | `/proc/net/nf_conntrack_expect` | [`ExpectationLine`], [`ExpectationReader`], [`open_expectations`] |
//! | `conntrack -L expect`, `-E expect` | [`ExpectationLine`], [`ExpectationReader`] |
//! | `/proc/net/stat/nf_conntrack` | [`Statistics`], [`read_statistics`] |
//! | `conntrack -o save` | [`format::read_save`](crate::format::read_save) |
//!
//! # Contract
//!
//! Any bytes give a value, or an error with the place and what was expected there. No input can cause a panic. A line is
//! parsed in one pass and without allocation, and a reader holds at most [`LONGEST_LINE`] bytes of a line. Runs of spaces
//! and tabs separate fields. Unknown fields are not errors: [`Line::unknown`] returns them.
//!
//! # Limits of the text
//!
//! The kernel's file contains neither identifiers, helpers, labels nor masters, and only [some bits](Line::status) of the
//! status. Its [use count](Line::use_count) is one more than in netlink messages. The kernel writes it page by page while
//! the table changes, so a flow may appear twice or not at all. If netlink is available, prefer it.
//!
//! # Example
//!
//! Finds the busiest flow in a file:
//!
//! ```
//! use ctnetlink::proc::Reader;
//!
//! let file = "\
//! ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=5353 dport=53 packets=1 bytes=60 \
//!     src=10.0.0.2 dst=10.0.0.1 sport=53 dport=5353 packets=1 bytes=76 mark=0 zone=0 use=2
//! ipv4     2 tcp      6 299 ESTABLISHED src=10.0.0.1 dst=10.0.0.3 sport=40000 dport=80 packets=9 bytes=900 \
//!     src=10.0.0.3 dst=10.0.0.1 sport=80 dport=40000 packets=8 bytes=12000 [ASSURED] mark=0 zone=0 use=2
//! ";
//! let busiest = Reader::new(file.as_bytes())
//!     .filter_map(Result::ok)
//!     .max_by_key(|flow| flow.total_counters().unwrap_or_default().bytes)
//!     .unwrap();
//! assert_eq!(busiest.original.destination.to_string(), "10.0.0.3");
//! ```

mod error;
mod expectation;
mod fields;
mod ipv6;
mod line;
mod parse;
mod reader;
mod scan;
mod statistics;

pub use error::{Expected, LONGEST_LINE, LineError, OpenError, ReadError};
pub use expectation::ExpectationLine;
pub use fields::{Field, Fields};
pub use line::{GreTimeouts, Line};
pub use reader::{ExpectationReader, Reader, open, open_expectations};
pub use statistics::{Statistics, StatisticsRow, read_statistics};
