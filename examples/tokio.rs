//! Prints events as `conntrack -E` does, on tokio's reactor: `cargo run --example tokio`.
#![allow(missing_docs)]

use std::error::Error;

use ctnetlink::{Event, EventGroups, EventSocket, format::Text};
use tokio::io::{Interest, unix::AsyncFd};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(16 << 20).open()?;
    // Deprecated for types whose descriptor may change, which that of this one does not; the other way is `unsafe`.
    #[allow(deprecated)]
    let mut events = AsyncFd::with_interest(events, Interest::READABLE)?;
    loop {
        let mut ready = events.readable_mut().await?;
        while let Some(event) = ready.get_inner_mut().try_next()? {
            match (event, event.flow()) {
                (_, Some((kind, event))) => println!("{}", Text::new().event(kind).flow(&event.flow.to_flow())),
                (Event::Overrun, _) => eprintln!("events are missing here: the receive buffer was full"),
                (other, _) => eprintln!("{other:?}"),
            }
        }
        ready.clear_ready();
    }
}
