//! The parser of `/proc/net/nf_conntrack`: one line, and a table in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ctnetlink::proc::{Line, Reader};

#[path = "support/line.rs"]
mod line_values;

use line_values::read_all;

const TCP: &[u8] = b"ipv4     2 tcp      6 431993 ESTABLISHED src=10.99.0.1 dst=10.99.0.3 sport=54856 dport=80 packets=4 bytes=220 src=10.99.0.2 dst=10.99.0.1 sport=8080 dport=54856 packets=3 bytes=172 [ASSURED] mark=0 zone=0 use=2";

/// Returns a table of distinct lines, three quarters of them TCP.
fn table(flows: u32, ipv6: bool) -> String {
    let mut text = String::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..flows {
        let address = |random: &mut dyn FnMut(u64) -> u64| {
            if ipv6 {
                let groups: Vec<_> = (0..8).map(|_| format!("{:04x}", random(65536))).collect();
                groups.join(":")
            } else {
                format!("{}.{}.{}.{}", random(256), random(256), random(256), random(256))
            }
        };
        let (client, server) = (address(&mut random), address(&mut random));
        let (client_port, server_port) = (random(65536), random(1024));
        let (packets, bytes) = (random(1 << 20), random(1 << 34));
        let layer3 = if ipv6 { "ipv6     10" } else { "ipv4     2" };
        let (layer4, end) = match random(4) {
            0 => (format!("udp      17 {}", random(180)), " "),
            _ => (
                format!("tcp      6 {} {}", random(432_000), ["ESTABLISHED", "TIME_WAIT"][random(2) as usize]),
                " [ASSURED] ",
            ),
        };
        writeln!(
            text,
            "{layer3} {layer4} src={client} dst={server} sport={client_port} dport={server_port} packets={packets} \
             bytes={bytes} src={server} dst={client} sport={server_port} dport={client_port} packets={packets} \
             bytes={bytes}{end}mark={} zone=0 use=2",
            random(256)
        )
        .unwrap();
    }
    text
}

fn line(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proc/line");
    group.throughput(Throughput::Bytes(TCP.len() as u64));
    group.bench_function("parse", |bench| bench.iter(|| Line::parse(black_box(TCP)).unwrap().mark()));
    group.bench_function("parse and read all", |bench| bench.iter(|| read_all(&Line::parse(black_box(TCP)).unwrap())));
    group.bench_function("to_flow", |bench| bench.iter(|| Line::parse(black_box(TCP)).unwrap().to_flow()));
    group.finish();
}

fn file(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proc/table");
    for (name, ipv6) in [("ipv4", false), ("ipv6", true)] {
        let text = table(20_000, ipv6);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut reader = Reader::new(black_box(text.as_bytes()));
                while let Some(line) = reader.next_view().unwrap() {
                    read_all(&line);
                }
            })
        });
    }
    group.finish();
}

criterion_group!(benches, line, file);
criterion_main!(benches);
