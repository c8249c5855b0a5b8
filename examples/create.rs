//! Creates an established TCP flow with a translated source: `cargo run --example create -- 10.0.0.1:40000 10.0.0.2:80 192.0.2.1`.

mod support;

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use ctnetlink::{Client, FlowKey, NatRange, NewFlow, TcpState};
use support::{Outcome, parse};

const USAGE: &str = "usage: create SOURCE:PORT DESTINATION:PORT TRANSLATED-ADDRESS

Creates an established TCP flow with a translated source, and prints it as the kernel stored it.
Example: create 10.0.0.1:40000 10.0.0.2:80 192.0.2.1";

fn main() -> ExitCode {
    support::main(USAGE, create)
}

fn create(arguments: &[String]) -> Outcome {
    let [source, destination, translated] = arguments else { return Err(USAGE.into()) };
    let source: SocketAddr = parse("SOURCE:PORT", source)?;
    let destination: SocketAddr = parse("DESTINATION:PORT", destination)?;
    let translated: IpAddr = parse("TRANSLATED-ADDRESS", translated)?;
    let flow = NewFlow::tcp(source, destination, TcpState::ESTABLISHED)
        .timeout(600)
        .snat(NatRange::address(translated).ports(1024, 65535));

    let mut client = Client::open()?;
    client.create(&flow)?;
    let created = client.get(FlowKey::original(flow.original))?.ok_or("the flow has ended already")?;
    let mut output = io::stdout().lock();
    writeln!(output, "{created}")?;
    if let Some(seen) = created.snat() {
        writeln!(output, "translated to {seen}")?;
    }
    Ok(())
}
