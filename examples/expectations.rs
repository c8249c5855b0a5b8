//! Lists what helpers expect, each with its master: `cargo run --example expectations`.
#![allow(missing_docs)]

use std::error::Error;

use ctnetlink::{Client, FlowKey, request::DumpExpectations};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut client, mut lookup) = (Client::open()?, Client::open()?);
    for expectation in client.dump_expectations(&DumpExpectations::all())? {
        let expectation = expectation?;
        println!("{expectation}");
        match lookup.get(FlowKey::original(expectation.master))? {
            Some(master) => println!("    of {master}"),
            None => println!("    whose master has ended, or is in another zone"),
        }
    }
    Ok(())
}
