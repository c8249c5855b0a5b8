//! `conntrackd`: exchanges flows with a peer that speaks the protocol of conntrackd 1.4.7. Two gateways back each other up
//! in this way.
//!
//! | module | content |
//! |---|---|
//! | [`wire`] | datagrams and messages |
//! | [`record`] | the attributes of flows and expectations |
//! | [`convert`] | records from and to the library's flows |
//! | [`external`] | the table of the peer's flows |
//! | [`node`] | one end of the link: handshake, acknowledgements, and the order of sending |
//!
//! | [`options`], [`command`], [`daemon`] | the program: command line, commands, sockets and the kernel's table |
//!
//! All but the last row know neither sockets nor clocks.

pub mod command;
mod commit;
pub mod convert;
pub mod daemon;
pub mod external;
pub mod node;
pub mod options;
mod outbox;
#[cfg(any(test, fuzzing))]
pub mod property;
pub mod record;
#[cfg(any(test, fuzzing))]
mod simulation;
mod tracker;
pub mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod recordings;
