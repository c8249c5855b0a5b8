//! The commands of a file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use ctnetlink::{Client, Errno, Error, FlowKey, format::LabelMap, request::NewFlow};

use crate::{
    arguments::{Arguments, Command, Parameter, Table},
    failure::{Failure, Outcome},
    progress::Progress,
    request,
    selection::Selection,
    table, tell,
};

/// How many flows are created at a time.
const CHUNK: usize = 1024;
/// No line is longer.
const LINE_LIMIT: u64 = 64 * 1024;
/// How many refusals are told one by one.
const TOLD: u64 = 20;

/// Runs the commands of a file in their order.
///
/// A line that makes no sense ends it; what the lines before it say was done. A line that the kernel refuses is told
/// by its number, and the others go on.
pub fn load(arguments: &Arguments) -> Outcome {
    let path = arguments.file.as_deref().unwrap_or("-");
    let mut loader = Loader::new(path, arguments)?;
    let result = open(path).and_then(|reader| loader.read(reader));
    let flushed = loader.send();
    drop(loader.progress);
    result.and(flushed)?;
    match loader.is_dry {
        true => tell(format_args!("{} lines make sense, and nothing was asked of the kernel.", loader.done)),
        false => tell(format_args!("{} lines have been loaded, {} have been refused.", loader.done, loader.refused)),
    }
    if loader.refused == 0 { Ok(()) } else { Err(Failure::Nothing) }
}

fn open(path: &str) -> Outcome<Box<dyn BufRead>> {
    if path == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|_| Failure::usage(format_args!("Failed to open file {path} for reading")))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// A flow to be created, and the line that says so.
struct Waiting {
    line: u64,
    flow: NewFlow,
    /// Whether to update the flow where it exists.
    or_update: bool,
}

struct Loader<'a> {
    path: &'a str,
    client: Client,
    labels: LabelMap,
    waiting: Vec<Waiting>,
    done: u64,
    refused: u64,
    progress: Progress,
    /// Lines are read, and nothing is sent.
    is_dry: bool,
}

impl<'a> Loader<'a> {
    fn new(path: &'a str, arguments: &Arguments) -> Outcome<Self> {
        // A file of labels is only missed by a line that names one.
        let labels = match &arguments.label_map {
            Some(labels) => labels.clone(),
            None if Path::new(LabelMap::DEFAULT_PATH).exists() => LabelMap::open(LabelMap::DEFAULT_PATH)?,
            None => LabelMap::default(),
        };
        Ok(Self {
            path,
            client: Client::builder().receive_buffer(4 << 20).open()?,
            labels,
            waiting: Vec::with_capacity(CHUNK),
            done: 0,
            refused: 0,
            progress: Progress::new("lines loaded"),
            is_dry: arguments.has(Parameter::Explain),
        })
    }

    fn read(&mut self, mut reader: impl BufRead) -> Outcome {
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            number += 1;
            bytes.clear();
            if (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            self.line(number, &bytes).map_err(|failure| failure.at(format_args!("{}:{number}", self.path)))?;
        }
    }

    fn line(&mut self, number: u64, bytes: &[u8]) -> Outcome {
        if bytes.len() as u64 == LINE_LIMIT {
            return Err(Failure::usage("the line is too long"));
        }
        let line = std::str::from_utf8(bytes).map_err(|_| Failure::usage("the line is not UTF-8"))?;
        if line.starts_with('#') {
            return Ok(());
        }
        match plain_words(line) {
            Some(words) => self.words(number, &words),
            None => self.words(number, &quoted_words(line)?.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    fn words(&mut self, number: u64, words: &[&str]) -> Outcome {
        if words.is_empty() {
            return Ok(());
        }
        let mut arguments = Arguments::parse_with(words, Some(&self.labels))?;
        arguments.original_tag = arguments.original_tag.map(as_saved);
        arguments.reply_tag = arguments.reply_tag.map(as_saved);
        self.command(number, &arguments)
    }

    fn command(&mut self, line: u64, arguments: &Arguments) -> Outcome {
        match (arguments.command, arguments.table) {
            (Command::Create | Command::Add, Table::Conntrack) => {
                let or_update = arguments.command == Command::Add;
                self.waiting.push(Waiting { line, flow: request::new_flow(arguments)?, or_update });
                if self.waiting.len() == CHUNK { self.send() } else { Ok(()) }
            }
            (Command::Update, Table::Conntrack) => {
                let (selection, update) = (Selection::new(arguments)?, request::update(arguments)?);
                // A save of a flow that has nothing to be set.
                self.change(line, || match update.is_empty() {
                    true => Ok(1),
                    false => table::update(&selection, &update, |_| Ok(()))?.into_result(),
                })
            }
            (Command::Delete, Table::Conntrack) => {
                let selection = Selection::new(arguments)?.refuse_everything(arguments)?;
                self.change(line, || table::delete(&selection, |_| Ok(()))?.into_result())
            }
            (Command::Flush, Table::Conntrack) => {
                self.send()?;
                if !self.is_dry {
                    match arguments.family {
                        Some(family) => self.client.flush_family(family)?,
                        None => self.client.flush()?,
                    }
                }
                self.done += 1;
                Ok(())
            }
            (command, _) => {
                Err(Failure::usage(format_args!("Cannot use command `--{}' with --load-file", command.name())))
            }
        }
    }

    /// Does what a line says once the lines before it are done.
    fn change(&mut self, line: u64, work: impl FnOnce() -> Outcome<u64>) -> Outcome {
        self.send()?;
        if self.is_dry {
            self.done += 1;
            return Ok(());
        }
        match work() {
            Ok(0) => self.refuse(line, "no flow fits it"),
            Ok(_) => self.done += 1,
            Err(Failure::Failed(message)) => self.refuse(line, message),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Creates the flows that wait.
    fn send(&mut self) -> Outcome {
        let mut waiting = std::mem::take(&mut self.waiting);
        if !self.is_dry {
            let mut batch = self.client.batch();
            for item in &waiting {
                batch.push(&item.flow)?;
            }
            let report = batch.finish()?;
            for (place, error) in report.failures() {
                let Some(item) = waiting.get(*place) else { continue };
                match item.or_update && error.errno() == Errno::EEXIST {
                    true => self.update(item),
                    false => self.refuse(item.line, format_args!("Operation failed: {error}")),
                }
            }
            self.done += report.succeeded() as u64;
        } else {
            self.done += waiting.len() as u64;
        }
        self.progress.show(self.done);
        waiting.clear();
        self.waiting = waiting;
        Ok(())
    }

    /// Makes the flow that exists what the line asks for.
    fn update(&mut self, item: &Waiting) {
        let key = FlowKey::original(item.flow.original);
        let key = item.flow.zone.map_or(key, |zone| key.in_zone(zone));
        match self.client.update(key, &request::update_to(&item.flow)) {
            Ok(()) => self.done += 1,
            Err(error) => self.refuse(item.line, operation_failed(&error)),
        }
    }

    fn refuse(&mut self, line: u64, reason: impl std::fmt::Display) {
        self.refused += 1;
        if self.refused <= TOLD {
            tell(format_args!("{}:{line}: {reason}", self.path));
        }
    }
}

fn operation_failed(error: &Error) -> String {
    format!("Operation failed: {error}")
}

/// The format that loads has the bytes of a verification tag as a number of the host, and so have its readers.
const fn as_saved(tag: u32) -> u32 {
    u32::from_ne_bytes(tag.to_be_bytes())
}

/// Words between blanks; `None` where there are quotes or backslashes.
fn plain_words(line: &str) -> Option<Vec<&str>> {
    if line.contains('"') || line.contains('\\') {
        return None;
    }
    let mut words = Vec::with_capacity(64);
    words.extend(line.split_ascii_whitespace());
    Some(words)
}

/// Words as a shell would take them: between blanks, or in double quotes; a backslash takes the next character as it is.
fn quoted_words(line: &str) -> Outcome<Vec<String>> {
    let (mut words, mut word, mut is_word, mut is_quoted) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => (is_quoted, is_word) = (!is_quoted, true),
            '\\' => {
                word.extend(characters.next());
                is_word = true;
            }
            blank if blank.is_ascii_whitespace() && !is_quoted => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            other => {
                word.push(other);
                is_word = true;
            }
        }
    }
    if is_quoted {
        return Err(Failure::usage("a quote is not closed"));
    }
    if is_word {
        words.push(word);
    }
    Ok(words)
}
