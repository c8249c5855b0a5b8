//! `-C` and `-S`: counters of the kernel.

use std::io::{self, Write as _};

use ctnetlink::{Client, sysctl};

use crate::failure::{Failure, Outcome};

pub fn count() -> Outcome {
    let asked = Client::open()?.statistics()?.entries;
    let entries = match asked {
        Some(entries) => entries,
        None => sysctl::COUNT.read().map_err(Failure::failed)?,
    };
    Ok(writeln!(io::stdout(), "{entries}")?)
}

pub fn of_flows() -> Outcome {
    Client::open()?.cpu_statistics()?.iter().try_for_each(|cpu| print(cpu.cpu, cpu.iter()))
}

pub fn of_expectations() -> Outcome {
    Client::open()?.expectation_statistics()?.iter().try_for_each(|cpu| print(cpu.cpu, cpu.iter()))
}

fn print(cpu: u16, counts: impl Iterator<Item = (&'static str, u32)>) -> Outcome {
    let mut output = io::stdout().lock();
    write!(output, "cpu={cpu:<4}\t")?;
    for (name, count) in counts {
        write!(output, "{name}={count} ")?;
    }
    Ok(writeln!(output)?)
}
