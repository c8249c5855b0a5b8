//! Lists the flows of this network namespace: `cargo run --example list -- 'proto tcp and dport 22'`.

mod support;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter};
use support::{Outcome, parse};

const USAGE: &str = "usage: list [FILTER]

Lists the flows of this network namespace that match a filter, or all flows.
Example: list 'proto tcp and dport 22'";

fn main() -> ExitCode {
    support::main(USAGE, list)
}

fn list(arguments: &[String]) -> Outcome {
    let filter = match arguments {
        [] => "any",
        [filter] => filter,
        _ => return Err(USAGE.into()),
    };
    let filter: Filter = parse("FILTER", filter)?;
    let mut client = Client::open()?;
    let mut output = BufWriter::new(io::stdout().lock());
    for flow in client.dump_matching(&filter)? {
        writeln!(output, "{}", flow?)?;
    }
    Ok(output.flush()?)
}
