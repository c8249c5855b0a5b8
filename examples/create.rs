//! Creates an established TCP flow whose source is translated, and shows what the kernel made of it:
//! `cargo run --example create -- SOURCE:PORT DESTINATION:PORT TRANSLATED-ADDRESS`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Client, FlowKey, NatRange, NewFlow, Status, TcpState, Tuple};
use support::{Outcome, parse};

const USAGE: &str = "usage: create SOURCE:PORT DESTINATION:PORT TRANSLATED-ADDRESS";

fn main() -> ExitCode {
    support::main(USAGE, create)
}

fn create(arguments: &[String]) -> Outcome {
    let [source, destination, translated] = arguments else { return Err(USAGE.into()) };
    let original = Tuple::tcp(parse("SOURCE:PORT", source)?, parse("DESTINATION:PORT", destination)?);
    let translated = NatRange::address(parse("TRANSLATED-ADDRESS", translated)?);
    let flow = NewFlow::untranslated(original, 600).ok_or("no answer is known")?;
    let mut flow = flow.liberal_tcp(TcpState::ESTABLISHED);
    flow.status = Status::SEEN_REPLY | Status::ASSURED;
    flow.snat = Some(translated.ports(1024, 65535));

    let mut client = Client::open()?;
    client.create(&flow)?;
    let created = client.get(FlowKey::original(original))?.ok_or("it has ended already")?;
    let mut output = io::stdout().lock();
    writeln!(output, "{created}")?;
    if let Some(seen) = created.snat() {
        writeln!(output, "seen as {seen}")?;
    }
    Ok(())
}
