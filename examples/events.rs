//! Prints events as `conntrack -E` does: `cargo run --example events -- [RECEIVE-BUFFER-BYTES]`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{
    Event, EventGroups, EventSocket,
    format::{Sender, Text},
};
use support::{Outcome, parse};

const USAGE: &str = "usage: events [RECEIVE-BUFFER-BYTES]";

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

fn follow(arguments: &[String]) -> Outcome {
    let bytes = match arguments {
        [] => 16 << 20,
        [bytes] => parse("RECEIVE-BUFFER-BYTES", bytes)?,
        _ => return Err(USAGE.into()),
    };
    let mut events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(bytes).open()?;
    let (mut lines, mut output) = (Vec::with_capacity(1 << 16), io::stdout().lock());
    loop {
        // Whenever nothing more has come, and in pieces of 64 KiB while it comes fast.
        if lines.len() >= 1 << 16 {
            output.write_all(&lines)?;
            lines.clear();
        }
        match events.try_next()? {
            Some(event) => print(event, &mut lines),
            None => {
                output.write_all(&lines)?;
                output.flush()?;
                lines.clear();
                print(events.next()?, &mut lines);
            }
        }
    }
}

fn print(event: Event<'_>, lines: &mut Vec<u8>) {
    match (event, event.flow()) {
        (_, Some((kind, event))) => {
            let mut text = Text::new().event(kind);
            if let Some(port_id) = event.port_id {
                text = text.sender(Sender { port_id, program: None });
            }
            text.flow(&event.flow.to_flow()).append_to(lines);
            lines.push(b'\n');
        }
        (Event::Overrun, _) => eprintln!("events are missing here: the receive buffer was full"),
        (other, _) => eprintln!("{other:?}"),
    }
}
