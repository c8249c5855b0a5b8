//! Prints the size of the table and the counts of each processor: `cargo run --example stats`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, sysctl};
use support::{Outcome, complain};

const USAGE: &str = "usage: stats

Prints the size of the table and the counts of each processor.
Example: stats";

fn main() -> ExitCode {
    support::main(USAGE, stats)
}

fn stats(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mut client = Client::open()?;
    let mut output = io::stdout().lock();
    let table = client.statistics()?;
    writeln!(output, "flows {} of {}", table.entries.unwrap_or(0), table.max_entries.unwrap_or(0))?;
    for cpu in client.cpu_statistics()? {
        print_counts(&mut output, cpu.cpu, cpu.iter())?;
    }
    for cpu in client.expectation_statistics()? {
        print_counts(&mut output, cpu.cpu, cpu.iter())?;
    }
    for (setting, missing) in [(sysctl::ACCOUNTING, "counters"), (sysctl::TIMESTAMP, "duration")] {
        if setting.read()? == 0 {
            complain(format_args!("warning: {}=0: new flows have no {missing}", setting.name()));
        }
    }
    Ok(())
}

fn print_counts<'n>(output: &mut impl Write, cpu: u16, counts: impl Iterator<Item = (&'n str, u32)>) -> io::Result<()> {
    let counts: Vec<String> = counts.map(|(name, count)| format!("{name}={count}")).collect();
    writeln!(output, "cpu {cpu}: {}", counts.join(" "))
}
