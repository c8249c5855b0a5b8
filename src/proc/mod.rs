//! Lines of text: `/proc/net/nf_conntrack` and its relatives, and what `conntrack` prints.
//!
//! For a process that may not use netlink, a table that somebody sent as a file, or a machine that runs another system:
//! nothing here knows netlink or needs Linux, but for the kernel's own files that [`open`] opens.
//!
//! | text | type |
//! |---|---|
//! | `/proc/net/nf_conntrack` of Linux 4.19 to 6.18 | [`Line`], [`Reader`], [`open`] |
//! | `/proc/net/ip_conntrack` of older kernels | [`Line`], [`Reader`] |
//! | `conntrack -L` and `-E`, with any `-o` but `xml` and `save` | [`Line`], [`Reader`] |
//! | `/proc/net/nf_conntrack_expect` | [`ExpectationLine`], [`ExpectationReader`], [`open_expectations`] |
//! | `conntrack -L expect`, `-E expect` | [`ExpectationLine`], [`ExpectationReader`] |
//! | `/proc/net/stat/nf_conntrack` | [`Statistics`], [`read_statistics`] |
//!
//! # The contract
//!
//! Any bytes give a value or an error that says where and what was expected, and nothing panics. Reading a line takes
//! one pass and no allocation; a reader holds at most [`LONGEST_LINE`] bytes of one. Keys and flags that are not known
//! are no error, and are kept ([`Line::unknown`]).
//!
//! # What the text does not say
//!
//! The kernel's file has neither identifier, helper, labels nor master, and of the status only [what it
//! prints](Line::status). It counts one [use](Line::use_count) more than netlink. It is written a page at a time while
//! the table changes, so that a flow may come twice or be missed. Where netlink can be had, it is the better source.
//!
//! # Example
//!
//! The busiest flow in a file:
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

mod display;
mod error;
mod expectation;
mod fields;
mod ipv6;
mod line;
mod lines;
mod open;
mod parse;
mod reader;
mod scan;
mod statistics;
mod tuple;

pub use error::{Expected, LineError, OpenError, ReadError};
pub use expectation::ExpectationLine;
pub use fields::{Field, Fields};
pub use line::{GreTimeouts, Line};
pub use open::{open, open_expectations, read_statistics};
pub use reader::{ExpectationReader, Reader};
pub use statistics::{Statistics, StatisticsRow};

/// The longest line that is read, in bytes: many times what the kernel prints, whose longest field is the security
/// context, of one page at most.
pub const LONGEST_LINE: usize = 16 * 1024;
