//! Marks the flows that a filter matches, as `conntrack -U -p tcp --dport 993 --mark 10` does:
//! `cargo run --example mark -- 'proto tcp and dport 993' 10`.
#![allow(missing_docs)]

use std::{env, error::Error};

use ctnetlink::{Client, Filter, request::FlowUpdate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let filter: Filter = arguments.next().ok_or("which flows? (a filter)")?.parse()?;
    let mark: u32 = arguments.next().ok_or("which mark?")?.parse()?;

    let report = Client::open()?.update_matching(&filter, &FlowUpdate::new().mark(mark))?;
    println!("{} flows marked, {} ended meanwhile", report.changed, report.vanished);
    match report.errors.into_iter().next() {
        Some(error) => Err(format!("{} flows refused it: {error}", report.failed).into()),
        None => Ok(()),
    }
}
