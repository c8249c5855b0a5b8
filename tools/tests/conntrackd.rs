//! The program `conntrackd` and Debian's conntrackd 1.4.7 as its peer, in network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

#[path = "support/cases.rs"]
mod cases;
#[path = "conntrackd/expectations.rs"]
mod expectations;
#[path = "conntrackd/failover.rs"]
mod failover;
#[path = "conntrackd/link.rs"]
mod link;
#[path = "support/network.rs"]
mod network;
#[path = "conntrackd/peers.rs"]
mod peers;

use std::process::ExitCode;

fn main() -> ExitCode {
    let all = [failover::CASES, link::CASES, expectations::CASES].concat();
    let needs: &[&str] = &["conntrackd", "conntrack", "ip", "nft"];
    // Most of the time, both sides wait for a timer.
    cases::run(4, all.into_iter().map(|(name, test)| (name, needs, test)))
}

/// A test and its name.
type Test = (&'static str, fn());
