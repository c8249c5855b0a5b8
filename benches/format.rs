//! Prints one flow in each format into a reused buffer.
#![allow(clippy::unwrap_used)]

#[path = "support/sample.rs"]
mod sample;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ctnetlink::{
    Timestamp,
    format::{Printed, Save, Text, Xml},
};

use sample::flow;

fn formats(criterion: &mut Criterion) {
    let flows = [
        ("ipv4", flow("192.168.2.100:34846", "123.59.27.117:993")),
        ("ipv6", flow("[fd42:7277:90ec:a57f:24d8:22ae:50e:5249]:56533", "[fd42:7277:90ec:a57f::1]:53")),
    ];
    let now = Timestamp(1_795_400_630_000_000_000);
    let text = Text::new().extended(true).id(true).now(now);
    let xml = Xml::new().now(now);
    for (family, flow) in &flows {
        let mut group = criterion.benchmark_group(format!("format/{family}"));
        let mut buffer = Vec::with_capacity(4096);
        let mut into_buffer = |name, print: &dyn Fn(&mut Vec<u8>)| {
            group.bench_function(name, |bench| {
                bench.iter(|| {
                    buffer.clear();
                    print(&mut buffer);
                    black_box(buffer.len())
                })
            });
        };
        let append = |printed: Printed<'_>, buffer: &mut Vec<u8>| printed.append_to(buffer);
        into_buffer("text", &|buffer| append(text.flow(black_box(flow)), buffer));
        into_buffer("save", &|buffer| append(Save::new().flow(black_box(flow)), buffer));
        into_buffer("xml", &|buffer| append(xml.flow(black_box(flow)), buffer));
        let mut string = String::with_capacity(4096);
        group.bench_function("text into a string", |bench| {
            bench.iter(|| {
                string.clear();
                text.flow(black_box(flow)).write_to(&mut string).unwrap();
                black_box(string.len())
            })
        });
        group.finish();
    }
}

criterion_group!(benches, formats);
criterion_main!(benches);
