//! The modules of `tools/src/conntrackd` that know no sockets, with the properties that they have to hold.
//!
//! They are included as files: as a dependency, the package of programs would bring the crates of all its programs.
#![allow(dead_code, unreachable_pub)]

#[path = "../../tools/src/conntrackd/convert.rs"]
pub mod convert;
#[path = "../../tools/src/conntrackd/expectation.rs"]
pub mod expectation;
#[path = "../../tools/src/conntrackd/external.rs"]
pub mod external;
#[path = "../../tools/src/conntrackd/node.rs"]
pub mod node;
#[path = "../../tools/src/conntrackd/outbox.rs"]
mod outbox;
#[path = "../../tools/src/conntrackd/property.rs"]
pub mod property;
#[path = "../../tools/src/conntrackd/record.rs"]
pub mod record;
#[path = "../../tools/src/conntrackd/simulation.rs"]
mod simulation;
#[path = "../../tools/src/conntrackd/statistics.rs"]
pub mod statistics;
#[path = "../../tools/src/conntrackd/tracker.rs"]
mod tracker;
#[path = "../../tools/src/conntrackd/wire.rs"]
pub mod wire;
