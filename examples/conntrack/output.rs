//! Prints entries on the standard output.

use std::io::{self, StdoutLock, Write as _};

use ctnetlink::{
    EventKind, Expectation, Flow, Timestamp,
    format::{LabelMap, Printed, Save, Sender, Text, Xml},
};

use crate::{
    arguments::{self, Arguments, Command, Parameter, Table},
    failure::{Failure, Outcome},
};

/// Bytes in the buffer at which it is written.
const ENOUGH: usize = 64 * 1024;

/// Prints entries into one buffer, and writes it to the standard output when it is full.
pub struct Output {
    printer: Printer,
    stdout: StdoutLock<'static>,
    buffer: Vec<u8>,
    /// Whether the command goes on if nothing more can be printed.
    goes_on: bool,
    /// The reason why nothing more can be printed.
    broken: Option<Failure>,
}

impl Output {
    pub fn new(arguments: &mut Arguments) -> Self {
        let printer = Printer::new(arguments);
        let mut buffer = Vec::with_capacity(ENOUGH + ENOUGH / 4);
        buffer.extend_from_slice(printer.frame().0.as_bytes());
        Self { printer, stdout: io::stdout().lock(), buffer, goes_on: false, broken: None }
    }

    /// Prints flows that are changed: the changes go on if the reader is gone. `finish` returns the failure.
    pub const fn of_changes(mut self) -> Self {
        self.goes_on = true;
        self
    }

    /// Prints flows that are deleted: with `-o save`, as lines of `-D`.
    pub fn for_deletion(mut self) -> Self {
        self.printer.deletes = true;
        self
    }

    pub fn flow(&mut self, flow: &Flow, event: Option<Event<'_>>) -> Outcome {
        if self.broken.is_some() {
            return Ok(());
        }
        let begin = self.buffer.len();
        self.printer.flow(flow, event).append_to(&mut self.buffer);
        if self.printer.deletes && self.printer.format == Format::Save {
            self.turn_into_deletion(begin, flow);
        }
        self.end_line()
    }

    /// Turns the `-A` of a saved flow into a `-D`. The rest of the line stays, because `sed s/^-D/-A/` must give a line
    /// that creates the flow again. Without a zone, `-D` would select flows of every zone.
    fn turn_into_deletion(&mut self, begin: usize, flow: &Flow) {
        let zone = flow.zone.or(flow.original.zone).or(flow.reply.zone);
        let command = if zone.is_none() { "-D -w 0" } else { "-D" };
        self.buffer.splice(begin..begin + "-A".len(), command.bytes());
    }

    pub fn expectation(&mut self, expectation: &Expectation, event: Option<Event<'_>>) -> Outcome {
        self.printer.expectation(expectation, event).append_to(&mut self.buffer);
        self.end_line()
    }

    fn end_line(&mut self) -> Outcome {
        self.buffer.push(b'\n');
        if self.buffer.len() < ENOUGH {
            return Ok(());
        }
        match self.write() {
            Err(failure) if self.goes_on => {
                self.broken = Some(failure);
                Ok(())
            }
            other => other,
        }
    }

    /// Writes the buffer now.
    pub fn write(&mut self) -> Outcome {
        self.stdout.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(self.stdout.flush()?)
    }

    /// Closes the document and writes the rest.
    pub fn finish(mut self) -> Outcome {
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        self.buffer.extend_from_slice(self.printer.frame().1.as_bytes());
        self.write()
    }
}

/// The parts of an event besides its entry.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub kind: EventKind,
    /// The time of the event, or of its arrival.
    pub time: Timestamp,
    pub sender: Option<Sender<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Save,
    Xml,
    #[cfg(feature = "json")]
    Json,
}

/// The output format and its options.
struct Printer {
    format: Format,
    table: Table,
    extended: bool,
    id: bool,
    timestamps: bool,
    kernel_timestamps: bool,
    labels: Option<LabelMap>,
    deletes: bool,
    utc_offset_seconds: i32,
    begun: Timestamp,
}

impl Printer {
    fn new(arguments: &mut Arguments) -> Self {
        let format = match () {
            () if arguments.has_output(arguments::Output::Save) => Format::Save,
            #[cfg(feature = "json")]
            () if arguments.has_output(arguments::Output::Json) => Format::Json,
            () if arguments.has_output(arguments::Output::Xml) => Format::Xml,
            () => Format::Text,
        };
        let timestamps = arguments.has_output(arguments::Output::Timestamp);
        let kernel_timestamps = arguments.has_output(arguments::Output::KernelTimestamp);
        let shows_dates = timestamps || kernel_timestamps;
        Self {
            format,
            table: arguments.table,
            extended: arguments.has_output(arguments::Output::Extended),
            id: arguments.has_output(arguments::Output::Id),
            timestamps,
            kernel_timestamps,
            labels: shows_labels(arguments, format)
                .then(|| arguments.label_map.take())
                .flatten()
                .filter(|map| !map.is_empty()),
            deletes: false,
            utc_offset_seconds: if shows_dates { local_offset_seconds() } else { 0 },
            begun: Timestamp::now(),
        }
    }

    /// The texts before the first entry and after the last.
    fn frame(&self) -> (&'static str, &'static str) {
        match (self.format, self.table) {
            (Format::Xml, Table::Expect) => (Xml::EXPECTATIONS_BEGIN, Xml::EXPECTATIONS_END),
            (Format::Xml, _) => (Xml::FLOWS_BEGIN, Xml::FLOWS_END),
            _ => ("", ""),
        }
    }

    fn flow<'a>(&'a self, flow: &'a Flow, event: Option<Event<'a>>) -> Printed<'a> {
        match self.format {
            Format::Text => self.text(event).flow(flow),
            Format::Save => self.save(event).flow(flow),
            Format::Xml => self.xml(event).flow(flow),
            #[cfg(feature = "json")]
            Format::Json => json(event).flow(flow),
        }
    }

    /// Expectations cannot be loaded: with `-o save` they are printed as text.
    fn expectation<'a>(&'a self, expectation: &'a Expectation, event: Option<Event<'a>>) -> Printed<'a> {
        match self.format {
            Format::Text | Format::Save => self.text(event).expectation(expectation),
            Format::Xml => self.xml(event).expectation(expectation),
            #[cfg(feature = "json")]
            Format::Json => json(event).expectation(expectation),
        }
    }

    fn text<'a>(&'a self, event: Option<Event<'a>>) -> Text<'a> {
        let mut text = Text::new()
            .extended(self.extended)
            .id(self.id)
            .kernel_timestamps(self.kernel_timestamps)
            .utc_offset_seconds(self.utc_offset_seconds)
            .now(event.map_or(self.begun, |event| event.time));
        if let Some(labels) = &self.labels {
            text = text.labels(labels);
        }
        if let Some(event) = event {
            text = text.event(event.kind);
            if self.timestamps {
                text = text.timestamp(event.time);
            }
            if let Some(sender) = event.sender {
                text = text.sender(sender);
            }
        }
        text
    }

    fn save(&self, event: Option<Event<'_>>) -> Save<'_> {
        let save = self.labels.as_ref().map_or(Save::new(), |labels| Save::new().labels(labels));
        event.map(|event| event.kind).map_or(save, |kind| save.event(kind))
    }

    fn xml<'a>(&'a self, event: Option<Event<'a>>) -> Xml<'a> {
        let mut xml = Xml::new()
            .kernel_timestamps(self.kernel_timestamps)
            .utc_offset_seconds(self.utc_offset_seconds)
            .now(event.map_or(self.begun, |event| event.time));
        if let Some(labels) = &self.labels {
            xml = xml.labels(labels);
        }
        if let Some(event) = event {
            xml = xml.event(event.kind);
            if self.timestamps {
                xml = xml.timestamp(event.time);
            }
        }
        xml
    }
}

#[cfg(feature = "json")]
fn json(event: Option<Event<'_>>) -> ctnetlink::format::Json {
    let json = ctnetlink::format::Json::new();
    event.map_or(json, |event| json.event(event.kind))
}

/// Labels are shown if options name labels, except with `-D` and `-o save`, and with `-o labels`.
fn shows_labels(arguments: &Arguments, format: Format) -> bool {
    let are_named = [Parameter::Label, Parameter::LabelAdd, Parameter::LabelDelete];
    let is_said = arguments.command != Command::Delete && format != Format::Save;
    arguments.has_output(arguments::Output::Labels)
        || is_said && are_named.into_iter().any(|named| arguments.has(named))
}

/// The offset of local time from UTC as date(1) reports it, since the standard library has no time zones. Without date(1),
/// times are in UTC.
fn local_offset_seconds() -> i32 {
    let ask = || {
        let output = std::process::Command::new("date").arg("+%z").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let number: i32 = text.trim().parse().ok()?;
        Some((number / 100 * 60 + number % 100) * 60)
    };
    ask().unwrap_or(0)
}
