//! The time of parsing `/proc/net/nf_conntrack` of a large table, beside the time of reading it.
//!
//! `cargo bench -p ctnetlink-benches --bench proc_live [-- FLOWS]` creates a million flows by default.
//!
//! Runs in a private network namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/line.rs"]
mod line;
mod support;

use std::{io::BufRead as _, time::Instant};

use ctnetlink::{Client, proc};

use self::{
    line::read_all,
    support::{Netns, asked, cpu_time, create, flow, median},
};

const DEFAULT_FLOWS: u32 = 1_000_000;
const ROUNDS: usize = 9;

fn main() {
    let flows = asked().unwrap_or(DEFAULT_FLOWS);
    let (_netns, mut client) = match Netns::enter(flows) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    if let Err(error) = proc::open() {
        return println!("skipped: {error}");
    }
    measure(&mut client, flows);
}

fn measure(client: &mut Client, flows: u32) {
    create(client, (0..flows).map(flow));
    let (mut reading, mut parsing) = (Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        let bytes = reading.add(read);
        let lines = parsing.add(parse);
        assert_eq!(lines, u64::from(flows));
        println!("{bytes} bytes, {lines} lines");
    }
    println!("\n{flows} lines of the kernel, medians of {ROUNDS} rounds{:>12} {:>12} {:>7}", "ns/line", "CPU", "ratio");
    let floor = reading.medians();
    for (name, (wall, cpu)) in [("read", floor), ("parsed, every value read", parsing.medians())] {
        let each = |seconds: f64| seconds * 1e9 / f64::from(flows);
        println!("  {name:<44} {:>9.0} {:>12.0} {:>7.3}", each(wall), each(cpu), wall / floor.0);
    }
    println!("  ratio of CPU time {:>45.3}", parsing.medians().1 / floor.1);
}

/// Reads the file in the way of the parser, without parsing.
fn read() -> u64 {
    let mut source = proc::open().unwrap().into_inner();
    let mut bytes = 0;
    loop {
        let length = source.fill_buf().unwrap().len();
        if length == 0 {
            return bytes;
        }
        bytes += length as u64;
        source.consume(length);
    }
}

fn parse() -> u64 {
    let mut reader = proc::open().unwrap();
    let mut lines = 0;
    while let Some(line) = reader.next_view().unwrap() {
        read_all(&line);
        lines += 1;
    }
    lines
}

/// Elapsed seconds, and seconds of processor time of this thread.
#[derive(Default)]
struct Figures(Vec<f64>, Vec<f64>);

impl Figures {
    fn add(&mut self, work: impl FnOnce() -> u64) -> u64 {
        let (cpu, start) = (cpu_time(), Instant::now());
        let count = work();
        self.0.push(start.elapsed().as_secs_f64());
        self.1.push((cpu_time() - cpu).as_secs_f64());
        count
    }

    fn medians(&mut self) -> (f64, f64) {
        (median(&mut self.0), median(&mut self.1))
    }
}
