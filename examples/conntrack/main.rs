#![doc = include_str!("README.md")]
//!
//! # Structure
//!
//! The command line is parsed into [`arguments`], which become a filter ([`selection`]) or a request ([`request`]).
//! Commands ([`flows`], [`expectations`], [`events`], [`load`], [`statistics`]) send it and print ([`output`]).

#![allow(unreachable_pub, reason = "a program has no users of its modules")]

mod arguments;
mod dump;
mod events;
mod expectations;
mod explain;
mod failure;
mod flows;
mod interrupt;
mod listener;
mod load;
#[path = "../support/messages.rs"]
mod messages;
mod output;
mod progress;
mod request;
mod selection;
mod sender;
mod statistics;
mod table;
mod usage;

use std::{env, fmt::Display, process::ExitCode};

use arguments::{Arguments, Command, Parameter, Table};
use failure::{Failure, Outcome};
use messages::complain;

/// The beginning of each message.
const NAME: &str = concat!("conntrack v", env!("CARGO_PKG_VERSION"), " (ctnetlink)");

/// Writes a message about the command as a whole, usually a count.
fn report(message: impl Display) {
    complain(format_args!("{NAME}: {message}"));
}

fn run(words: &[&str]) -> Outcome {
    let arguments = Arguments::parse(words)?;
    if arguments.has(Parameter::Explain) && !matches!(arguments.command, Command::Load | Command::Version) {
        return explain::explain(&arguments);
    }
    match (arguments.command, arguments.table) {
        (Command::Version, _) => usage::version(),
        (Command::Help, _) => usage::help(&arguments),
        (Command::Load, _) => load::load(&arguments),
        (Command::List, Table::Expect) => expectations::list(arguments),
        (Command::List, _) => flows::list(arguments),
        (Command::Get, Table::Expect) => expectations::get(arguments),
        (Command::Get, _) => flows::get(arguments),
        (Command::Delete, Table::Expect) => expectations::delete(&arguments),
        (Command::Delete, _) => flows::delete(arguments),
        (Command::Create, Table::Expect) => expectations::create(&arguments),
        (Command::Create, _) => flows::create(&arguments),
        (Command::Add, _) => flows::add(&arguments),
        (Command::Update, _) => flows::update(arguments),
        (Command::Flush, Table::Expect) => expectations::flush(),
        (Command::Flush, _) => flows::flush(&arguments),
        (Command::Count, Table::Expect) => expectations::count(&arguments),
        (Command::Count, _) => statistics::count(),
        (Command::Statistics, Table::Expect) => statistics::of_expectations(),
        (Command::Statistics, _) => statistics::of_flows(),
        (Command::Event, _) => events::watch(arguments),
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let outcome = words.map_or_else(|| Err(Failure::usage("an argument is not UTF-8")), |words| run(&words));
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    match &failure {
        Failure::Usage(message) => {
            report(message);
            complain("Try `conntrack -h' or 'conntrack --help' for more information.");
        }
        Failure::Failed(message) => report(message),
        Failure::Interrupted(signal) => report(format_args!("interrupted by {signal}")),
        Failure::Nothing | Failure::ClosedPipe => {}
    }
    ExitCode::from(failure.status())
}
