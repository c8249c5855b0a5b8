//! Prints events as `conntrack -E` does, on tokio's reactor: `cargo run --example tokio`.
#![allow(missing_docs)]

use std::error::Error;

use ctnetlink::{Event, EventGroups, EventSocket, format::Text};
use tokio::io::unix::AsyncFd;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(16 << 20).open()?;
    #[allow(deprecated)] // What stands in for it is unsafe; the socket keeps its descriptor open as long as it lives.
    let mut events = AsyncFd::new(events)?;
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
