//! The codec: its laws, the recordings of a kernel, the kernel's headers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // A test that panics fails.

#[path = "../support/arbitrary.rs"]
mod arbitrary;
#[path = "../support/recordings.rs"]
mod recordings;

mod allocations;
mod constants;
mod golden;
mod laws;
mod messages;
mod nodes;
#[cfg(feature = "serde")]
mod serde;
mod ways;
mod whole;
