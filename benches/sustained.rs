//! A mirror beside a steady stream of changes: its processor time for a change beyond the receive, and its losses.
//!
//! `cargo bench -p ctnetlink-benches --bench sustained [-- SECONDS [CHANGES_PER_SECOND]]`: 300 seconds and 200,000 by
//! default. A third of the changes each are ends, begins and marks, in a table of 200,000 flows. If the machine cannot make
//! so many changes, it makes as many as it can. Every 20 seconds the writer pauses, and the table has to equal a dump.
//!
//! The floor is a listener that waits, receives, and steps from message to message, beside the same changes. Both readers
//! sleep for a millisecond when they have emptied the buffer.
//!
//! Runs in a private network namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Client, EventGroups, EventSocket, FlowKey, FlowUpdate, Mirror,
    request::{DeleteFlow, UpdateFlow},
    wire::Messages,
};
use rustix::net::{RecvFlags, recv};

use support::{Netns, cpu_time, create, flow, peak_kib};

const FLOWS: u32 = 200_000;
const RECEIVE_BUFFER: usize = 128 << 20;
/// The time between two comparisons with a dump.
const LAP: Duration = Duration::from_secs(20);
/// How often the writer sends a part of its changes.
const SLOT: Duration = Duration::from_millis(5);
const REST: Duration = Duration::from_millis(1);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (seconds, rate) = (numbers.next().unwrap_or(300), numbers.next().unwrap_or(200_000));
    let (_netns, mut client) = match Netns::enter(FLOWS + FLOWS / 4) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // The kernel reports the ends of flows only if somebody listened when they began.
    let listener = listen();
    create(&mut client, (0..FLOWS).map(flow));
    drop(listener);
    let mut writer = Writer { client, rate, next: 0 };
    let floor = received(&mut writer);
    let mirrored = mirrored(&mut writer, Duration::from_secs(seconds.into()));
    println!(
        "{FLOWS} flows, changes a second: {:.0} beside the floor, {:.0} beside the mirror",
        floor.rate, mirrored.rate
    );
    println!("  poll, recv and headers alone  {:>6.0} ns a change", floor.nanoseconds);
    println!("  into a mirror                 {:>6.0} ns a change", mirrored.nanoseconds);
    println!("  beyond the receive            {:>6.0} ns a change", mirrored.nanoseconds - floor.nanoseconds);
    println!("peak memory of this process: {} KiB", peak_kib());
}

/// The figures of a reader.
struct Figures {
    rate: f64,
    nanoseconds: f64,
}

impl Figures {
    fn new(changes: u64, seconds: f64, processor_time: Duration) -> Self {
        Self { rate: changes as f64 / seconds, nanoseconds: processor_time.as_nanos() as f64 / changes as f64 }
    }
}

fn listen() -> EventSocket {
    EventSocket::builder(EventGroups::FLOWS).receive_buffer(RECEIVE_BUFFER).open().unwrap()
}

/// Makes changes at a steady rate.
struct Writer {
    client: Client,
    rate: u32,
    /// Counts the flows that were replaced.
    next: u32,
}

impl Writer {
    /// Returns the number of changes and the time that they took.
    fn write(&mut self, duration: Duration) -> (u64, f64) {
        let begin = Instant::now();
        let (mut changes, mut slot) = (0, begin);
        let flows = (f64::from(self.rate) * SLOT.as_secs_f64() / 3.0) as u32;
        while begin.elapsed() < duration {
            self.replace(flows);
            changes += u64::from(3 * flows);
            slot += SLOT;
            match slot.checked_duration_since(Instant::now()) {
                Some(rest) => thread::sleep(rest),
                None => slot = Instant::now(),
            }
        }
        (changes, begin.elapsed().as_secs_f64())
    }

    /// Ends flows, begins them again, and marks them, in an order that jumps over the table.
    fn replace(&mut self, count: u32) {
        let numbers = (self.next..self.next + count).map(|number| (number % FLOWS) * 7919 % FLOWS);
        self.next = (self.next + count) % FLOWS;
        let mut batch = self.client.batch();
        for number in numbers.clone() {
            batch.push(&DeleteFlow::new(FlowKey::original(flow(number).original))).unwrap();
        }
        for number in numbers.clone() {
            batch.push(&flow(number)).unwrap();
        }
        for number in numbers {
            let update = FlowUpdate::new().mark(0x1000 + self.next);
            batch.push(&UpdateFlow::new(FlowKey::original(flow(number).original), &update)).unwrap();
        }
        assert_eq!(batch.finish().unwrap().failures(), []);
    }
}

/// Lets the writer write and the reader read until it is done and the buffer is empty. `read` empties the buffer.
fn run(writer: &mut Writer, duration: Duration, mut read: impl FnMut()) -> (u64, f64, Duration) {
    let is_over = AtomicBool::new(false);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let written = scope.spawn(|| {
            start.wait();
            let written = writer.write(duration);
            is_over.store(true, Ordering::Release);
            written
        });
        start.wait();
        let begin = cpu_time();
        loop {
            let over = is_over.load(Ordering::Acquire);
            read();
            if over {
                break;
            }
            thread::sleep(REST);
        }
        let processor_time = cpu_time() - begin;
        let (changes, seconds) = written.join().unwrap();
        (changes, seconds, processor_time)
    })
}

fn received(writer: &mut Writer) -> Figures {
    let socket = listen();
    let (mut buffer, mut count) = (vec![0; 64 * 1024], 0);
    let (changes, seconds, processor_time) = run(writer, LAP, || {
        while let Ok((length, _)) = recv(&socket, &mut buffer, RecvFlags::DONTWAIT) {
            count += Messages::new(&buffer[..length]).count() as u64;
        }
    });
    assert_eq!(count, changes);
    Figures::new(changes, seconds, processor_time)
}

fn mirrored(writer: &mut Writer, duration: Duration) -> Figures {
    let mut mirror = Mirror::new(listen(), Client::open().unwrap()).unwrap();
    mirror.synchronize().unwrap();
    let (mut changes, mut seconds, mut processor_time) = (0, 0.0, Duration::ZERO);
    let begin = Instant::now();
    while begin.elapsed() < duration {
        let mut seen = 0;
        let lap = run(writer, LAP, || {
            while mirror.try_next().unwrap().is_some() {
                seen += 1;
            }
        });
        assert_eq!((seen, mirror.overruns(), mirror.dumps()), (lap.0, 0, 1), "changes, losses and dumps");
        compare(&mirror, &mut writer.client);
        (changes, seconds, processor_time) = (changes + lap.0, seconds + lap.1, processor_time + lap.2);
    }
    println!("{changes} changes in {:.0} s: no loss, no other dump, and equal to a dump every {LAP:?}", seconds);
    Figures::new(changes, seconds, processor_time)
}

fn compare(mirror: &Mirror, client: &mut Client) {
    let same = client.dump().unwrap().map(Result::unwrap).filter(|flow| {
        let known = mirror.table().get(flow);
        known.map(|entry| (entry.reply(), entry.status(), entry.mark())) == Some((flow.reply, flow.status, flow.mark))
    });
    assert_eq!((same.count(), mirror.table().len()), (FLOWS as usize, FLOWS as usize));
}
