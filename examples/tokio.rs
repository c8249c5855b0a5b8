//! Prints events as `conntrack -E` does, on tokio's reactor: `cargo run --example tokio`.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Event, EventGroups, EventSocket, format::Text};
use support::Outcome;
use tokio::io::{Interest, unix::AsyncFd};

const USAGE: &str = "usage: tokio";

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

#[tokio::main(flavor = "current_thread")]
async fn follow(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mut output = io::stdout().lock();
    let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(16 << 20).open()?;
    #[expect(
        deprecated,
        reason = "unsound where a descriptor changes, which this one never does; its successor is unsafe"
    )]
    let mut events = AsyncFd::with_interest(events, Interest::READABLE)?;
    loop {
        let mut ready = events.readable_mut().await?;
        while let Some(event) = ready.get_inner_mut().try_next()? {
            match (event, event.flow()) {
                (_, Some((kind, event))) => {
                    writeln!(output, "{}", Text::new().event(kind).flow(&event.flow.to_flow()))?;
                }
                (Event::Overrun, _) => eprintln!("events are missing here: the receive buffer was full"),
                (other, _) => eprintln!("{other:?}"),
            }
        }
        ready.clear_ready();
    }
}
