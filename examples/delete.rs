//! Deletes the flows from or to an address: `cargo run --example delete -- ADDRESS`.
//!
//! Each is deleted by its tuple, zone and identifier, so that a flow which reuses the tuple meanwhile is left alone.
#![allow(missing_docs)]

use std::{env, error::Error, net::IpAddr};

use ctnetlink::{Client, FlowKey, request::DeleteFlow};

fn main() -> Result<(), Box<dyn Error>> {
    let address: IpAddr = env::args().nth(1).ok_or("which address?")?.parse()?;
    let (mut reader, mut writer) = (Client::open()?, Client::open()?);
    let mut batch = writer.batch();
    let mut flows = reader.dump()?;
    while let Some(flow) = flows.next() {
        let flow = flow?;
        let (original, reply) = (flow.original().to_tuple(), flow.reply().to_tuple());
        if [original.source, original.destination, reply.source, reply.destination].contains(&address) {
            batch.push(&DeleteFlow::new(FlowKey::from(&flow)))?;
        }
    }
    let report = batch.finish()?;
    let vanished = report.failures().iter().filter(|(_, error)| error.errno() == ctnetlink::Errno::ENOENT).count();
    println!("{} flows deleted, {vanished} had ended by themselves", report.succeeded());
    Ok(())
}
