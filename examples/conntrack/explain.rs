//! What a command would ask of the kernel.

use std::{
    fs,
    io::{self, Write as _},
};

use ctnetlink::filter::Capabilities;

use crate::{
    arguments::{Arguments, Command, Table},
    failure::Outcome,
    request,
    selection::Selection,
};

/// Prints the plan, and sends nothing.
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
            match selection.key {
                Some(key) if arguments.command != Command::Event => writeln!(output, "get: {key:?}")?,
                _ => writeln!(output, "{}", selection.filter.plan(&capabilities()))?,
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

/// What the running kernel can be expected to understand, by its release.
fn capabilities() -> Capabilities {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Capabilities::linux(major, minor),
        _ => Capabilities::none(),
    }
}
