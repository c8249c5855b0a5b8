//! The client, events and mirror for tokio: the same names and results as the synchronous ones, awaited.
//!
//! Requests, answers, filters, losses and the synchronization of a table are the code of the synchronous types, which
//! differ only in how they wait. There is no thread and no task: each future does its own work, on current-thread and
//! multi-thread runtimes alike.
//!
//! ```no_run
//! use ctnetlink::tokio::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::open()?;
//! let mut flows = client.dump_matching(&"proto tcp and dport 22".parse()?).await?;
//! while let Some(flow) = flows.next_view().await? {
//!     println!("{}", flow.original().source());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Cancel safety
//!
//! Any future may be dropped at any point, as `select!` and timeouts do. The client stays usable, and the answer to an
//! abandoned request is never taken for the answer to the next one: the next request discards it, by a new socket or, if
//! the namespace of the socket is not known, by reading it to its end. The effect depends on the request:
//!
//! | dropped | effect |
//! |---|---|
//! | wait for an event, change or entry | none; the next call goes on |
//! | get, statistics | none |
//! | create, update, delete | carried out, or not sent |
//! | [`Batch`] push, send | operations that were sent are not sent again; the report counts them as unanswered |
//! | change by a filter | the flows changed so far stay changed; the report is lost, which a stop handle avoids |
//!
//! # Cost
//!
//! A socket takes one more descriptor, an epoll(7) instance that is registered with the reactor of the runtime in which the
//! socket first waits, and a stop handle another. The flags of the socket do not change. Each datagram checks the readiness
//! and the budget of the task, so a long dump or change lets other tasks run. The kernel carries out a request inside of
//! `send`, so the thread is busy for that long, as with the synchronous client. If an abandoned dump ran in another network
//! namespace, the new socket is opened by a short-lived thread, because only a thread can enter a namespace.

mod client;
mod events;
mod reactor;

pub use client::{Batch, Client, Dump, ReplyStream};
pub use events::{EventSocket, Mirror};
