//! Logs each translated connection at its end, in one line, as operators have to keep it:
//! `cargo run --example nat_log`.
//!
//! Duration and counters are there for flows that began with `nf_conntrack_timestamp` and `nf_conntrack_acct` on.

mod support;

use std::{
    io::{self, Write},
    net::IpAddr,
    process::ExitCode,
};

use ctnetlink::{Counters, Endpoint, Event, EventGroups, EventSocket, Flow, Timestamp, sysctl};
use support::Outcome;

const USAGE: &str = "usage: nat_log";

fn main() -> ExitCode {
    support::main(USAGE, log)
}

fn log(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    warn_of_settings()?;
    let mut output = io::stdout().lock();
    // Delivered reliably: the end of a connection is repeated until it could be logged.
    let builder = EventSocket::builder(EventGroups::DESTROY).receive_buffer(64 << 20).reliable(true);
    let mut events = builder.open()?;
    loop {
        match events.next()? {
            Event::Destroy(end) => {
                let flow = end.flow.to_flow();
                if flow.is_snat() || flow.is_dnat() {
                    writeln!(output, "{}", line(&flow))?;
                }
            }
            Event::Overrun => eprintln!("the receive buffer was full: the kernel repeats what did not fit"),
            other => eprintln!("{other:?}"),
        }
    }
}

/// What the kernel does not keep from a flow's beginning, the log cannot tell at its end.
fn warn_of_settings() -> Outcome {
    let mut off = Vec::new();
    for (setting, what) in [(sysctl::TIMESTAMP, "durations"), (sysctl::ACCOUNTING, "counters")] {
        if setting.read()? == 0 {
            off.push(format!("no {what}, for {} is 0", setting.path()));
        }
    }
    if !off.is_empty() {
        eprintln!("flows that begin now will have {}", off.join(", and "));
    }
    Ok(())
}

fn line(flow: &Flow) -> String {
    let end = flow.times.and_then(|times| times.stop).or(flow.event_time).unwrap_or_else(Timestamp::now);
    let (original, reply) = (&flow.original, &flow.reply);
    let sent = flow.counters_original.map_or_else(String::new, |sent| counters("sent", sent));
    let received = flow.counters_reply.map_or_else(String::new, |received| counters("received", received));
    let duration = flow.duration(end).map_or_else(String::new, |time| format!(" seconds={:.3}", time.as_secs_f64()));
    format!(
        "{end} {} {} -> {} seen-as {} -> {}{duration}{sent}{received}",
        original.protocol,
        endpoint(original.source, original.source_port()),
        endpoint(original.destination, original.destination_port()),
        endpoint(reply.destination, reply.destination_port()),
        endpoint(reply.source, reply.source_port()),
    )
}

fn endpoint(address: IpAddr, port: Option<u16>) -> Endpoint {
    Endpoint { address, port }
}

fn counters(name: &str, Counters { packets, bytes }: Counters) -> String {
    format!(" {name}-packets={packets} {name}-bytes={bytes}")
}
