//! Reads `/proc/net/nf_conntrack`, a file of such lines, or the output of `conntrack -L`: prints matching flows and a
//! summary.
//!
//! ```text
//! cargo run --example proc -- 'proto tcp and dport 22' /proc/net/nf_conntrack
//! ```

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
    proc::{self, Line, ReadError, Reader},
};
use lexopt::prelude::*;
use support::{Outcome, complain, parse, wrong_usage};

const USAGE: &str = "usage: proc [--json] [FILTER [FILE]]

Prints the flows of a file that match a filter, and a summary to the standard error.
Example: conntrack -L | proc 'src 10.0.0.0/8 and not assured' -

  FILTER  a filter in one argument; default: any
  FILE    lines of /proc/net/nf_conntrack or conntrack -L; - reads the standard input; default: the live table
  --json  prints JSON (needs the feature json)";

/// The number of pairs of hosts in the summary.
const TOP: usize = 10;

struct Arguments {
    /// The path, `-`, or the live table.
    file: Option<String>,
    filter: Filter,
    print: Print,
}

impl Arguments {
    fn read(arguments: &[String]) -> Outcome<Self> {
        let (mut filter, mut file, mut print) = (None, None, as_it_was as Print);
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("json") => print = as_json()?,
                Value(text) if filter.is_none() => filter = Some(text.string()?),
                Value(text) if file.is_none() => file = Some(text.string()?),
                other => return Err(wrong_usage(format_args!("{}\n{USAGE}", other.unexpected()))),
            }
        }
        Ok(Self { file, filter: parse("FILTER", filter.as_deref().unwrap_or("any"))?, print })
    }

    /// The name of the input in messages.
    fn name(&self) -> &str {
        match self.file.as_deref() {
            None => "the live table",
            Some("-") => "the standard input",
            Some(path) => path,
        }
    }

    fn open(&self) -> Outcome<Reader<Box<dyn BufRead>>> {
        Ok(Reader::new(match self.file.as_deref() {
            None => Box::new(proc::open()?.into_inner()),
            Some("-") => Box::new(io::stdin().lock()),
            Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| format!("{path}: {error}"))?)),
        }))
    }
}

#[derive(Default)]
struct Summary {
    flows: u64,
    /// The number of flows for each protocol and state.
    states: BTreeMap<(String, String), u64>,
    /// The bytes in both directions between two hosts.
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
        complain(format_args!("{} {}", self.flows, if self.flows == 1 { "flow" } else { "flows" }));
        for ((protocol, state), count) in &self.states {
            complain(format_args!("{count:>8} {protocol} {state}"));
        }
        let mut talkers: Vec<_> = self.talkers.iter().filter(|(_, bytes)| **bytes > 0).collect();
        if with_talkers && !talkers.is_empty() {
            talkers.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
            complain("most bytes");
            for ((source, destination), bytes) in talkers.into_iter().take(TOP) {
                complain(format_args!("{bytes:>16} {source} -> {destination}"));
            }
        }
    }
}

/// Prints one flow without a newline.
type Print = fn(&mut dyn Write, &Line<'_>) -> io::Result<()>;

fn as_it_was(output: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    output.write_all(line.as_bytes())
}

#[cfg(feature = "json")]
fn as_json() -> Outcome<Print> {
    Ok(|output, line| Ok(serde_json::to_writer(output, &line.to_flow())?))
}

#[cfg(not(feature = "json"))]
fn as_json() -> Outcome<Print> {
    Err(wrong_usage("--json needs the feature json: cargo run --features json --example proc -- ..."))
}

fn main() -> ExitCode {
    support::main(USAGE, sum_up)
}

fn sum_up(arguments: &[String]) -> Outcome {
    let arguments = Arguments::read(arguments)?;
    let mut reader = arguments.open()?;
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut summary, mut malformed) = (Summary::default(), 0_u64);
    loop {
        match reader.next_view() {
            Ok(None) => break,
            Ok(Some(line)) if !arguments.filter.matches(&line) => {}
            Ok(Some(line)) => {
                summary.add(&line);
                (arguments.print)(&mut output, &line)?;
                output.write_all(b"\n")?;
            }
            Err(ReadError::Line(error)) => {
                malformed += 1;
                complain(format_args!("{}: {error}", arguments.name()));
            }
            Err(error) => return Err(format!("{}: {error}", arguments.name()).into()),
        }
    }
    output.flush()?;
    summary.print(io::stdout().is_terminal());
    match malformed {
        0 => Ok(()),
        1 => Err(format!("{}: 1 line is malformed", arguments.name()).into()),
        lines => Err(format!("{}: {lines} lines are malformed", arguments.name()).into()),
    }
}
