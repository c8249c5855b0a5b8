//! Compares filters with a naive evaluation, a model of the kernel and an interpreter of classic BPF.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "../support/filter/bpf.rs"]
mod bpf;
#[path = "../support/filter/kernel.rs"]
mod kernel;
#[path = "../support/filter/messages.rs"]
mod messages;
#[path = "../support/recordings.rs"]
mod recordings;
#[path = "../support/filter/spec.rs"]
mod spec;

mod flows;
#[cfg(feature = "fake")]
mod kernels;
mod plans;
mod properties;
mod scale;
#[cfg(feature = "serde")]
mod serialization;
mod sockets;
mod specs;
