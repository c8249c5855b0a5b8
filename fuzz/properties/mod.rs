//! What holds for any bytes: a law for each fuzz target, each a plain function that panics where it is broken.
//!
//! The fuzz targets feed them, and so does `tests/corpora.rs`, on any toolchain, with the inputs that are kept. The law
//! of the target `exchange` is in the crate itself (`src/exchange/law.rs`), since it looks behind the public API.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

pub mod datagram;
pub mod events;
pub mod filter;
pub mod proc_line;
pub mod roundtrip;
mod source;
mod values;
