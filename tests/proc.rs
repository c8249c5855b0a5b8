//! The parser of text: recorded lines, laws, and what it allocates.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "proc/allocations.rs"]
mod allocations;
#[path = "proc/golden.rs"]
mod golden;
#[path = "proc/laws.rs"]
mod laws;
#[path = "proc/printed.rs"]
mod printed;
#[path = "proc/reader.rs"]
mod reader;
#[path = "proc/ways.rs"]
mod ways;
