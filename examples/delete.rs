//! Deletes the flows that a filter matches: `cargo run --example delete -- 'addr 192.0.2.7 and not assured'`.
//!
//! Each is deleted by its tuple, zone and identifier, so that a flow which reuses the tuple meanwhile is left alone.
#![allow(missing_docs)]

use std::{env, error::Error};

use ctnetlink::{Client, Filter};

fn main() -> Result<(), Box<dyn Error>> {
    let filter: Filter = env::args().nth(1).ok_or("which flows? (a filter)")?.parse()?;
    let mut client = Client::open()?;
    println!("{}", filter.plan(&client.capabilities()?));

    let report = client.delete_matching(&filter)?;
    println!("{} flows deleted, {} had ended by themselves", report.changed, report.vanished);
    match report.errors.into_iter().next() {
        Some(error) => Err(format!("{} flows could not be deleted: {error}", report.failed).into()),
        None => Ok(()),
    }
}
