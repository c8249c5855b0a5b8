//! The kernel lab: the library against the real kernel, each test in a network namespace of its own.
//!
//! Root is not needed where the system lets users make user namespaces. Where a namespace, the kernel's connection
//! tracking, a tool or whatever else a test needs is not to be had, the test is ignored and says why; with
//! `CTNETLINK_KERNEL=required` in the environment that is a failure.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod batches;
mod churn;
mod conntrack;
mod events;
mod expectations;
mod filters;
mod flows;
mod follower;
mod lab;
mod manual;
mod mirror;
mod mixed_table;
mod proc;
mod samples;
mod soak;
mod sockets;
mod statistics;
mod updates;

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
        ("batches", batches::CASES),
        ("conntrack::arguments", conntrack::arguments::CASES),
        ("conntrack::better", conntrack::better::CASES),
        ("conntrack::bugs", conntrack::bugs::CASES),
        ("conntrack::changing", conntrack::changing::CASES),
        ("conntrack::events", conntrack::events::CASES),
        ("conntrack::files", conntrack::files::CASES),
        #[cfg(feature = "json")]
        ("conntrack::json", conntrack::json::CASES),
        ("conntrack::mended", conntrack::mended::CASES),
        ("conntrack::options", conntrack::options::CASES),
        ("conntrack::progress", conntrack::progress::CASES),
        ("conntrack::reading", conntrack::reading::CASES),
        ("events", events::CASES),
        ("expectations", expectations::CASES),
        ("filters", filters::CASES),
        ("filters::sockets", filters::sockets::CASES),
        ("flows", flows::CASES),
        ("manual", manual::CASES),
        ("mirror", mirror::CASES),
        ("proc", proc::CASES),
        ("soak", soak::CASES),
        ("sockets", sockets::CASES),
        ("statistics", statistics::CASES),
        ("updates", updates::CASES),
    ];
    let trials = areas.iter().flat_map(|(area, cases)| cases.iter().map(move |case| (*area, case)));
    let trials: Vec<Trial> = trials.map(|(area, case)| laboratory.trial(area, case)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
