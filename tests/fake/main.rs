//! The fake kernel through the public API.
//!
//! `tests/kernel/fake_parity` compares its answers with those of Linux.
#![cfg(feature = "fake")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accounting;
mod events;
mod exchange;
mod faults;
mod mirror;
mod partition;
mod releases;
mod requests;
mod time;

use std::net::SocketAddr;

use ctnetlink::{Flow, NewFlow, Tuple, fake::FakeKernel};

fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

fn tuple(port: u16) -> Tuple {
    Tuple::udp(address(1, port), address(2, 53))
}

/// A UDP flow with this source port.
fn udp(port: u16) -> NewFlow {
    NewFlow::udp(address(1, port), address(2, 53)).timeout(60)
}

/// A kernel with that many flows.
fn filled(kernel: FakeKernel, flows: u16) -> FakeKernel {
    for port in 1..=flows {
        kernel.insert(&udp(port)).unwrap();
    }
    kernel
}

fn ports<'f>(flows: impl IntoIterator<Item = &'f Flow>) -> Vec<u16> {
    let mut ports: Vec<u16> = flows.into_iter().filter_map(|flow| flow.original.source_port()).collect();
    ports.sort_unstable();
    ports
}
