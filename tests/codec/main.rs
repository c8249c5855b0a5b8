//! The codec, tested with properties, recorded messages and the kernel's headers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // A test that panics fails.

#[path = "../support/codec/decoders.rs"]
mod decoders;
#[path = "../support/codec/nodes.rs"]
mod nodes;
#[path = "../support/recordings.rs"]
mod recordings;

mod allocations;
mod any_flow;
mod arbitrary;
mod constants;
mod golden;
mod message_round_trip;
mod messages;
mod properties;
#[cfg(feature = "serde")]
mod serde;
