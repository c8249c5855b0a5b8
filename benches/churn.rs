//! A mirror through the fastest churn that the machine gives, held against the kernel wherever it is quiet.
//!
//! `cargo bench -p ctnetlink-benches --bench churn [-- SECONDS]`, a minute unless told otherwise, in a network namespace of its own. Fails
//! where mirror, changes and kernel differ. Where no kernel is to be had, it says so and ends.
#![allow(unreachable_pub, dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // The tests use more.

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
/// Tuples that flows come and go under.
const FLOWS: u16 = 20_000;
const OPERATIONS: usize = 20_000;
/// Netns for all of a burst; for what a socket gets unless it asks for more; for hardly anything.
const BUFFERS: [usize; 3] = [32 << 20, 212_992 / 2, 20_000];
/// Bursts through one buffer. A burst is followed by a quiet point.
const BURSTS: usize = 2;

fn main() {
    let seconds = asked().unwrap_or(DEFAULT_SECONDS);
    let (_netns, mut client) = match Netns::enter(FLOWS.into()) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    measure(&mut client, Duration::from_secs(seconds.into()));
}

/// What went through mirrors with one size of buffer.
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
    // What the allocator gives back differs from time to time; the table has gone with its mirror.
    let (early, late) = memory.split_at(memory.len() / 2);
    println!(
        "\n{:.0} s, {quiet} quiet points: the mirror and what its changes lead to equal a dump at each; {} KiB of \
             memory between mirrors in the first half, {} KiB in the second",
        begin.elapsed().as_secs_f64(),
        median(early),
        median(late)
    );
}

/// Many operations as fast as the kernel takes them, while the mirror follows.
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
