//! Parses the lines of a file into jobs.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    sync::{Arc, mpsc::SyncSender},
};

use ctnetlink::{
    Family, FlowUpdate, NewFlow,
    format::{LabelMap, SaveCommand, SaveLine},
};

use super::words::{plain_words, quoted_words};
use crate::{
    arguments::{Arguments, Command, Parameter, Table},
    failure::{Failure, Outcome},
    request,
    selection::Selection,
};

/// Flows in one batch of creations.
const CHUNK: usize = 256;
/// The length at which a line is refused.
const LINE_LIMIT: u64 = 64 * 1024;

/// The work of one line, or of several lines that create flows.
pub enum Job {
    Create(Vec<Creation>),
    Update {
        line: u64,
        selection: Selection,
        update: FlowUpdate,
    },
    Delete {
        line: u64,
        selection: Selection,
    },
    Flush(Option<Family>),
    /// A line that is valid but cannot be sent.
    Refuse {
        line: u64,
        reason: String,
    },
}

impl Job {
    /// The number of lines.
    pub fn lines(&self) -> u64 {
        if let Self::Create(creations) = self { creations.len() as u64 } else { 1 }
    }
}

/// A flow to create, and its line.
pub struct Creation {
    pub line: u64,
    pub flow: NewFlow,
    /// The text of a line that updates the flow if it exists (`-A`).
    pub or_update: Option<String>,
}

/// Reads lines and sends jobs in their order.
pub struct Lines {
    path: String,
    labels: Arc<LabelMap>,
    jobs: SyncSender<Job>,
    creations: Vec<Creation>,
}

impl Lines {
    pub fn new(path: String, labels: Arc<LabelMap>, jobs: SyncSender<Job>) -> Self {
        Self { path, labels, jobs, creations: Vec::with_capacity(CHUNK) }
    }

    /// Reads until the end or the first invalid line. The lines before it are sent.
    pub fn read(mut self) -> Outcome {
        let read = open(&self.path).and_then(|reader| self.read_from(reader));
        let handed_on = self.hand_on_creations();
        read.and(handed_on)
    }

    fn read_from(&mut self, mut reader: impl BufRead) -> Outcome {
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            number += 1;
            bytes.clear();
            if (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut bytes).map_err(|error| self.unreadable(&error))?
                == 0
            {
                return Ok(());
            }
            self.line(number, &bytes)
                .or_else(|failure| self.refuse(number, failure))
                .map_err(|failure| failure.at(format_args!("{}:{number}", self.path)))?;
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::failed(format_args!("{}: cannot read: {error}", self.path))
    }

    fn line(&mut self, number: u64, bytes: &[u8]) -> Outcome {
        if bytes.len() as u64 == LINE_LIMIT {
            return Err(Failure::usage("the line is too long"));
        }
        let line = std::str::from_utf8(bytes).map_err(|_| Failure::usage("the line is not UTF-8"))?;
        if line.trim_ascii_start().starts_with('#') {
            return Ok(());
        }
        if let Some(flow) = saved_flow(line, &self.labels) {
            return self.create(number, flow, line);
        }
        match arguments_of(line, &self.labels)? {
            Some(arguments) => self.command(number, arguments, line),
            None => Ok(()),
        }
    }

    fn create(&mut self, line: u64, mut flow: NewFlow, text: &str) -> Outcome {
        let or_update = flow.or_update.then(|| text.to_owned());
        // The update is a separate request, which leaves the flags of a live TCP connection alone.
        flow.or_update = false;
        self.creations.push(Creation { line, flow, or_update });
        if self.creations.len() == CHUNK { self.hand_on_creations() } else { Ok(()) }
    }

    fn command(&mut self, line: u64, mut arguments: Arguments, text: &str) -> Outcome {
        if arguments.has(Parameter::Explain) {
            return Err(Failure::usage("Cannot use `--explain' in a line: explain the whole file"));
        }
        match (arguments.command, arguments.table) {
            (command @ (Command::Create | Command::Add), Table::Conntrack) => {
                let mut flow = request::new_flow(&arguments)?;
                flow.or_update = command == Command::Add;
                self.create(line, flow, text)
            }
            (Command::Update, Table::Conntrack) => {
                let (selection, update) = (Selection::new(&arguments)?, request::update(&arguments)?);
                self.hand_on(Job::Update { line, selection, update })
            }
            (Command::Delete, Table::Conntrack) => {
                arguments.forget_passing_values();
                let selection = Selection::new(&arguments)?.refuse_everything(&arguments)?;
                self.hand_on(Job::Delete { line, selection })
            }
            (Command::Flush, Table::Conntrack) => self.hand_on(Job::Flush(arguments.family)),
            (Command::Help, _) => Err(Failure::usage("the line has no command")),
            (command, _) => {
                Err(Failure::usage(format_args!("Cannot use command `--{}' with --load-file", command.name())))
            }
        }
    }

    /// Sends a valid line that cannot be sent to the kernel as a refusal, to be reported in order.
    fn refuse(&mut self, line: u64, failure: Failure) -> Outcome {
        match failure {
            Failure::Failed(reason) => self.hand_on(Job::Refuse { line, reason }),
            other => Err(other),
        }
    }

    fn hand_on(&mut self, job: Job) -> Outcome {
        self.hand_on_creations()?;
        self.send(job)
    }

    fn hand_on_creations(&mut self) -> Outcome {
        if self.creations.is_empty() {
            return Ok(());
        }
        let creations = std::mem::replace(&mut self.creations, Vec::with_capacity(CHUNK));
        self.send(Job::Create(creations))
    }

    /// Sends a job. If the receiver is gone, it reports its own failure.
    fn send(&self, job: Job) -> Outcome {
        self.jobs.send(job).map_err(|_| Failure::Nothing)
    }
}

fn open(path: &str) -> Outcome<Box<dyn BufRead>> {
    if path == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|_| Failure::usage(format_args!("Failed to open file {path} for reading")))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// The flow of a line of `-A` or `-I`, as the library reads it.
///
/// All other lines, and the lines that it refuses, are read like a command line, with its checks and messages.
fn saved_flow(line: &str, labels: &LabelMap) -> Option<NewFlow> {
    let creates = ["-A ", "-I "].iter().any(|command| line.trim_ascii_start().starts_with(command));
    match creates.then(|| SaveLine::parse(line, labels))?.ok()?.into_command() {
        SaveCommand::Create(flow) => Some(*flow),
        _ => None,
    }
}

/// Reads a line like a command line. A blank line has no arguments.
pub fn arguments_of(line: &str, labels: &LabelMap) -> Outcome<Option<Arguments>> {
    let parse = |words: &[&str]| match words {
        [] => Ok(None),
        words => Arguments::parse_with(words, Some(labels)).map(Some),
    };
    match plain_words(line) {
        Some(words) => parse(&words),
        None => parse(&quoted_words(line)?.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}
