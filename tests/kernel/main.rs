//! The kernel tests: the library against the running kernel, each test in a private network namespace.
//!
//! They need no root if the system lets users create user namespaces. If the namespace, connection tracking, a tool or
//! another requirement is missing, the test is ignored and states the reason. With `CTNETLINK_KERNEL=required` in the
//! environment it fails instead, unless the kernel's version or the owner's settings are the reason.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod accounting;
mod batches;
mod churn;
mod conntrack;
mod events;
mod expectations;
#[cfg(feature = "fake")]
mod fake_parity;
mod filters;
mod flows;
mod follower;
mod lab;
mod manual;
mod mirror;
mod mixed_table;
mod moved;
mod original_destination;
mod partition;
mod proc;
mod samples;
mod save;
mod soak;
mod sockets;
mod statistics;
#[cfg(feature = "tokio")]
mod tokio;
mod updates;
mod zones;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use lab::{Case, Laboratory};

fn main() -> ExitCode {
    if let Some(part) = soak::part() {
        part();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let laboratory = Laboratory::open();
    let areas: &[(&str, &[Case])] = &[
        ("accounting", accounting::CASES),
        ("batches", batches::CASES),
        ("events", events::CASES),
        ("expectations", expectations::CASES),
        #[cfg(feature = "fake")]
        ("fake_parity", fake_parity::CASES),
        ("filters", filters::CASES),
        ("filters::sockets", filters::sockets::CASES),
        ("flows", flows::CASES),
        ("manual", manual::CASES),
        ("mirror", mirror::CASES),
        ("moved", moved::CASES),
        ("original_destination", original_destination::CASES),
        ("partition", partition::CASES),
        ("proc", proc::CASES),
        ("save", save::CASES),
        ("soak", soak::CASES),
        ("sockets", sockets::CASES),
        ("statistics", statistics::CASES),
        #[cfg(feature = "tokio")]
        ("tokio", self::tokio::CASES),
        ("updates", updates::CASES),
        ("zones", zones::CASES),
    ];
    let areas = areas.iter().chain(conntrack::AREAS);
    let trials = areas.flat_map(|(area, cases)| cases.iter().map(move |case| (*area, case)));
    let trials: Vec<Trial> = trials.map(|(area, case)| laboratory.trial(area, case)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
