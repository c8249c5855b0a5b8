//! Shared by the benches of the live kernel: a namespace, flows, external programs and tables of figures.
#![allow(dead_code, unused_imports, unreachable_pub)] // No bench uses all of it.

mod figures;
mod netns;
mod process;
mod programs;

use std::{net::Ipv4Addr, time::Instant};

use ctnetlink::{Client, NewFlow, Status, TcpState, Tuple};

pub use figures::{Table, median};
pub use netns::Netns;
pub use process::{cpu_time, peak_kib, resident_bytes};
pub use programs::{Programs, command, example};

/// Returns the number of flows or events from the command line.
pub fn asked() -> Option<u32> {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok())
}

pub fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The number of flows with the same source address.
pub const FLOWS_OF_A_SOURCE: u32 = 50_000;

/// Returns the flow that `raw_insert.c` creates under that number.
pub fn flow(number: u32) -> NewFlow {
    let source = Ipv4Addr::from_bits(0x0a00_0001 + number / FLOWS_OF_A_SOURCE * 256);
    let destination = Ipv4Addr::from_bits(0x0a80_0000 + number % 251);
    let port = 1024 + (number % FLOWS_OF_A_SOURCE) as u16;
    let original = Tuple::tcp((source, port).into(), (destination, 443).into());
    let mut flow = NewFlow::untranslated(original, 100_000).unwrap().liberal_tcp(TcpState::ESTABLISHED);
    flow.status = Status::SEEN_REPLY | Status::ASSURED;
    flow.mark = Some(number & 255);
    flow
}

/// Creates all of the flows.
pub fn create(client: &mut Client, flows: impl IntoIterator<Item = NewFlow>) {
    let mut batch = client.batch();
    for flow in flows {
        batch.push(&flow).unwrap();
    }
    assert_eq!(batch.finish().unwrap().failures(), []);
}
