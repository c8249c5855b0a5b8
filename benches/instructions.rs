//! Executed instructions, counted by valgrind. They do not depend on the load of the machine.
//!
//! `cargo bench -p ctnetlink-benches --bench instructions` needs valgrind, and `gungraun-runner` in the version of
//! `Cargo.lock`. If one of them is missing, it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/line.rs"]
mod line;
#[path = "../tests/support/recordings.rs"]
mod recordings;
#[path = "support/sample.rs"]
mod sample;

fn main() {
    use std::{
        env,
        process::{Command, Stdio},
    };

    let is_missing = |program: &&str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    };
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    // The runner starts this program again under valgrind, with an empty environment.
    let is_counted = env::args().nth(1).as_deref() == Some("--gungraun-run");
    match ["valgrind", runner].into_iter().find(is_missing) {
        Some(program) if !is_counted => println!("skipped: {program} is not installed"),
        _ => counted::run(),
    }
}

mod counted {
    use std::hint::black_box;

    use ctnetlink::{
        Filter, Flow, FlowRef, Protocol, Status, Tuple,
        filter::AddressSet,
        format::{Text, Xml},
        proc::Line,
        wire::{Encoder, Flags, MessageType, Messages, RawMessage},
    };
    use gungraun::{Callgrind, prelude::*};
    use netlink_packet_core::NetlinkMessage;
    use netlink_packet_netfilter::NetfilterMessage;

    use crate::{line::read_all, recordings, sample};

    pub(super) fn run() {
        main();
    }

    type Bytes = &'static [u8];
    /// A buffer with enough capacity, to keep allocations out of the count.
    type Output = &'static mut Vec<u8>;

    /// Returns the first flow of that protocol in a recorded dump.
    fn recorded(protocol: Protocol) -> Bytes {
        let mut messages = recordings::recorded("vectors-dump").into_iter();
        let is_wanted = |bytes: &Vec<u8>| {
            let flow = Messages::new(bytes)
                .next()
                .unwrap()
                .and_then(|message| FlowRef::parse(&message).map(|flow| flow.to_flow()));
            flow.is_ok_and(|flow| flow.original.protocol == protocol)
        };
        messages.find(is_wanted).unwrap().leak()
    }

    fn message(bytes: Bytes) -> RawMessage<'static> {
        Messages::new(bytes).next().unwrap().unwrap()
    }

    #[library_benchmark(setup = recorded)]
    #[bench::tcp(Protocol::TCP)]
    #[bench::udp(Protocol::UDP)]
    #[bench::icmpv6(Protocol::ICMPV6)]
    fn decode(bytes: Bytes) -> Flow {
        Flow::decode(&message(black_box(bytes))).unwrap()
    }

    #[library_benchmark(setup = recorded)]
    #[bench::tcp(Protocol::TCP)]
    #[bench::udp(Protocol::UDP)]
    #[bench::icmpv6(Protocol::ICMPV6)]
    fn view(bytes: Bytes) -> (Tuple, Tuple, Option<Status>) {
        let flow = FlowRef::parse(&message(black_box(bytes))).unwrap();
        (flow.original().to_tuple(), flow.reply().to_tuple(), flow.status())
    }

    fn flow() -> &'static Flow {
        Box::leak(Box::new(sample::flow("192.168.2.100:34846", "123.59.27.117:993")))
    }

    fn output() -> Output {
        Box::leak(Box::new(Vec::with_capacity(4096)))
    }

    fn to_encode() -> (&'static Flow, &'static mut [u8]) {
        (flow(), vec![0; 1024].leak())
    }

    #[library_benchmark(setup = to_encode)]
    #[bench::tcp()]
    fn encode((flow, buffer): (&'static Flow, &'static mut [u8])) -> usize {
        let mut encoder = Encoder::new(buffer);
        encoder.message(MessageType::FLOW_NEW, Flags::REQUEST, 1, flow.family(), |body| flow.encode(body));
        encoder.finish().unwrap()
    }

    fn to_match(filter: &str) -> (&'static Filter, FlowRef<'static>) {
        let filter = match filter {
            "10,000 addresses" => {
                let addresses: AddressSet =
                    (0..10_000_u32).map(|number| std::net::Ipv4Addr::from_bits(7 * number)).collect();
                Filter::source(addresses)
            }
            terms => terms.parse().unwrap(),
        };
        (Box::leak(Box::new(filter)), FlowRef::parse(&message(recorded(Protocol::TCP))).unwrap())
    }

    #[library_benchmark(setup = to_match)]
    #[bench::three_terms("proto tcp and dport 1-65535 and not status DYING")]
    #[bench::one_of_10000_addresses("10,000 addresses")]
    fn filter((filter, flow): (&'static Filter, FlowRef<'static>)) -> bool {
        black_box(filter).matches(black_box(&flow))
    }

    fn to_print() -> (&'static Flow, Output) {
        (flow(), output())
    }

    #[library_benchmark(setup = to_print)]
    #[bench::extended()]
    fn text((flow, output): (&'static Flow, Output)) -> usize {
        Text::new().extended(true).id(true).flow(black_box(flow)).append_to(output);
        output.len()
    }

    #[library_benchmark(setup = to_print)]
    #[bench::flow()]
    fn xml((flow, output): (&'static Flow, Output)) -> usize {
        Xml::new().flow(black_box(flow)).append_to(output);
        output.len()
    }

    const TCP: &str = "ipv4     2 tcp      6 431993 ESTABLISHED src=10.99.0.1 dst=10.99.0.3 sport=54856 dport=80 packets=4 bytes=220 src=10.99.0.2 dst=10.99.0.1 sport=8080 dport=54856 packets=3 bytes=172 [ASSURED] mark=0 zone=0 use=2";
    const UDP6: &str = "ipv6     10 udp      17 29 src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=40000 dport=53 src=fd00:0000:0000:0000:0000:0000:0000:0002 dst=fd00:0000:0000:0000:0000:0000:0000:0001 sport=53 dport=40000 mark=0 zone=0 use=2";

    #[library_benchmark]
    #[bench::tcp(TCP)]
    #[bench::udp6(UDP6)]
    fn proc_line(text: &'static str) {
        read_all(&Line::parse(black_box(text.as_bytes())).unwrap());
    }

    // For comparison.
    #[library_benchmark(setup = recorded)]
    #[bench::tcp(Protocol::TCP)]
    fn decode_by_netlink_packet_netfilter(bytes: Bytes) -> NetlinkMessage<NetfilterMessage> {
        NetlinkMessage::deserialize(black_box(bytes)).unwrap()
    }

    library_benchmark_group!(
        name = instructions,
        benchmarks = [decode, decode_by_netlink_packet_netfilter, view, encode, filter, text, xml, proc_line]
    );
    main!(
        // Counts instructions alone. A simulated cache would add assumptions about the machine.
        config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
        library_benchmark_groups = instructions
    );
}
