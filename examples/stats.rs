//! The size of the table and what the processors did: `cargo run --example stats`.
#![allow(missing_docs)]

use std::error::Error;

use ctnetlink::{Client, sysctl};

fn main() -> Result<(), Box<dyn Error>> {
    let mut client = Client::open()?;
    let table = client.statistics()?;
    println!("flows {} of {}", table.entries.unwrap_or(0), table.max_entries.unwrap_or(0));
    for cpu in client.cpu_statistics()? {
        let counts: Vec<String> = cpu.iter().map(|(name, count)| format!("{name}={count}")).collect();
        println!("cpu {}: {}", cpu.cpu, counts.join(" "));
    }
    for cpu in client.expectation_statistics()? {
        let counts: Vec<String> = cpu.iter().map(|(name, count)| format!("{name}={count}")).collect();
        println!("cpu {}: {}", cpu.cpu, counts.join(" "));
    }
    for (setting, what) in [(sysctl::ACCOUNTING, "counters"), (sysctl::TIMESTAMP, "times of begin and end")] {
        if setting.read()? == 0 {
            println!("flows carry no {what}: see {}", setting.path());
        }
    }
    Ok(())
}
