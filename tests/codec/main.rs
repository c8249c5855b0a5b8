//! The codec: its laws, the recordings of a kernel, the kernel's headers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // A test that panics fails.

#[path = "../support/codec/nodes.rs"]
mod nodes;
#[path = "../support/recordings.rs"]
mod recordings;
#[path = "../support/codec/ways.rs"]
mod ways;

mod allocations;
mod arbitrary;
mod constants;
mod golden;
mod laws;
mod messages;
#[cfg(feature = "serde")]
mod serde;
mod whole;
