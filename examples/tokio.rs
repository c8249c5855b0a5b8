//! Prints events like `conntrack -E`, waiting on tokio's reactor:
//! `cargo run --features tokio --example tokio`.

#[path = "support/events.rs"]
mod events;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use ctnetlink::{EventGroups, EventRef, format::Text, tokio::EventSocket};
use events::{Losses, warn_about_settings};
use support::Outcome;

const USAGE: &str = "usage: tokio

Prints events of flows like `conntrack -E`, waiting on tokio's reactor. Flushes the output every 100 milliseconds.";

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

#[tokio::main(flavor = "current_thread")]
async fn follow(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let (mut output, mut losses) = (io::BufWriter::new(io::stdout().lock()), Losses::default());
    let mut events = EventSocket::open(EventGroups::FLOWS)?;
    warn_about_settings();
    let mut flush = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            event = events.next_view() => match event? {
                Some(EventRef::Overrun) => losses.report("events are missing here"),
                Some(event) => {
                    if let Some((kind, event)) = event.flow() {
                        writeln!(output, "{}", Text::new().event(kind).flow(&event.flow.to_flow()))?;
                    }
                }
                None => return Ok(()),
            },
            _ = flush.tick() => output.flush()?,
        }
    }
}
