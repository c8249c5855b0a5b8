//! The parser of text: recorded lines, properties, and allocations.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/proc/printed.rs"]
mod printed;
#[path = "../support/proc/readers.rs"]
mod readers;
#[path = "../support/recordings.rs"]
mod recordings;

mod allocations;
mod golden;
mod properties;
mod reader;
