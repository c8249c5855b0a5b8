//! `--explain`: the requests that a command would send.

mod words;

use std::{
    fs,
    io::{self, Write},
};

use ctnetlink::{
    Client, Filter,
    filter::{Capabilities, SocketFilter},
};

use crate::{
    arguments::{Arguments, Command, Table},
    failure::Outcome,
    listener, request,
    selection::{Route, Selection},
};

/// Prints the requests of a command. Nothing is sent, except for the probes that `--explain=probe` asks for.
pub fn explain(arguments: &Arguments) -> Outcome {
    let output = &mut io::stdout().lock();
    match (arguments.command, arguments.table) {
        (Command::List | Command::Event, Table::Expect) => writeln!(output, "expectations: all")?,
        (Command::Create, Table::Expect) => writeln!(output, "create: {}", request::expectation(arguments)?)?,
        (Command::Get | Command::Delete, Table::Expect) => {
            writeln!(output, "expectation: {}", request::expectation_key(arguments)?.tuple)?;
        }
        (Command::List, _) => explain_selection(&Selection::new(arguments)?, arguments.probes, output)?,
        (Command::Delete, _) => {
            let selection = Selection::new(arguments)?.refuse_everything(arguments)?;
            explain_selection(&selection, arguments.probes, output)?;
            writeln!(output, "delete: each of these flows, by its tuple, zone and identifier")?;
        }
        (Command::Update, _) => {
            let (selection, update) = (Selection::new(arguments)?, request::some_update(arguments)?);
            explain_selection(&selection, arguments.probes, output)?;
            writeln!(output, "update: each of these flows that it changes: {}", words::of_update(&update))?;
        }
        (Command::Event, _) => explain_events(&Selection::new(arguments)?.filter, arguments, output)?,
        (Command::Get, _) => writeln!(output, "get: {}", words::of_key(&request::key(arguments)?))?,
        (Command::Create | Command::Add, _) => {
            writeln!(output, "create: {}", words::of_new_flow(&request::new_flow(arguments)?, arguments))?
        }
        (Command::Flush, Table::Expect) => writeln!(output, "flush: every expectation of both families")?,
        (Command::Flush, _) => match arguments.family {
            Some(family) => writeln!(output, "flush: every flow of {family}")?,
            None => writeln!(output, "flush: every flow")?,
        },
        (command, _) => writeln!(output, "{}: one request without a filter, which changes nothing", command.name())?,
    }
    Ok(())
}

fn explain_selection(selection: &Selection, probes: bool, output: &mut impl Write) -> Outcome {
    let filter = &selection.filter;
    writeln!(output, "filter: {filter}")?;
    match selection.route {
        Route::Get(key) => writeln!(output, "get: {}", words::of_key(&key))?,
        Route::Dump(dump) => {
            writeln!(output, "dump: {}", words::of_dump(&dump))?;
            explain_rest(filter, filter.is_everything(), output)?;
        }
        Route::Planned => {
            let kernel = Kernel::find(probes);
            let plan = filter.plan(&kernel.capabilities);
            writeln!(output, "kernel: {}", kernel.known)?;
            if plan.dumps().is_empty() {
                writeln!(output, "dump: none, because no flow can match")?;
            }
            for dump in plan.dumps() {
                writeln!(output, "dump: {dump}")?;
            }
            explain_rest(filter, plan.is_exact(), output)?;
        }
    }
    Ok(())
}

/// Prints the comparisons that the program makes because the kernel does not.
fn explain_rest(filter: &Filter, is_exact: bool, output: &mut impl Write) -> io::Result<()> {
    if is_exact { Ok(()) } else { writeln!(output, "userspace: {filter}") }
}

fn explain_events(filter: &Filter, arguments: &Arguments, output: &mut impl Write) -> io::Result<()> {
    let socket = SocketFilter::new(filter);
    writeln!(output, "filter: {filter}")?;
    writeln!(output, "groups: {:?}", listener::groups(arguments))?;
    if !filter.is_everything() {
        writeln!(output, "socket: a program of {} instructions", socket.instructions().len())?;
        explain_rest(filter, socket.is_exact(), output)?;
    }
    Ok(())
}

/// The filters that a kernel understands, and how they are known.
struct Kernel {
    capabilities: Capabilities,
    known: String,
}

impl Kernel {
    /// Asks the running kernel, or concludes from its release.
    fn find(asks: bool) -> Self {
        match asks.then(|| Client::open()?.capabilities()) {
            Some(Ok(capabilities)) => Self { capabilities, known: "as it answered".to_owned() },
            Some(Err(error)) => Self::by_release(&format!("; it could not be asked: {error}")),
            None => Self::by_release(" (`--explain=probe' asks it)"),
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
                known: format!("of an unknown release, which is expected to filter nothing{reason}"),
            },
        }
    }
}
