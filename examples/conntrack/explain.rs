//! What a command would ask of the kernel.

use std::{
    fs,
    io::{self, Write as _},
};

use ctnetlink::{Client, filter::Capabilities};

use crate::{
    arguments::{Arguments, Command, Table},
    failure::Outcome,
    request,
    selection::Selection,
};

/// Prints the plan. Nothing is sent but, if that is asked for, what finds out which filters the kernel understands.
pub fn explain(arguments: &Arguments) -> Outcome {
    let mut output = io::stdout().lock();
    match (arguments.command, arguments.table) {
        (Command::List | Command::Event, Table::Expect) => writeln!(output, "expectations: all that there are")?,
        (Command::Create, Table::Expect) => writeln!(output, "create: {}", request::expectation(arguments)?)?,
        (Command::Get | Command::Delete, Table::Expect) => {
            writeln!(output, "expectation: {:?}", request::expectation_key(arguments)?)?;
        }
        (Command::List | Command::Delete | Command::Update | Command::Event, _) => {
            let selection = Selection::new(arguments)?;
            writeln!(output, "filter: {}", selection.filter)?;
            match (selection.key, selection.dump) {
                (Some(key), _) if arguments.command != Command::Event => writeln!(output, "get: {key:?}")?,
                (_, Some(dump)) => writeln!(output, "dump: {dump:?}\nuserspace: {}", selection.filter)?,
                _ => {
                    let kernel = Kernel::find(arguments.probes);
                    writeln!(output, "kernel: {}", kernel.known)?;
                    writeln!(output, "{}", selection.filter.plan(&kernel.capabilities))?;
                }
            }
            if arguments.command == Command::Update {
                writeln!(output, "update: {:?}", request::update(arguments)?)?;
            }
        }
        (Command::Get, _) => writeln!(output, "get: {:?}", request::key(arguments)?)?,
        (Command::Create | Command::Add, _) => writeln!(output, "create: {:?}", request::new_flow(arguments)?)?,
        (Command::Flush, Table::Expect) => writeln!(output, "flush: every expectation of both families")?,
        (Command::Flush, _) => match arguments.family {
            Some(family) => writeln!(output, "flush: every flow of {family}")?,
            None => writeln!(output, "flush: every flow")?,
        },
        (command, _) => writeln!(output, "{}: nothing is filtered, nothing is changed", command.name())?,
    }
    Ok(())
}

/// What is known of the filters that the running kernel understands, and from where.
struct Kernel {
    capabilities: Capabilities,
    known: String,
}

impl Kernel {
    /// By its release, unless it is to be asked and answers.
    fn find(asks: bool) -> Self {
        match asks.then(|| Client::open()?.capabilities()) {
            Some(Ok(capabilities)) => Self { capabilities, known: "as it answered".to_owned() },
            Some(Err(error)) => Self::by_release(&format!("; it could not be asked: {error}")),
            None => Self::by_release(", and not asked"),
        }
    }

    fn by_release(reason: &str) -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = text.split(|character: char| !character.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Self {
                capabilities: Capabilities::linux(major, minor),
                known: format!("Linux {major}.{minor} by its release{reason}"),
            },
            _ => Self {
                capabilities: Capabilities::none(),
                known: format!("of no known release, so that it filters nothing{reason}"),
            },
        }
    }
}
