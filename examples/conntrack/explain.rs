//! `--explain`: the requests that a command would send.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    io::{self, Write},
};

use ctnetlink::{
    Client, DccpInfo, Filter, FlowUpdate, Labels, MaskedLabels, MaskedMark, ProtocolInfo, SctpInfo, TcpInfo,
    filter::{Capabilities, SocketFilter},
    request::{DumpFlows, Table as FlowTable},
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
            writeln!(output, "expectation: {:?}", request::expectation_key(arguments)?)?;
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
            writeln!(output, "update: each of these flows that it changes: {}", Words(&update))?;
        }
        (Command::Event, _) => explain_events(&Selection::new(arguments)?.filter, arguments, output)?,
        (Command::Get, _) => writeln!(output, "get: {:?}", request::key(arguments)?)?,
        (Command::Create | Command::Add, _) => writeln!(output, "create: {:?}", request::new_flow(arguments)?)?,
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
        Route::Get(key) => writeln!(output, "get: {key:?}")?,
        Route::Dump(dump) => {
            write!(output, "dump: {}", dump_words(&dump))?;
            writeln!(output, "{}", if dump.zeroes_counters() { ", setting their counters to zero" } else { "" })?;
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

fn dump_words(dump: &DumpFlows) -> String {
    let flows = match dump.table() {
        FlowTable::Dying => "every dying flow",
        FlowTable::Unconfirmed => "every unconfirmed flow",
        _ => "every flow",
    };
    match dump.filter().is_everything() {
        true => flows.to_owned(),
        false => format!("{flows} of {}", dump.filter()),
    }
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

/// An update in words: `set mark to 3, add status ASSURED`.
struct Words<'a>(&'a FlowUpdate);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let update = self.0;
        let parts = [
            update.timeout.map(|seconds| format!("set timeout to {seconds} s")),
            update.status.map(|bits| format!("add status {bits}")),
            update.protocol_info.map(state_words),
            update.mark.map(mark_words),
            update.labels.map(label_words),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn mark_words(MaskedMark { mark, mask }: MaskedMark) -> String {
    if mask == u32::MAX { format!("set mark to {mark}") } else { format!("set mark to {mark:#x} under mask {mask:#x}") }
}

fn label_words(MaskedLabels { labels, mask }: MaskedLabels) -> String {
    match (labels.is_empty(), mask == Labels::ALL) {
        (true, true) => "remove every label".to_owned(),
        (true, false) => format!("remove labels {mask}"),
        (false, _) => format!("add labels {labels}"),
    }
}

fn state_words(info: ProtocolInfo) -> String {
    match info {
        ProtocolInfo::Tcp(TcpInfo { state: Some(state), .. }) => format!("set state to {state}"),
        ProtocolInfo::Sctp(SctpInfo { state: Some(state), .. }) => format!("set state to {state} and both tags"),
        ProtocolInfo::Dccp(DccpInfo { state: Some(state), .. }) => format!("set state to {state} and the role"),
        other => format!("{other:?}"),
    }
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
                known: format!("of an unknown release, which is expected to filter nothing{reason}"),
            },
        }
    }
}
