//! The parser of text: recorded lines, laws, and what it allocates.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/proc/printed.rs"]
mod printed;
#[path = "../support/recordings.rs"]
mod recordings;
#[path = "../support/proc/ways.rs"]
mod ways;

mod allocations;
mod golden;
mod laws;
mod reader;
