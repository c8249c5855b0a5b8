//! Both programs on one table, and their results.

use std::process::Output;

use ctnetlink::{NatRange, NewFlow, Protocol, SctpInfo, SctpState, Status, TcpState, Tuple};

use crate::{
    lab::Lab,
    samples::{create, endpoint},
};

/// Both programs in one namespace.
pub struct SideBySide<'l> {
    pub lab: &'l Lab,
    pub ours: String,
    theirs: String,
}

/// One of the two programs.
#[derive(Clone, Copy)]
pub enum Program {
    Ours,
    Theirs,
}

/// A release of conntrack-tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// The result of a command, as far as both programs must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    /// The count or the first error.
    pub message: String,
}

impl<'l> SideBySide<'l> {
    pub fn new(lab: &'l Lab) -> Self {
        let theirs = std::env::var("CONNTRACK").unwrap_or_else(|_| "conntrack".to_owned());
        Self { lab, ours: lab.example("conntrack"), theirs }
    }

    pub fn ours(&self, line: &str) -> Outcome {
        Outcome::of(&self.lab.output(&self.ours, &split(line)))
    }

    pub fn theirs(&self, line: &str) -> Outcome {
        Outcome::of(&self.lab.output(&self.theirs, &split(line)))
    }

    pub fn run(&self, program: Program, line: &str) -> Outcome {
        match program {
            Program::Ours => self.ours(line),
            Program::Theirs => self.theirs(line),
        }
    }

    /// The release of conntrack(8).
    pub fn version(&self) -> Version {
        let text = self.theirs("-V").stdout;
        let numbers: Vec<u32> = text.split(['v', '.', ' ']).filter_map(|part| part.parse().ok()).collect();
        let &[major, minor, patch] = numbers.as_slice() else { panic!("{text}") };
        Version(major, minor, patch)
    }

    /// Asserts that both programs print the same: with timeouts if both run within one tick, else without.
    pub fn same(&self, line: &str) {
        for _ in 0..4 {
            if self.theirs(line).sorted() == self.ours(line).sorted() {
                return;
            }
        }
        assert_eq!(self.ours(line).timeless(), self.theirs(line).timeless(), "ours and theirs: conntrack {line}");
    }

    /// Runs both programs on tables with the same flows.
    pub fn both_on_a_full_table(&self, line: &str) -> [(Outcome, Vec<String>); 2] {
        [Self::ours as fn(&Self, &str) -> Outcome, Self::theirs].map(|run| {
            self.lab.client().delete_all().unwrap();
            fill(self.lab);
            let outcome = run(self, line);
            (outcome.timeless(), self.table())
        })
    }

    /// The table as lines, without values that differ from one filling to the next.
    pub fn table(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lab.flows().iter().map(|flow| timeless(&flow.to_string())).collect();
        lines.sort();
        lines
    }
}

impl Outcome {
    pub fn of(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = |line: &str| line.split_once("): ").map(|(_, message)| message.to_owned());
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            message: stderr.lines().find_map(said).unwrap_or_default(),
        }
    }

    /// The result with sorted lines: ours lists one family after the other if the kernel filters.
    fn sorted(&self) -> Self {
        let mut lines: Vec<&str> = self.stdout.lines().collect();
        lines.sort_unstable();
        Self { stdout: lines.join("\n"), ..self.clone() }
    }

    pub fn timeless(&self) -> Self {
        let mut lines: Vec<String> = self.stdout.lines().map(timeless).collect();
        lines.sort_unstable();
        let stdout = lines.join("\n");
        // Each program words refusals of the kernel differently.
        let message = match self.message.strip_prefix("Operation failed: ") {
            Some(_) => "Operation failed".to_owned(),
            None => self.message.clone(),
        };
        Self { stdout, message, ..self.clone() }
    }
}

/// The line without timeouts, ages and identifiers.
pub fn timeless(line: &str) -> String {
    let mut line = line.to_owned();
    for (before, after) in
        [("<timeout>", "<"), ("<id>", "<"), ("<deltatime>", "<"), (" -t ", " "), ("delta-time=", " ")]
    {
        line = without_number(&line, before, after);
    }
    // The identifier of a flow is at the end, unlike that of an ICMP query.
    if let Some((rest, _)) = line.rsplit_once(" id=").filter(|(_, id)| id.bytes().all(|byte| byte.is_ascii_digit())) {
        line = format!("{rest} id=");
    }
    let words: Vec<&str> = line.split(' ').collect();
    let source = words.iter().position(|word| word.starts_with("src=")).unwrap_or(0);
    let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match (0..source).rev().find(|place| is_number(&words[*place])) {
        Some(place) => {
            let mut words = words;
            words[place] = "T";
            words.join(" ")
        }
        None => line,
    }
}

fn split(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn without_number(line: &str, before: &str, after: &str) -> String {
    let Some((first, rest)) = line.split_once(before) else { return line.to_owned() };
    let end = rest.find(after).unwrap_or(rest.len());
    format!("{first}{before}{}", without_number(&rest[end..], before, after))
}

/// Creates 17 flows of every kind, the same each time.
pub fn fill(lab: &Lab) {
    create(&mut lab.client(), flows());
}

fn flows() -> Vec<NewFlow> {
    let between = |protocol, source, destination| {
        let tuple = Tuple::with_ports(protocol, endpoint("10.9.0.1", source), endpoint("10.9.0.2", destination));
        NewFlow::untranslated(tuple, 3000).unwrap()
    };
    let plain = |tuple: Tuple| NewFlow::untranslated(tuple, 3000).unwrap();
    let address = |text: &str| text.parse().unwrap();
    let mut flows = Vec::new();

    let mut ssh = between(Protocol::TCP, 1000, 22).liberal_tcp(TcpState::ESTABLISHED);
    ssh.status = Status::SEEN_REPLY | Status::ASSURED;
    ssh.mark = Some(5);
    let mut closing = between(Protocol::TCP, 1001, 80).liberal_tcp(TcpState::TIME_WAIT);
    closing.status = Status::SEEN_REPLY;
    let mut fixed = between(Protocol::TCP, 1002, 80).liberal_tcp(TcpState::SYN_SENT);
    fixed.status = Status::FIXED_TIMEOUT;
    flows.extend([ssh, closing, fixed]);

    flows.push(between(Protocol::UDP, 1000, 53));
    let mut source_nat = between(Protocol::UDP, 1001, 53);
    source_nat.snat = Some(NatRange::address(address("10.9.0.9")).port(77));
    let mut destination_nat = between(Protocol::UDP, 1002, 53);
    destination_nat.dnat = Some(NatRange::address(address("10.9.0.8")));
    let mut zoned = between(Protocol::UDP, 1003, 53);
    zoned.zone = Some(11);
    zoned.mark = Some(6);
    let mut half_zoned = between(Protocol::UDP, 1004, 53);
    half_zoned.original.zone = Some(12);
    flows.extend([source_nat, destination_nat, zoned, half_zoned]);

    let mut udp6 = plain(Tuple::udp(endpoint("fd09::1", 1000), endpoint("fd09::2", 53)));
    udp6.status = Status::SEEN_REPLY;
    let mut translated6 = plain(Tuple::udp(endpoint("fd09::1", 1001), endpoint("fd09::2", 53)));
    translated6.snat = Some(NatRange::address(address("fd09::9")));
    flows.extend([udp6, translated6]);

    flows.push(plain(Tuple::icmp(address("10.9.0.1"), address("10.9.0.2"), 8, 0, 77)));
    flows.push(plain(Tuple::icmp(address("fd09::1"), address("fd09::2"), 128, 0, 78)));
    flows.push(plain(Tuple::gre(address("10.9.0.1"), address("10.9.0.2"), 16, 32)));
    flows.push(plain(Tuple::gre(address("10.9.0.1"), address("10.9.0.3"), 17, 33)));
    flows.push(plain(Tuple::new(Protocol(50), address("10.9.0.1"), address("10.9.0.2"))));
    flows.push(between(Protocol::UDPLITE, 1000, 1));
    let mut sctp = between(Protocol::SCTP, 1000, 2);
    sctp.protocol_info = Some(SctpInfo::new(SctpState::ESTABLISHED, 0x1234, 0x5678).into());
    flows.push(sctp);
    flows
}
