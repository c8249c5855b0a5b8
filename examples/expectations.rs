//! Lists the expectations of helpers, each with its master: `cargo run --example expectations`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, FlowKey, request::DumpExpectations};
use support::Outcome;

const USAGE: &str = "usage: expectations

Lists the expectations of helpers, each with its master.
Example: expectations";

fn main() -> ExitCode {
    support::main(USAGE, expectations)
}

fn expectations(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let (mut client, mut lookup) = (Client::open()?, Client::open()?);
    let mut output = io::stdout().lock();
    for expectation in client.dump_expectations(&DumpExpectations::all())? {
        let expectation = expectation?;
        writeln!(output, "{expectation}")?;
        match lookup.get(FlowKey::original(expectation.master))? {
            Some(master) => writeln!(output, "    of {master}")?,
            None => writeln!(output, "    of a master that has ended or is in another zone")?,
        }
    }
    Ok(())
}
