//! The parser of text: recorded lines, laws, and what it allocates.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../support/recordings.rs"]
mod recordings;

mod allocations;
mod golden;
mod laws;
mod printed;
mod reader;
mod ways;
