//! Sets the mark of the flows that match a filter, as `conntrack -U -p tcp --dport 993 --mark 10` does:
//! `cargo run --example mark -- 'proto tcp and dport 993' 10`.

#[path = "support/interrupt.rs"]
mod interrupt;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, Filter, FlowUpdate};
use interrupt::stop_on_interrupt;
use support::{Outcome, parse, wrong_usage};

const USAGE: &str = "usage: mark FILTER MARK

Sets the mark of the flows that match a filter, and prints their number, also if Ctrl-C ends it early.
Example: mark 'proto tcp and dport 993' 0x10";

fn main() -> ExitCode {
    support::main(USAGE, mark)
}

fn mark(arguments: &[String]) -> Outcome {
    let [filter, mark] = arguments else { return Err(USAGE.into()) };
    let filter: Filter = parse("FILTER", filter)?;
    let mark = match mark.strip_prefix("0x") {
        Some(digits) => {
            u32::from_str_radix(digits, 16).map_err(|error| wrong_usage(format!("MARK {mark:?}: {error}")))?
        }
        None => parse("MARK", mark)?,
    };

    let mut client = Client::open()?;
    stop_on_interrupt(client.stop_handle()?)?;
    let report = client.update_matching(&filter, &FlowUpdate::new().mark(mark))?;
    writeln!(io::stdout(), "{}", report.display_as("marked"))?;
    match report.failures().first() {
        Some((_, error)) => Err(error.to_string().into()),
        None if report.is_stopped() => Err("interrupted".into()),
        None => Ok(()),
    }
}
