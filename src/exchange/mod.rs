//! Requests and replies without I/O: which message belongs to which request, and when an answer is complete.
//!
//! [`Exchange`] is a state machine over messages. A `Connection` drives it over any `Transport`; tests play every fault
//! of a socket from a script.
//!
//! # The end of an answer
//!
//! | request | answer | end |
//! |---|---|---|
//! | dump | messages | `DONE`; or an error, which no `DONE` follows |
//! | dump of the expectations of a master without a helper | nothing | the acknowledgement, which is asked for |
//! | get, statistics of the table | one message, with `MULTI` | the acknowledgement: no `DONE` comes |
//! | create, update, delete | | the acknowledgement, or an error |
//! | batch | an error for each operation that failed | the acknowledgement of the last operation |
//! | batch without permission | one error, for the first operation | that error |
//!
//! # Example
//!
//! A request and its answer over your own socket:
//!
//! ```
//! use ctnetlink::{
//!     FlowRef, Message, Operation,
//!     exchange::{Exchange, Received},
//!     request::DumpFlows,
//!     wire::{Encoder, Messages},
//! };
//!
//! let mut buffer = [0; 64];
//! let mut encoder = Encoder::new(&mut buffer);
//! Message::from(DumpFlows::new()).encode(7, &mut encoder);
//! let length = encoder.finish()?;
//! let request = &buffer[..length];
//!
//! # fn ask(_: &[u8]) -> [u8; 20] { [20, 0, 0, 0, 3, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
//! let mut exchange = Exchange::new(Operation::DumpFlows, 7);
//! while !exchange.is_finished() {
//!     let datagram = ask(request); // send it the first time, then receive
//!     for message in Messages::new(&datagram) {
//!         let message = message?;
//!         match exchange.receive(&message) {
//!             Received::Item => println!("{}", FlowRef::parse(&message)?.original().source()),
//!             Received::Refused(refusal) => return Err(refusal.into_error(Operation::DumpFlows).into()),
//!             Received::End | Received::Foreign => {}
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod batch;
mod connection;
// The property of the fuzz target `exchange`. It is here because connections are private.
#[cfg(any(test, fuzzing))]
pub mod model;
mod reply;
#[cfg(any(test, fuzzing))]
pub(crate) mod script;
mod transport;

pub(crate) use batch::{BatchOutcome, BatchReport, PendingBatch};
pub(crate) use connection::{Connection, Progress, ReplyCursor, complete};
pub use reply::{Exchange, Received};
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use transport::NamespaceId;
pub(crate) use transport::{Datagram, Deadline, Transport, Wait};

#[cfg(test)]
mod tests;
