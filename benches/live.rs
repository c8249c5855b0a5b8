//! The client against the kernel's floor and its peers, in a network namespace of its own: ratios of one run.
//!
//! `cargo bench --bench live [-- FLOWS]`. The floor and libnetfilter_conntrack are small C programs, built with `cc`
//! from the folder that `CTNETLINK_FLOOR` names; the floor of a dump is measured from Rust too, so that the
//! bench says something without them. Where no kernel is to be had, it says so and ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: only Linux has the kernel to measure");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        env, fs,
        net::Ipv4Addr,
        path::{Path, PathBuf},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use ctnetlink::{
        Client, Filter, Layer4, Status, TcpState, Tuple,
        request::{FlowUpdate, NewFlow},
        sysctl,
    };
    use nix::sched::{CloneFlags, unshare};

    const DEFAULT_FLOWS: u32 = 200_000;
    const ROUNDS: usize = 7;

    pub(super) fn main() {
        let flows = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_FLOWS);
        // Belongs to the initial namespace: before leaving it, make room.
        let room = sysctl::MAX.read().is_ok_and(|max| max > flows) || sysctl::MAX.write(flows + flows / 5).is_ok();
        if !room || unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return println!("skipped: no network namespace, or no room for {flows} flows in it: run as root");
        }
        let Ok(mut client) = Client::open() else { return println!("skipped: no netfilter netlink in this kernel") };
        if client.statistics().is_err() {
            return println!("skipped: no connection tracking in this kernel");
        }
        println!("{flows} flows, medians of {ROUNDS} rounds, ratio to the floor of the same round\n");
        let floor = Floor::build();
        create(&mut client, &floor, flows);
        dump(&mut client, &floor);
        seed(&mut client, flows);
        filtered_dump(&mut client, flows);
        change(&mut client, flows);
        println!("\npeak memory of this process: {} KiB", peak_memory());
    }

    /// The flow that `raw_insert.c` creates under that number.
    fn flow(number: u32) -> NewFlow {
        let source = Ipv4Addr::from_bits(0x0a00_0001 + number / 50_000 * 256);
        let destination = Ipv4Addr::from_bits(0x0a80_0000 + number % 251);
        let port = 1024 + (number % 50_000) as u16;
        let original = Tuple::tcp((source, port).into(), (destination, 443).into());
        let mut flow = NewFlow::untranslated(original, 100_000).unwrap().liberal_tcp(TcpState::ESTABLISHED);
        flow.status = Status::SEEN_REPLY | Status::ASSURED;
        flow.mark = Some(number & 255);
        flow
    }

    fn create(client: &mut Client, floor: &Floor, flows: u32) {
        let mut table = Table::new("create, a batch");
        for _ in 0..ROUNDS {
            client.flush().unwrap();
            let floor =
                floor.run("raw_insert", &[&flows.to_string(), "100"], |words| flows as f64 / words.after("per-second"));
            client.flush().unwrap();
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

    fn dump(client: &mut Client, floor: &Floor) {
        let mut table = Table::new("dump");
        let mut flows = 0;
        for round in 0..=ROUNDS {
            let raw = floor.run("raw_dump", &[], |words| words.after("seconds"));
            flows = 0;
            let views = time(|| {
                let mut dump = client.dump().unwrap();
                while let Some(flow) = dump.next() {
                    flows += u32::from(flow.unwrap().status().is_some());
                }
            });
            let values = time(|| {
                let dump = client.dump().unwrap().into_iter();
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
            if round <= 3 {
                let parsed = floor.run("lnfct_dump", &["0"], |words| words.after("seconds"));
                table.add("libnetfilter_conntrack, parsed", parsed, raw);
                let printed = floor.run("lnfct_dump", &["1"], |words| words.after("seconds"));
                table.add("libnetfilter_conntrack, printed", printed, raw);
                table.add("conntrack -L", command("conntrack", &["-L"]), raw);
            }
        }
        table.print(flows);
    }

    /// One flow in twenty is to port 22, and can be asked of the kernel alone.
    fn seed(client: &mut Client, flows: u32) {
        client.flush().unwrap();
        let mut batch = client.batch();
        for number in 0..flows {
            let mut flow = flow(number);
            if number % 20 == 0 {
                let port = Layer4::Ports { source: flow.original.source_port().unwrap(), destination: 22 };
                flow.original.layer4 = port;
                flow.reply = flow.original.inverted().unwrap();
            }
            batch.push(&flow).unwrap();
        }
        assert_eq!(batch.finish().unwrap().failures(), []);
    }

    fn filtered_dump(client: &mut Client, flows: u32) {
        let filter: Filter = "family ipv4 and proto tcp and dport 22".parse().unwrap();
        let mut table = Table::new("dump one in twenty, by port");
        for _ in 0..ROUNDS {
            let all = time(|| assert_eq!(client.dump().unwrap().into_iter().count(), flows as usize));
            let some = time(|| {
                let dump = client.dump_matching(&filter).unwrap().into_iter();
                assert_eq!(dump.map(Result::unwrap).count(), flows.div_ceil(20) as usize);
            });
            table.add("ctnetlink, all of them", Some(all), Some(all));
            table.add("ctnetlink, the twentieth", Some(some), Some(all));
            let arguments = ["-L", "-f", "ipv4", "-p", "tcp", "--dport", "22"];
            table.add("conntrack -L, the twentieth", command("conntrack", &arguments), Some(all));
        }
        table.print(flows);
    }

    /// Every 50,000 flows have a source address of their own.
    fn change(client: &mut Client, flows: u32) {
        let mut table = Table::new("mark all of them");
        for mark in 0..3 {
            let filter: Filter = "proto tcp".parse().unwrap();
            let ours = time(|| {
                let report = client.update_matching(&filter, &FlowUpdate::new().mark(mark)).unwrap();
                assert_eq!(report.changed, u64::from(flows));
            });
            table.add("ctnetlink", Some(ours), Some(ours));
            // 1.4.7 gives up with ENOBUFS from some hundred flows on: then it has no row.
            let mark = mark.to_string();
            table.add(
                "conntrack -U",
                command("conntrack", &["-U", "-f", "ipv4", "-p", "tcp", "--mark", &mark]),
                Some(ours),
            );
        }
        table.print(flows);
        let mut table = Table::new("delete 50,000 by source address");
        for source in 0..(flows / 100_000).min(3) {
            let filter: Filter = format!("src 10.0.{}.1", 2 * source).parse().unwrap();
            let ours = time(|| {
                assert_eq!(client.delete_matching(&filter).unwrap().changed, 50_000);
            });
            let theirs = command("conntrack", &["-D", "-s", &format!("10.0.{}.1", 2 * source + 1)]);
            table.add("ctnetlink", Some(ours), Some(ours));
            table.add("conntrack -D", theirs, Some(ours));
        }
        table.print(50_000);
    }

    fn time(work: impl FnOnce()) -> f64 {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    }

    /// How long a command takes, its output thrown away; `None` where it is not installed or fails.
    fn command(program: &str, arguments: &[&str]) -> Option<f64> {
        let start = Instant::now();
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.ok().filter(|status| status.success()).map(|_| start.elapsed()).as_ref().map(Duration::as_secs_f64)
    }

    /// The C programs that only do what the kernel makes everybody do.
    struct Floor {
        programs: Option<PathBuf>,
    }

    impl Floor {
        fn build() -> Self {
            let Some(sources) = env::var_os("CTNETLINK_FLOOR").map(PathBuf::from) else {
                println!("(without a floor: CTNETLINK_FLOOR names no folder)");
                return Self { programs: None };
            };
            let programs = env::temp_dir().join(format!("ctnetlink-floor-{}", std::process::id()));
            fs::create_dir_all(&programs).unwrap();
            for (name, library) in
                [("raw_dump", None), ("raw_insert", None), ("lnfct_dump", Some("-lnetfilter_conntrack"))]
            {
                let (source, program) = (sources.join(name).with_extension("c"), programs.join(name));
                let _ = Command::new("cc").arg("-O2").arg("-o").args([&program, &source]).args(library).status();
            }
            Self { programs: Some(programs) }
        }

        /// Runs one and reads its seconds off what it prints.
        fn run(&self, name: &str, arguments: &[&str], seconds: impl Fn(Words) -> f64) -> Option<f64> {
            let program = self.programs.as_ref()?.join(name);
            let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
            output.status.success().then(|| seconds(Words(String::from_utf8(output.stdout).unwrap())))
        }
    }

    impl Drop for Floor {
        fn drop(&mut self) {
            if let Some(programs) = &self.programs {
                let _ = fs::remove_dir_all(programs as &Path);
            }
        }
    }

    struct Words(String);

    impl Words {
        fn after(&self, name: &str) -> f64 {
            let mut words = self.0.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
        }
    }

    /// Times and ratios by contestant, in the order in which they came.
    struct Table {
        title: &'static str,
        rows: Vec<(&'static str, Vec<f64>, Vec<f64>)>,
    }

    impl Table {
        fn new(title: &'static str) -> Self {
            Self { title, rows: Vec::new() }
        }

        fn add(&mut self, name: &'static str, seconds: Option<f64>, floor: Option<f64>) {
            let Some(seconds) = seconds else { return };
            let at = self.rows.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
                self.rows.push((name, Vec::new(), Vec::new()));
                self.rows.len() - 1
            });
            self.rows[at].1.push(seconds);
            self.rows[at].2.extend(floor.map(|floor| seconds / floor));
        }

        fn print(mut self, flows: u32) {
            println!("{:<42} {:>10} {:>10} {:>7}", self.title, "seconds", "ns/flow", "ratio");
            for (name, seconds, ratios) in &mut self.rows {
                let (seconds, ratio) = (median(seconds), median(ratios));
                println!("  {name:<40} {seconds:>10.3} {:>10.0} {ratio:>7.2}", seconds * 1e9 / f64::from(flows));
            }
        }
    }

    fn median(values: &mut [f64]) -> f64 {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn peak_memory() -> String {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("unknown").to_owned()
    }
}
