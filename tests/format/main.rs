//! The printers against what conntrack(8) 1.4.7 printed of the same flows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod recordings;
mod text;
mod xml;
