//! The client beside the kernel's floor and its peers, as ratios within one run.
//!
//! `cargo bench -p ctnetlink-benches --bench live [-- FLOWS]`. For whole programs, build the example `conntrack` first:
//! `cargo build --release --all-features --example conntrack`.
//!
//! The floor is the C programs of `benches/floor`, built with `cc`. The programs of `benches/peers`, built with `cc` and
//! cargo, use libnetfilter_conntrack and other crates. A program that cannot be built is left out with a message.
//!
//! Runs in a private network namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use ctnetlink::{Client, Filter, FlowUpdate, Layer4, NewFlow};

use support::{FLOWS_OF_A_SOURCE, Netns, Programs, Table, asked, command, create, example, flow, peak_kib, time};

const DEFAULT_FLOWS: u32 = 200_000;
const ROUNDS: usize = 7;
/// Rounds of long operations.
const FEW_ROUNDS: usize = 3;
/// Lines of a file to load.
const LINES: u32 = 200_000;

fn main() {
    let flows = asked().unwrap_or(DEFAULT_FLOWS);
    let (_netns, mut client) = match Netns::enter(flows.max(LINES)) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    println!("{flows} flows, medians of {ROUNDS} rounds, ratio to the floor of the same round\n");
    let (floor, program) = (Programs::floor(), example("conntrack"));
    create_in_a_batch(&mut client, &floor, flows);
    dump(&mut client, &floor, &Programs::peers());
    if let Some(program) = &program {
        list(&floor, program, flows);
        load(&mut client, program);
    }
    create_one_in_twenty_to_port_22(&mut client, flows);
    filtered_dump(&mut client, flows);
    mark_all(&mut client, flows);
    delete_by_source(&mut client, flows);
    println!("\npeak memory of this process: {} KiB", peak_kib());
}

fn create_in_a_batch(client: &mut Client, floor: &Programs, flows: u32) {
    let mut table = Table::new("create, a batch");
    for _ in 0..ROUNDS {
        client.delete_all().unwrap();
        let floor = floor.run("raw_insert", &[&flows.to_string(), "100"], "per-second");
        let floor = floor.map(|each_second| f64::from(flows) / each_second);
        client.delete_all().unwrap();
        let requests: Vec<NewFlow> = (0..flows).map(flow).collect();
        let ours = time(|| {
            let mut batch = client.batch();
            for request in &requests {
                batch.push(request).unwrap();
            }
            assert_eq!(batch.finish().unwrap().succeeded(), requests.len());
        });
        table.add("raw_insert.c (100 a batch)", floor, floor);
        table.add("ctnetlink", Some(ours), floor);
    }
    table.print(flows);
}

fn dump(client: &mut Client, floor: &Programs, peers: &Programs) {
    let mut table = Table::new("dump");
    let mut flows = 0;
    for round in 0..=ROUNDS {
        let raw = floor.run("raw_dump", &[], "seconds");
        flows = 0;
        let views = time(|| {
            let mut dump = client.dump().unwrap();
            while let Some(flow) = dump.next_view().unwrap() {
                flows += u32::from(flow.status().is_some());
            }
        });
        let values = time(|| {
            let dump = client.dump().unwrap();
            assert_eq!(dump.map(Result::unwrap).filter(|flow| flow.status.is_some()).count(), flows as usize);
        });
        let printed = time(|| {
            let mut line = Vec::new();
            let text = ctnetlink::format::Text::new();
            for flow in client.dump().unwrap() {
                line.clear();
                text.flow(&flow.unwrap()).append_to(&mut line);
            }
        });
        if round == 0 {
            continue;
        }
        table.add("raw_dump.c", raw, raw);
        table.add("ctnetlink, views", Some(views), raw);
        table.add("ctnetlink, values", Some(values), raw);
        table.add("ctnetlink, printed", Some(printed), raw);
        if round <= FEW_ROUNDS {
            let parsed = peers.run("lnfct_dump", &["0"], "seconds");
            table.add("libnetfilter_conntrack, parsed", parsed, raw);
            let printed = peers.run("lnfct_dump", &["1"], "seconds");
            table.add("libnetfilter_conntrack, printed", printed, raw);
            table.add("conntrack -L", command("conntrack", &["-L"]), raw);
            let decoded = peers.run("netlink_packet_netfilter", &[], "seconds");
            table.add("netlink-packet-netfilter, decoded", decoded, raw);
            table.add("the crate conntrack, a list", peers.run("conntrack_crate", &[], "seconds"), raw);
        }
    }
    table.print(flows);
}

/// Times whole programs from start to exit.
fn list(floor: &Programs, program: &Path, flows: u32) {
    let mut table = Table::new("list, whole programs");
    for round in 0..ROUNDS {
        let raw = floor.run("raw_dump", &[], "seconds");
        table.add("raw_dump.c", raw, raw);
        table.add("the example, -L", command(program, &["-L"]), raw);
        table.add("the example, -L -o xml", command(program, &["-L", "-o", "xml"]), raw);
        if round < FEW_ROUNDS {
            table.add("conntrack -L", command("conntrack", &["-L"]), raw);
            table.add("conntrack -L -o xml", command("conntrack", &["-L", "-o", "xml"]), raw);
        }
    }
    table.print(flows);
}

/// Loads lines in the format that conntrack(8) saves.
fn load(client: &mut Client, program: &Path) {
    client.delete_all().unwrap();
    create(client, (0..LINES).map(flow));
    let file = env::temp_dir().join(format!("ctnetlink-lines-{}", std::process::id()));
    let saver = if command("conntrack", &["-V"]).is_some() { Path::new("conntrack") } else { program };
    let mut save = Command::new(saver);
    save.args(["-L", "-o", "save"]).stdout(fs::File::create(&file).unwrap()).stderr(Stdio::null());
    assert!(save.status().unwrap().success());
    let mut table = Table::new(format!("load {LINES} lines, whole programs"));
    let name = file.to_str().unwrap();
    for _ in 0..ROUNDS {
        client.delete_all().unwrap();
        let ours = command(program, &["-R", name]);
        table.add("the example, -R", ours, ours);
        client.delete_all().unwrap();
        table.add("conntrack -R", command("conntrack", &["-R", name]), ours);
    }
    let _ = fs::remove_file(&file);
    table.print(LINES);
}

/// Fills the table with one flow in twenty to port 22, for a filter that the kernel evaluates.
fn create_one_in_twenty_to_port_22(client: &mut Client, flows: u32) {
    client.delete_all().unwrap();
    let numbered = |number| {
        let mut flow = flow(number);
        if number % 20 == 0 {
            let port = Layer4::Ports { source: flow.original.source_port().unwrap(), destination: 22 };
            flow.original.layer4 = port;
            flow.reply = flow.original.inverted().unwrap();
        }
        flow
    };
    create(client, (0..flows).map(numbered));
}

fn filtered_dump(client: &mut Client, flows: u32) {
    let filter: Filter = "family ipv4 and proto tcp and dport 22".parse().unwrap();
    let mut table = Table::new("dump one in twenty, by port");
    for _ in 0..ROUNDS {
        let all = time(|| assert_eq!(client.dump().unwrap().count(), flows as usize));
        let some = time(|| {
            let dump = client.dump_matching(&filter).unwrap();
            assert_eq!(dump.map(Result::unwrap).count(), flows.div_ceil(20) as usize);
        });
        table.add("ctnetlink, all of them", Some(all), Some(all));
        table.add("ctnetlink, the twentieth", Some(some), Some(all));
        let arguments = ["-L", "-f", "ipv4", "-p", "tcp", "--dport", "22"];
        table.add("conntrack -L, the twentieth", command("conntrack", &arguments), Some(all));
    }
    table.print(flows);
}

fn mark_all(client: &mut Client, flows: u32) {
    let mut table = Table::new("mark all of them");
    for mark in 0..3 {
        let filter: Filter = "proto tcp".parse().unwrap();
        let ours = time(|| {
            let report = client.update_matching(&filter, &FlowUpdate::new().mark(mark)).unwrap();
            assert_eq!(report.changed(), u64::from(flows));
        });
        table.add("ctnetlink", Some(ours), Some(ours));
        // 1.4.7 fails with ENOBUFS from some hundred flows on and then has no row.
        let mark = mark.to_string();
        table.add(
            "conntrack -U",
            command("conntrack", &["-U", "-f", "ipv4", "-p", "tcp", "--mark", &mark]),
            Some(ours),
        );
    }
    table.print(flows);
}

/// Gives half of the sources to each contestant.
fn delete_by_source(client: &mut Client, flows: u32) {
    let mut table = Table::new(format!("delete {FLOWS_OF_A_SOURCE} by source address"));
    for _ in 0..FEW_ROUNDS {
        client.delete_all().unwrap();
        create(client, (0..flows).map(flow));
        for source in 0..(flows / (2 * FLOWS_OF_A_SOURCE)).min(3) {
            let filter: Filter = format!("src 10.0.{}.1", 2 * source).parse().unwrap();
            let ours = time(|| {
                assert_eq!(client.delete_matching(&filter).unwrap().changed(), u64::from(FLOWS_OF_A_SOURCE));
            });
            let theirs = command("conntrack", &["-D", "-s", &format!("10.0.{}.1", 2 * source + 1)]);
            table.add("ctnetlink", Some(ours), Some(ours));
            table.add("conntrack -D", theirs, Some(ours));
        }
    }
    table.print(FLOWS_OF_A_SOURCE);
}
