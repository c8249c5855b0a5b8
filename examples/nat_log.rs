//! Logs each translated connection in one line when it ends, until Ctrl-C: `cargo run --example nat_log`.
//!
//! A line has a duration and counters if the flow began while `nf_conntrack_timestamp` and `nf_conntrack_acct` were on.

#[path = "support/events.rs"]
mod events;
#[path = "support/interrupt.rs"]
mod interrupt;
mod support;

use std::{
    io::{self, Write},
    net::IpAddr,
    process::ExitCode,
};

use ctnetlink::{Counters, Endpoint, Event, EventGroups, EventSocket, Flow, Timestamp, sysctl};
use events::{Losses, warn_about_settings};
use interrupt::stop_on_interrupt;
use support::{Outcome, complain};

const USAGE: &str = "usage: nat_log

Logs each translated connection in one line when it ends, until Ctrl-C.
Example: nat_log >> nat.log";

fn main() -> ExitCode {
    support::main(USAGE, log)
}

fn log(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    // With reliable delivery the kernel repeats the end of a connection until the socket has received it.
    let builder = EventSocket::builder(EventGroups::DESTROY).receive_buffer(64 << 20).reliable(true);
    let mut events = builder.open()?;
    stop_on_interrupt(events.stop_handle()?)?;
    warn_about_settings();
    warn_about_attributes()?;
    let (mut output, mut losses) = (io::stdout().lock(), Losses::default());
    for event in &mut events {
        match event? {
            Event::Destroy(end) if end.flow.is_snat() || end.flow.is_dnat() => {
                writeln!(output, "{}", line(&end.flow))?;
            }
            Event::Overrun => losses.report("the kernel repeats the ends that did not fit"),
            _ => {}
        }
    }
    Ok(())
}

/// The kernel reports attributes at the end of a flow only if it recorded them from the flow's start.
fn warn_about_attributes() -> Outcome {
    for (setting, missing) in [(sysctl::TIMESTAMP, "duration"), (sysctl::ACCOUNTING, "counters")] {
        if setting.read()? == 0 {
            complain(format_args!("warning: {}=0: new flows have no {missing}", setting.name()));
        }
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
