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
    writeln!(io::stdout(), "{} flows deleted, {} had ended by themselves", report.changed, report.vanished)?;
    match report.errors.into_iter().next() {
        Some(error) => Err(format!("{} flows could not be deleted: {error}", report.failed).into()),
        None => Ok(()),
    }
}
