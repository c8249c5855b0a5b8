//! Marks the flows that a filter matches, as `conntrack -U -p tcp --dport 993 --mark 10` does:
//! `cargo run --example mark -- 'proto tcp and dport 993' 10`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter, FlowUpdate};
use support::{Outcome, parse};

const USAGE: &str = "usage: mark FILTER MARK
The filter is one argument, in quotes; the mark decimal or 0x hexadecimal: mark 'proto tcp and dport 993' 0x10";

fn main() -> ExitCode {
    support::main(USAGE, mark)
}

fn mark(arguments: &[String]) -> Outcome {
    let [filter, mark] = arguments else { return Err(USAGE.into()) };
    let filter: Filter = parse("FILTER", filter)?;
    let mark = match mark.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).map_err(|error| format!("MARK {mark:?}: {error}"))?,
        None => parse("MARK", mark)?,
    };

    let report = Client::open()?.update_matching(&filter, &FlowUpdate::new().mark(mark))?;
    writeln!(io::stdout(), "{}", report.display_as("marked"))?;
    match report.failures().first() {
        Some((_, error)) => Err(error.to_string().into()),
        None => Ok(()),
    }
}
