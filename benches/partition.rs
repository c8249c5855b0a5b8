//! A dump that threads share, beside a dump of one socket and the kernel's floor, as ratios within one run.
//!
//! `cargo bench -p ctnetlink-benches --bench partition [-- FLOWS]`. The table is half IPv4 and half IPv6.
//!
//! The floor is `benches/floor/raw_dump.c`, and two of it at once, each for a family. Runs in a private network namespace
//! and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
};

use ctnetlink::{Client, NewFlow, Partition, Tuple};

use support::{Netns, Programs, Table, asked, create, flow, time};

const DEFAULT_FLOWS: u32 = 200_000;
const ROUNDS: usize = 9;

fn main() {
    let flows = asked().unwrap_or(DEFAULT_FLOWS);
    let (_netns, mut client) = match Netns::enter(flows) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    println!("{flows} flows, medians of {ROUNDS} rounds, ratio to the floor of the same round\n");
    create(&mut client, (0..flows).map(|number| if number % 2 == 0 { flow(number) } else { over_ipv6(flow(number)) }));
    let mut table = Table::new("dump in two parts");
    let floor = Programs::floor();
    for round in 0..=ROUNDS {
        let whole = floor.run("raw_dump", &["32768"], "seconds");
        let halves = thread::scope(|scope| {
            let run = |family| floor.run("raw_dump", &["32768", family], "seconds");
            let halves = ["2", "10"].map(|family| scope.spawn(move || run(family)));
            halves.map(|half| half.join().unwrap()).into_iter().reduce(|one, other| Some(one?.max(other?))).flatten()
        });
        let one_socket = time(|| assert_eq!(count(&mut client), flows));
        let views = time(|| assert_eq!(count_in_parts(&mut client), flows));
        let values = time(|| {
            let dump = client.dump_partitioned(&Partition::families()).unwrap();
            assert_eq!(dump.map(Result::unwrap).filter(|flow| flow.status.is_some()).count(), flows as usize);
        });
        if round > 0 {
            table.add("raw_dump.c", whole, whole);
            table.add("raw_dump.c, one for each family", halves, whole);
            table.add("ctnetlink, one socket, views", Some(one_socket), whole);
            table.add("ctnetlink, families, views", Some(views), whole);
            table.add("ctnetlink, families, values", Some(values), whole);
        }
    }
    table.print(flows);
}

fn over_ipv6(mut flow: NewFlow) -> NewFlow {
    let mapped = |address: IpAddr| match address {
        // Not a mapped address, which would be IPv4 again.
        IpAddr::V4(address) => IpAddr::V6((0xfd00 << 112 | u128::from(Ipv4Addr::to_bits(address))).into()),
        other => other,
    };
    for tuple in [&mut flow.original, &mut flow.reply] {
        let layer4 = tuple.layer4;
        *tuple = Tuple::new(tuple.protocol, mapped(tuple.source), mapped(tuple.destination));
        tuple.layer4 = layer4;
    }
    flow
}

fn count(client: &mut Client) -> u32 {
    let mut flows = 0;
    let mut dump = client.dump().unwrap();
    while let Some(flow) = dump.next_view().unwrap() {
        flows += u32::from(flow.status().is_some());
    }
    flows
}

fn count_in_parts(client: &mut Client) -> u32 {
    let mut flows = 0;
    let mut dump = client.dump_partitioned(&Partition::families()).unwrap();
    while let Some(flow) = dump.next_view().unwrap() {
        flows += u32::from(flow.status().is_some());
    }
    flows
}
