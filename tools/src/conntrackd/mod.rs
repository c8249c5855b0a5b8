//! `conntrackd`: exchanges flows with a peer that speaks the protocol of conntrackd 1.4.7. Two gateways back each other up
//! in this way.
//!
//! | module | content |
//! |---|---|
//! | [`wire`] | datagrams and messages |
//! | [`record`] | the attributes of flows and expectations |
//! | [`convert`], [`expectation`] | records from and to the library's flows and expectations |
//! | [`external`] | the table of the peer's flows and expectations |
//! | [`node`], [`statistics`] | one end of the link: handshake, acknowledgements, the order of sending, and counts |
//! | [`options`], [`command`], [`daemon`] | the program: command line, commands, sockets and the kernel's table |
//!
//! All but the last row know neither sockets nor clocks.

/// The program's name in its messages.
const NAME: &str = "conntrackd";

pub mod command;
mod commit;
pub mod convert;
pub mod daemon;
pub mod expectation;
pub mod external;
mod local;
pub mod node;
pub mod options;
mod outbox;
pub mod own_expectations;
#[cfg(any(test, fuzzing))]
pub mod property;
pub mod record;
#[cfg(any(test, fuzzing))]
mod simulation;
pub mod statistics;
mod tracker;
pub mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod recordings;
