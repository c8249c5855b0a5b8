//! The printers, compared with the output of conntrack(8) 1.4.7 and with readers of each format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/recordings.rs"]
mod recorded;

mod flows;
mod readers;
mod recordings;
mod restore;
mod round_trips;
mod save;
mod text;
mod xml;
