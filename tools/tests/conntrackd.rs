//! The program `conntrackd` and Debian's conntrackd 1.4.7 as its peer, in network namespaces.
//!
//! The tests are ignored, with the reason, if conntrackd, another program or the permission to create namespaces is missing.
//! With `CTNETLINK_KERNEL=required` in the environment they fail instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

#[path = "conntrackd/expectations.rs"]
mod expectations;
#[path = "conntrackd/failover.rs"]
mod failover;
#[path = "support/gateways.rs"]
mod gateways;
#[path = "conntrackd/link.rs"]
mod link;
#[path = "conntrackd/peers.rs"]
mod peers;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

type Case = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case loads the machine and has deadlines.
    arguments.test_threads = Some(1);
    let missing = gateways::what_is_missing(&["conntrackd", "conntrack", "ip", "nft", "sysctl"]);
    let required = env::var_os("CTNETLINK_KERNEL").is_some_and(|value| value == "required");
    let trial = |&(name, case): &Case| match missing.clone() {
        None => Trial::test(name, move || {
            case();
            Ok(())
        }),
        Some(reason) if required => Trial::test(name, move || Err(Failed::from(reason))),
        Some(reason) => Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true),
    };
    let trials = [link::CASES, expectations::CASES, failover::CASES].concat().iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
