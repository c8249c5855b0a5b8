//! Lists the flows of this network namespace, or those of one protocol: `cargo run --example list -- [tcp|udp|…]`.
#![allow(missing_docs)]

use std::{env, error::Error};

use ctnetlink::{Client, Protocol};

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Option<Protocol> = env::args().nth(1).map(|name| name.parse()).transpose()?;
    let mut client = Client::open()?;
    let mut flows = client.dump()?;
    while let Some(flow) = flows.next() {
        let flow = flow?;
        if wanted.is_none_or(|protocol| flow.original().protocol() == protocol) {
            println!("{}", flow.to_flow());
        }
    }
    Ok(())
}
