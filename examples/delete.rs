//! Deletes the flows that match a filter: `cargo run --example delete -- 'addr 192.0.2.7 and not assured'`.
//!
//! Each flow is deleted by tuple, zone and identifier, which spares a newer flow with the same tuple.

#[path = "support/progress.rs"]
mod progress;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter};
use progress::Progress;
use support::{Outcome, parse, wrong_usage};

const USAGE: &str = "usage: delete FILTER

Deletes the flows that match a filter, and prints their number.
Example: delete 'addr 192.0.2.7 and not assured'";

fn main() -> ExitCode {
    support::main(USAGE, delete)
}

fn delete(arguments: &[String]) -> Outcome {
    let [filter] = arguments else { return Err(USAGE.into()) };
    let filter: Filter = parse("FILTER", filter)?;
    if filter.is_everything() {
        return Err(wrong_usage("FILTER matches every flow: `conntrack -F` empties the table"));
    }

    let progress = Progress::reported_on_interrupt("deleted")?;
    let report = Client::open()?.delete_matching_with(&filter, |_| progress.advance())?;
    writeln!(io::stdout(), "{report}")?;
    match report.failures().first() {
        Some((_, error)) => Err(error.to_string().into()),
        None => Ok(()),
    }
}
