//! Creates an established TCP flow whose source is translated, and shows what the kernel made of it:
//! `cargo run --example create -- SOURCE:PORT DESTINATION:PORT TRANSLATED-ADDRESS`.
#![allow(missing_docs)]

use std::{env, error::Error};

use ctnetlink::{Client, FlowKey, NatRange, Status, TcpState, Tuple, request::NewFlow};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [source, destination, translated] = arguments.as_slice() else {
        return Err("usage: create SOURCE:PORT DESTINATION:PORT TRANSLATED-ADDRESS".into());
    };
    let original = Tuple::tcp(source.parse()?, destination.parse()?);
    let flow = NewFlow::untranslated(original, 600).ok_or("no answer is known")?;
    let mut flow = flow.liberal_tcp(TcpState::ESTABLISHED);
    flow.status = Status::SEEN_REPLY | Status::ASSURED;
    flow.nat_source = Some(NatRange::address(translated.parse()?).ports(1024, 65535));

    let mut client = Client::open()?;
    client.create(&flow)?;
    let created = client.get(FlowKey::original(original))?.ok_or("it has ended already")?;
    println!("{created}");
    if let Some(seen) = created.source_translation() {
        println!("seen as {seen}");
    }
    Ok(())
}
