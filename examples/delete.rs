//! Deletes the flows that a filter matches: `cargo run --example delete -- 'addr 192.0.2.7 and not assured'`.
//!
//! Each is deleted by its tuple, zone and identifier, so that a flow which reuses the tuple meanwhile is left alone.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter};
use support::{Outcome, parse};

const USAGE: &str = "usage: delete FILTER
The filter is one argument, in quotes: delete 'addr 192.0.2.7 and not assured'";

fn main() -> ExitCode {
    support::main(USAGE, delete)
}

fn delete(arguments: &[String]) -> Outcome {
    let [filter] = arguments else { return Err(USAGE.into()) };
    let filter: Filter = parse("FILTER", filter)?;

    let report = Client::open()?.delete_matching(&filter)?;
    writeln!(io::stdout(), "{report}")?;
    match report.failures().first() {
        Some((_, error)) => Err(error.to_string().into()),
        None => Ok(()),
    }
}
