//! Requests out, replies in: which message answers what, and when an answer is complete.
//!
//! Nothing here knows a socket. [`Exchange`] is a state machine that is fed messages; `Connection` drives it over any
//! `Transport`, so that tests play every fault from a script.
//!
//! # What ends an answer
//!
//! | request | answer | end |
//! |---|---|---|
//! | dump | messages | `DONE`; or an error, which no `DONE` follows |
//! | dump of the expectations of a master without a helper | nothing | the acknowledgement, which is asked for |
//! | get, statistics of the table | one message, with `MULTI` | the acknowledgement: no `DONE` comes |
//! | create, update, delete | | the acknowledgement, or an error |
//! | batch | an error for each operation that failed | the acknowledgement of the last operation |
//! | batch without permission | one error, for the first operation | that error |

mod batch;
mod connection;
mod locate;
mod outbox;
mod reply;
mod transport;

pub use batch::BatchReport;
pub(crate) use batch::PendingBatch;
pub(crate) use connection::{Connection, Replies};
pub use reply::{Exchange, Received, Refusal};
pub(crate) use transport::{Datagram, Transport, Wait};

#[cfg(test)]
mod tests;
