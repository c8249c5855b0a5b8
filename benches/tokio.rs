//! The client, events and mirror for tokio beside the synchronous ones, as ratios within one run.
//!
//! `cargo bench -p ctnetlink-benches --bench tokio [-- FLOWS]`
//!
//! Every round measures the processor time of both, on a current-thread runtime, and they take turns to be first. Runs in a private network
//! namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use ctnetlink::{Client, EventGroups, EventSocket, Filter, FlowKey, FlowUpdate, request::DeleteFlow, sysctl, tokio};
use support::{Netns, Table, asked, cpu_time, create, flow};

const DEFAULT_FLOWS: u32 = 200_000;
const ROUNDS: u32 = 11;
/// Events of a round, which fit the receive buffer.
const EVENTS: u32 = 50_000;
const RECEIVE_BUFFER: usize = 256 << 20;

fn main() {
    let flows = asked().unwrap_or(DEFAULT_FLOWS);
    let (_netns, mut client) = match Netns::enter(flows + EVENTS) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // Only the listener of its own measurement gets events.
    sysctl::EVENTS.write(0).unwrap();
    create(&mut client, (0..flows).map(flow));
    println!("{flows} flows, medians of {ROUNDS} rounds, ratio to the synchronous types in the same round\n");
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench { client, flows, runtime };
    bench.run();
}

struct Bench {
    client: Client,
    flows: u32,
    runtime: ::tokio::runtime::Runtime,
}

impl Bench {
    fn run(mut self) {
        let mut awaited = tokio::Client::from(Client::open().unwrap());
        let all = self.flows as usize;
        let port: Filter = "family ipv4 and proto tcp and dport 443 and mark 7".parse().unwrap();

        compare(
            "dump, views",
            self.flows,
            &self.runtime,
            &mut self.client,
            &mut awaited,
            |client| {
                let (mut dump, mut seen) = (client.dump().unwrap(), 0);
                while let Some(flow) = dump.next_view().unwrap() {
                    seen += usize::from(flow.status().is_some());
                }
                assert_eq!(seen, all);
            },
            async |client| {
                let (mut dump, mut seen) = (client.dump().await.unwrap(), 0);
                while let Some(flow) = dump.next_view().await.unwrap() {
                    seen += usize::from(flow.status().is_some());
                }
                assert_eq!(seen, all);
            },
        );
        compare(
            "dump, values",
            self.flows,
            &self.runtime,
            &mut self.client,
            &mut awaited,
            |client| {
                assert_eq!(client.dump().unwrap().map(Result::unwrap).count(), all);
            },
            async |client| {
                let (mut dump, mut seen) = (client.dump().await.unwrap(), 0);
                while let Some(flow) = dump.next().await {
                    seen += usize::from(flow.unwrap().status.is_some());
                }
                assert_eq!(seen, all);
            },
        );
        compare(
            "dump by mark and port, views",
            self.flows,
            &self.runtime,
            &mut self.client,
            &mut awaited,
            |client| {
                let mut dump = client.dump_matching(&port).unwrap();
                while dump.next_view().unwrap().is_some() {}
            },
            async |client| {
                let mut dump = client.dump_matching(&port).await.unwrap();
                while dump.next_view().await.unwrap().is_some() {}
            },
        );
        let tcp: Filter = "proto tcp".parse().unwrap();
        let update = FlowUpdate::new().mark(7);
        compare(
            "mark all by a filter",
            self.flows,
            &self.runtime,
            &mut self.client,
            &mut awaited,
            |client| {
                assert_eq!(client.update_matching(&tcp, &update).unwrap().changed(), all as u64);
            },
            async |client| {
                assert_eq!(client.update_matching(&tcp, &update).await.unwrap().changed(), all as u64);
            },
        );
        self.events();
    }

    /// Each socket receives the events that its queue has gathered.
    fn events(&mut self) {
        sysctl::EVENTS.write(1).unwrap();
        let mut table = Table::new("events, views");
        for round in 0..=ROUNDS {
            let open = || EventSocket::builder(EventGroups::NEW).receive_buffer(RECEIVE_BUFFER).open().unwrap();
            let (mut blocking, mut awaited) = (open(), tokio::EventSocket::from(open()));
            let numbers = self.flows..self.flows + EVENTS;
            create(&mut self.client, numbers.clone().map(flow));
            let mut times = [0.0; 2];
            for turn in [round % 2, (round + 1) % 2] {
                times[turn as usize] = time(|| match turn {
                    0 => (0..EVENTS).for_each(|_| assert!(blocking.next_view().unwrap().is_some())),
                    _ => self.runtime.block_on(async {
                        for _ in 0..EVENTS {
                            assert!(awaited.next_view().await.unwrap().is_some());
                        }
                    }),
                });
            }
            if round > 0 {
                table.add("synchronous", Some(times[0]), Some(times[0]));
                table.add("tokio", Some(times[1]), Some(times[0]));
            }
            let mut batch = self.client.batch();
            for number in numbers {
                batch.push(&DeleteFlow::new(FlowKey::original(flow(number).original))).unwrap();
            }
            assert_eq!(batch.finish().unwrap().failures(), []);
        }
        table.print(EVENTS);
    }
}

/// Returns the processor time of this thread: both types work on it alone, and other programs do not count.
fn time(work: impl FnOnce()) -> f64 {
    let start = cpu_time();
    work();
    (cpu_time() - start).as_secs_f64()
}

/// Times both in turns. The first round warms up.
fn compare(
    title: &str,
    flows: u32,
    runtime: &::tokio::runtime::Runtime,
    client: &mut Client,
    awaited: &mut tokio::Client,
    mut blocking: impl FnMut(&mut Client),
    mut asynchronous: impl AsyncFnMut(&mut tokio::Client),
) {
    let mut table = Table::new(title);
    for round in 0..=ROUNDS {
        let mut times = [0.0; 2];
        for turn in [round % 2, (round + 1) % 2] {
            times[turn as usize] = time(|| match turn {
                0 => blocking(client),
                _ => runtime.block_on(asynchronous(awaited)),
            });
        }
        if round > 0 {
            table.add("synchronous", Some(times[0]), Some(times[0]));
            table.add("tokio", Some(times[1]), Some(times[0]));
        }
    }
    table.print(flows);
}
