//! `conntrackd`: exchanges flows with a peer that speaks the protocol of conntrackd 1.4.7, so that two gateways back each
//! other up.
//!
//! | module | content |
//! |---|---|
//! | [`wire`] | datagrams and messages |
//! | [`record`] | the attributes of flows and expectations |
//! | [`convert`] | records from and to the library's flows |
//!
//! None of them knows sockets or clocks.

pub mod convert;
#[cfg(any(test, fuzzing))]
pub mod property;
pub mod record;
pub mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod recordings;
