//! Prints events like `conntrack -E`, waiting on tokio's reactor: `cargo run --example tokio`.

#[path = "support/events.rs"]
mod events;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{EventGroups, EventRef, EventSocket, format::Text};
use events::{Losses, warn_about_settings};
use support::Outcome;
use tokio::io::{Interest, unix::AsyncFd};

const USAGE: &str = "usage: tokio

Prints events of flows like `conntrack -E`, waiting on tokio's reactor.";

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

#[tokio::main(flavor = "current_thread")]
async fn follow(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let (mut output, mut losses) = (io::stdout().lock(), Losses::default());
    let events = EventSocket::builder(EventGroups::FLOWS).open()?;
    warn_about_settings();
    #[expect(
        deprecated,
        reason = "unsound if the descriptor changes, which this one never does; its successor is unsafe"
    )]
    let mut events = AsyncFd::with_interest(events, Interest::READABLE)?;
    loop {
        let mut ready = events.readable_mut().await?;
        while let Some(event) = ready.get_inner_mut().try_next_view()? {
            if let Some((kind, event)) = event.flow() {
                writeln!(output, "{}", Text::new().event(kind).flow(&event.flow.to_flow()))?;
            } else if matches!(event, EventRef::Overrun) {
                losses.report("events are missing here");
            }
        }
        ready.clear_ready();
    }
}
