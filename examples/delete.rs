//! Deletes the flows that match a filter: `cargo run --example delete -- 'addr 192.0.2.7 and not assured'`.
//!
//! Each flow is deleted by tuple, zone and identifier, which spares a newer flow with the same tuple.

#[path = "support/interrupt.rs"]
mod interrupt;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter};
use interrupt::stop_on_interrupt;
use support::{Outcome, parse, wrong_usage};

const USAGE: &str = "usage: delete FILTER

Deletes the flows that match a filter, and prints their number, also if Ctrl-C ends it early.
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

    let mut client = Client::open()?;
    stop_on_interrupt(client.stop_handle()?)?;
    let report = client.delete_matching(&filter)?;
    writeln!(io::stdout(), "{report}")?;
    match report.failures().first() {
        Some((_, error)) => Err(error.to_string().into()),
        None if report.is_stopped() => Err("interrupted".into()),
        None => Ok(()),
    }
}
