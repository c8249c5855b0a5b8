//! A drop-in for conntrack(8): the same commands, options, output, counts and exit statuses as conntrack 1.4.7, and
//! without what that gets wrong.
//!
//! ```text
//! cargo run --example conntrack -- -L -p tcp --dport 22
//! cargo run --example conntrack -- -D --filter 'src 10.0.0.0/8 and not assured' --explain
//! cargo run --example conntrack -- -E -o timestamp
//! ```
//!
//! Arguments are read into one value ([`arguments`]), which becomes a filter ([`selection`]) or a request
//! ([`request`]); commands run them ([`flows`], [`expectations`], [`events`], [`load`], [`statistics`]) and print
//! ([`output`]).

#![allow(unreachable_pub)] // Nobody reaches into a program.

mod arguments;
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

/// What messages begin with.
const NAME: &str = concat!("conntrack v", env!("CARGO_PKG_VERSION"), " (ctnetlink)");

/// Tells something of the work as a whole: a count, for the most part.
fn tell(message: impl Display) {
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
            tell(message);
            complain("Try `conntrack -h' or 'conntrack --help' for more information.");
        }
        Failure::Failed(message) => tell(message),
        Failure::Interrupted(signal) => tell(format_args!("interrupted by {signal}")),
        Failure::Nothing | Failure::ClosedPipe => {}
    }
    ExitCode::from(failure.status())
}
