//! Reads `/proc/net/nf_conntrack`, a file of such lines, or what `conntrack -L` printed, and sums it up.
//!
//! ```text
//! cargo run --example proc -- [FILE|-] [--json] [FILTER]
//! ```
//!
//! Without a file: the table of this network namespace. The filter is one of the filter language
//! (`proto tcp and dport 22`), in quotes. On a terminal, the busiest pairs of hosts as well.

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    net::IpAddr,
    process::ExitCode,
};

use ctnetlink::{
    Filter,
    proc::{self, Line, Reader},
};
use lexopt::prelude::*;
use support::Outcome;

const USAGE: &str = "usage: proc [FILE|-] [--json] [FILTER]
The file comes first, `-` is the standard input. The filter is one argument, in quotes, and comes second.
Of the live table: proc /proc/net/nf_conntrack 'proto tcp and dport 22'";

/// How many pairs of hosts are listed.
const TOP: usize = 10;

struct Arguments {
    file: Option<String>,
    filter: Option<Filter>,
    print: Print,
}

impl Arguments {
    fn read(arguments: &[String]) -> Result<Self, lexopt::Error> {
        let mut read = Self { file: None, filter: None, print: as_it_was };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("json") => read.print = as_json()?,
                Value(text) if read.file.is_none() => read.file = Some(text.string()?),
                Value(text) if read.filter.is_none() => read.filter = Some(text.parse()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(read)
    }

    fn open(&self) -> Outcome<Reader<Box<dyn BufRead>>> {
        Ok(Reader::new(match self.file.as_deref() {
            None => Box::new(proc::open()?.into_inner()),
            Some("-") => Box::new(io::stdin().lock()),
            Some(path) => {
                Box::new(BufReader::new(File::open(path).map_err(|error| format!("{path}: {error}\n{USAGE}"))?))
            }
        }))
    }
}

#[derive(Default)]
struct Summary {
    flows: u64,
    /// By protocol and state.
    states: BTreeMap<(String, String), u64>,
    /// Bytes in both directions between two hosts.
    talkers: HashMap<(IpAddr, IpAddr), u64>,
}

impl Summary {
    fn add(&mut self, line: &Line<'_>) {
        self.flows += 1;
        let state = line.state().map(|state| String::from_utf8_lossy(state).into_owned()).unwrap_or_default();
        *self.states.entry((line.protocol().to_string(), state)).or_default() += 1;
        let bytes =
            [line.counters_original(), line.counters_reply()].into_iter().flatten().map(|counters| counters.bytes);
        let original = line.original();
        *self.talkers.entry((original.source, original.destination)).or_default() += bytes.sum::<u64>();
    }

    fn print(&self, with_talkers: bool) {
        eprintln!("{} flows", self.flows);
        for ((protocol, state), count) in &self.states {
            eprintln!("{count:>8} {protocol} {state}");
        }
        let mut talkers: Vec<_> = self.talkers.iter().filter(|(_, bytes)| **bytes > 0).collect();
        if with_talkers && !talkers.is_empty() {
            talkers.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
            eprintln!("most bytes");
            for ((source, destination), bytes) in talkers.into_iter().take(TOP) {
                eprintln!("{bytes:>16} {source} -> {destination}");
            }
        }
    }
}

/// Prints one flow, and no newline.
type Print = fn(&mut dyn Write, &Line<'_>) -> io::Result<()>;

fn as_it_was(output: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    output.write_all(line.as_bytes())
}

#[cfg(feature = "json")]
fn as_json() -> Result<Print, String> {
    Ok(|output, line| Ok(serde_json::to_writer(output, &line.to_flow())?))
}

#[cfg(not(feature = "json"))]
fn as_json() -> Result<Print, String> {
    Err("JSON takes the feature `json`: cargo run --features json --example proc -- ...".into())
}

fn main() -> ExitCode {
    support::main(USAGE, sum_up)
}

fn sum_up(arguments: &[String]) -> Outcome {
    let arguments = Arguments::read(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let mut reader = arguments.open()?;
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut summary, mut malformed) = (Summary::default(), 0_u64);
    while let Some(line) = reader.next_view().transpose() {
        match line {
            Ok(line) if arguments.filter.as_ref().is_some_and(|filter| !filter.matches(&line.to_flow())) => {}
            Ok(line) => {
                summary.add(&line);
                (arguments.print)(&mut output, &line)?;
                output.write_all(b"\n")?;
            }
            Err(error) => {
                malformed += 1;
                eprintln!("{error}");
            }
        }
    }
    output.flush()?;
    summary.print(io::stdout().is_terminal());
    match malformed {
        0 => Ok(()),
        lines => Err(format!("{lines} lines are no flows").into()),
    }
}
