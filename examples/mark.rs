//! Marks the flows to a TCP port, as `conntrack -U -p tcp --dport PORT --mark MARK` does:
//! `cargo run --example mark -- PORT MARK`.
#![allow(missing_docs)]

use std::{env, error::Error};

use ctnetlink::{
    Client, FlowKey, Protocol,
    request::{FlowUpdate, UpdateFlow},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().ok_or("which port?")?.parse()?;
    let mark: u32 = arguments.next().ok_or("which mark?")?.parse()?;

    // One client reads while the other changes, so that no list of flows is kept.
    let (mut reader, mut writer) = (Client::open()?, Client::open()?);
    let update = FlowUpdate::new().mark(mark);
    let mut batch = writer.batch();
    let mut flows = reader.dump()?;
    while let Some(flow) = flows.next() {
        let flow = flow?;
        let original = flow.original();
        if original.protocol() == Protocol::TCP && original.destination_port() == Some(port) {
            batch.push(&UpdateFlow::new(FlowKey::from(&flow), &update))?;
        }
    }
    let report = batch.finish()?;
    println!("{} flows marked", report.succeeded());
    for (_, error) in report.failures() {
        eprintln!("{error}");
    }
    Ok(())
}
