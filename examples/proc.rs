//! Reads `/proc/net/nf_conntrack`, a file of such lines, or what `conntrack -L` printed, and sums it up.
//!
//! ```text
//! cargo run --example proc -- [FILE|-] [--json] [FILTER]
//! ```
//!
//! Without a file: the table of this network namespace. The filter is one of the filter language
//! (`proto tcp and dport 22`). On a terminal, the busiest pairs of hosts as well.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
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

const USAGE: &str = "usage: proc [FILE|-] [--json] [FILTER]";

/// How many pairs of hosts are listed.
const TOP: usize = 10;

#[derive(Default)]
struct Arguments {
    file: Option<String>,
    filter: Option<Filter>,
    is_json: bool,
}

impl Arguments {
    fn read() -> Result<Self, lexopt::Error> {
        let mut arguments = Self::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("json") => arguments.is_json = true,
                Value(text) if arguments.file.is_none() => arguments.file = Some(text.string()?),
                Value(text) if arguments.filter.is_none() => arguments.filter = Some(text.parse()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(arguments)
    }

    fn open(&self) -> Result<Reader<Box<dyn BufRead>>, Box<dyn Error>> {
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

fn run() -> Result<bool, Box<dyn Error>> {
    let arguments = Arguments::read().map_err(|error| format!("{error}\n{USAGE}"))?;
    let mut reader = arguments.open()?;
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut summary, mut is_sound) = (Summary::default(), true);
    while let Some(line) = reader.next_line() {
        match line {
            Ok(line) if arguments.filter.as_ref().is_some_and(|filter| !filter.matches(&line.to_flow())) => {}
            Ok(line) => {
                summary.add(&line);
                print(&mut output, &line, arguments.is_json)?;
            }
            Err(error) => {
                is_sound = false;
                eprintln!("{error}");
            }
        }
    }
    output.flush()?;
    summary.print(io::stdout().is_terminal());
    Ok(is_sound)
}

/// One flow a line, as it was read or as JSON.
fn print(output: &mut impl Write, line: &Line<'_>, is_json: bool) -> Result<(), Box<dyn Error>> {
    match is_json {
        #[cfg(feature = "json")]
        true => serde_json::to_writer(&mut *output, &line.to_flow())?,
        #[cfg(not(feature = "json"))]
        true => return Err("JSON takes the feature `json`".into()),
        false => output.write_all(line.as_bytes())?,
    }
    Ok(output.write_all(b"\n")?)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("proc: {error}");
            ExitCode::FAILURE
        }
    }
}
