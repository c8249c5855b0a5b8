//! Filters against a naive reading of them, a model of the kernel, and an interpreter of classic BPF.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "../support/recordings.rs"]
mod recordings;

mod bpf;
mod flows;
mod kernel;
mod laws;
mod messages;
mod plans;
mod sockets;
mod spec;
mod specs;
