//! Prints events as `conntrack -E` does: `cargo run --example events -- [RECEIVE-BUFFER-BYTES]`.
#![allow(missing_docs)]

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use ctnetlink::{
    Event, EventGroups, EventSocket,
    format::{Sender, Text},
};

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = env::args().nth(1).map_or(Ok(16 << 20), |bytes| bytes.parse())?;
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
