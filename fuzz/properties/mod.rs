//! A property for each fuzz target: a plain function of bytes that panics if the property does not hold.
//!
//! The fuzz targets call them, and `tests/corpora.rs` replays the kept inputs on any toolchain. The properties of the
//! targets `exchange` and `events` are in the crate (`src/exchange`, `src/events/table`), because they use private items.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

pub mod datagram;
pub mod filter;
pub mod proc_line;
pub mod roundtrip;
pub mod save;
mod source;
mod values;
