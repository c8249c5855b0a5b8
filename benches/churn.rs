//! A mirror under the fastest churn that the machine allows, compared with the kernel at every pause.
//!
//! `cargo bench -p ctnetlink-benches --bench churn [-- SECONDS]` runs for a minute by default. It fails if the mirror, the
//! reported changes and the kernel differ.
//!
//! Runs in a private network namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(unreachable_pub, dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // The kernel tests use more of it.

#[path = "../tests/kernel/churn.rs"]
mod churn;
#[path = "../tests/kernel/follower.rs"]
mod follower;
#[path = "../tests/kernel/samples.rs"]
mod samples;
mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use ctnetlink::Client;

use self::{
    churn::{Dice, churn},
    follower::Follower,
    support::{Netns, asked, resident_bytes},
};

const DEFAULT_SECONDS: u32 = 60;
/// The number of tuples that flows use.
const FLOWS: u16 = 20_000;
const OPERATIONS: usize = 20_000;
/// Receive buffers for a whole burst, of the default size, and too small.
const BUFFERS: [usize; 3] = [32 << 20, 212_992 / 2, 20_000];
/// The number of bursts for each buffer, each followed by a comparison.
const BURSTS: usize = 2;

fn main() {
    let seconds = asked().unwrap_or(DEFAULT_SECONDS);
    let (_netns, mut client) = match Netns::enter(FLOWS.into()) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    measure(&mut client, Duration::from_secs(seconds.into()));
}

/// Sums for one size of the receive buffer.
#[derive(Clone, Copy, Default)]
struct Figures {
    bursts: usize,
    operations: usize,
    changes: usize,
    losses: u64,
    dumps: u64,
    busy: Duration,
}

fn measure(client: &mut Client, duration: Duration) {
    let (begin, mut dice) = (Instant::now(), Dice(1));
    let mut figures = [Figures::default(); BUFFERS.len()];
    let mut memory = Vec::new();
    while begin.elapsed() < duration {
        for (buffer, figures) in BUFFERS.into_iter().zip(&mut figures) {
            let mut follower = Follower::new(buffer);
            follower.catch_up();
            for _ in 0..BURSTS {
                let start = Instant::now();
                burst(client, &mut dice, &mut follower);
                figures.busy += start.elapsed();
                follower.check();
            }
            figures.bursts += BURSTS;
            figures.operations += BURSTS * OPERATIONS;
            figures.changes += follower.changes();
            figures.losses += follower.mirror.overruns();
            figures.dumps += follower.mirror.dumps();
        }
        memory.push(resident_bytes() / 1024);
    }
    println!(
        "{:>12} {:>8} {:>12} {:>14} {:>11} {:>8} {:>8}",
        "buffer", "bursts", "operations", "operations/s", "changes/s", "losses", "dumps"
    );
    for (buffer, figures) in BUFFERS.into_iter().zip(figures) {
        let per_second = |count: usize| count as f64 / figures.busy.as_secs_f64();
        println!(
            "{buffer:>12} {:>8} {:>12} {:>14.0} {:>11.0} {:>8} {:>8}",
            figures.bursts,
            figures.operations,
            per_second(figures.operations),
            per_second(figures.changes),
            figures.losses,
            figures.dumps
        );
    }
    let quiet: usize = figures.iter().map(|figures| figures.bursts).sum();
    // The allocator returns memory to the system irregularly.
    let (early, late) = memory.split_at(memory.len() / 2);
    println!(
        "\n{:.0} s, {quiet} quiet points: the mirror and what its changes lead to equal a dump at each; {} KiB of \
             memory between mirrors in the first half, {} KiB in the second",
        begin.elapsed().as_secs_f64(),
        median(early),
        median(late)
    );
}

/// Sends operations as fast as the kernel accepts them while the mirror follows.
fn burst(client: &mut Client, dice: &mut Dice, follower: &mut Follower) {
    thread::scope(|scope| {
        let writer = scope.spawn(|| churn(client, dice, FLOWS, OPERATIONS));
        follower.follow_until(|| writer.is_finished());
    });
    follower.catch_up();
}

fn median(values: &[usize]) -> usize {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
