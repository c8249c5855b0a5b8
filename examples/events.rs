//! Prints events like `conntrack -E`, until Ctrl-C: `cargo run --example events -- 'proto tcp and dport 22'`.

#[path = "support/events.rs"]
mod events;
#[path = "support/interrupt.rs"]
mod interrupt;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{
    EventGroups, EventRef, EventSocket, Filter,
    format::{Sender, Text},
};
use events::{Losses, warn_about_settings};
use interrupt::stop_on_interrupt;
use support::{Outcome, parse};

const USAGE: &str = "usage: events [FILTER [RECEIVE-BUFFER-BYTES]]

Prints events of flows like `conntrack -E`, until Ctrl-C. The kernel compares them with the filter.
Example: events 'proto tcp and dport 22'";

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

fn follow(arguments: &[String]) -> Outcome {
    let (filter, bytes) = match arguments {
        [] => ("any", None),
        [filter] => (filter.as_str(), None),
        [filter, bytes] => (filter.as_str(), Some(bytes)),
        _ => return Err(USAGE.into()),
    };
    let filter: Filter = parse("FILTER", filter)?;
    let mut builder = EventSocket::builder(EventGroups::FLOWS).filter(&filter);
    if let Some(bytes) = bytes {
        builder = builder.receive_buffer(parse("RECEIVE-BUFFER-BYTES", bytes)?);
    }
    let mut events = builder.open()?;
    stop_on_interrupt(events.stop_handle()?)?;
    warn_about_settings();
    let (mut lines, mut output) = (Vec::with_capacity(1 << 16), io::stdout().lock());
    let mut losses = Losses::default();
    loop {
        // Written when nothing more has arrived, and in pieces of 64 KiB while events arrive fast.
        if lines.len() >= 1 << 16 {
            output.write_all(&lines)?;
            lines.clear();
        }
        if let Some(event) = events.try_next_view()? {
            print(event, &mut lines, &mut losses);
            continue;
        }
        output.write_all(&lines)?;
        output.flush()?;
        lines.clear();
        match events.next_view()? {
            Some(event) => print(event, &mut lines, &mut losses),
            None => return Ok(()),
        }
    }
}

fn print(event: EventRef<'_>, lines: &mut Vec<u8>, losses: &mut Losses) {
    if let Some((kind, event)) = event.flow() {
        let mut text = Text::new().event(kind);
        if let Some(port_id) = event.port_id {
            text = text.sender(Sender { port_id, program: None });
        }
        text.flow(&event.flow.to_flow()).append_to(lines);
        lines.push(b'\n');
    } else if matches!(event, EventRef::Overrun) {
        losses.report("events are missing here");
    }
}
