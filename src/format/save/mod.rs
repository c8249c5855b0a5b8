//! The lines of `conntrack -o save`: the printer, and the reader of files of such lines.
//!
//! A line is split into [words](words), and the words into [options](line_options), which are checked as a whole and
//! become a [command](command).

mod command;
mod line_options;
mod printer;
mod words;

use std::io::{BufRead, Read as _};

use super::label_map::LabelMap;
use crate::NewFlow;
use words::{options, words};

pub use command::SaveCommand;
pub use printer::Save;
pub use words::SaveError;

/// Reads the lines that [`Save`] and `conntrack -o save` print, as `conntrack -R` does.
///
/// Comments (`#` at the start of a line) and blank lines are skipped. Double quotes keep blanks in a word. The commands
/// are `-A`, `-I`, `-U`, `-D` and `-F` of the table of flows.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, NewFlow, Tuple, format::{Save, SaveCommand, read_save}};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let mut flow = Flow::new(original, original.inverted().ok_or("UDP has a reply")?);
/// flow.timeout = Some(30);
/// flow.mark = Some(7);
/// let file = format!("# flows\n{}\n-D -p tcp --dport 22\n", Save::new().flow(&flow));
///
/// let mut created: Vec<NewFlow> = Vec::new();
/// for line in read_save(file.as_bytes()) {
///     let line = line?;
///     match line.command() {
///         SaveCommand::Create(flow) => created.push((**flow).clone()), // client.create(flow)
///         SaveCommand::Delete { filter, .. } => println!("delete {filter}"), // client.delete_matching(filter)
///         _ => {}
///     }
/// }
/// assert_eq!((created[0].original, created[0].mark), (original, Some(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_save<R: BufRead>(source: R) -> SaveReader<R> {
    SaveReader { source, labels: LabelMap::default(), number: 0, buffer: Vec::new(), is_finished: false }
}

/// Reads the lines of a file: see [`read_save`].
///
/// A malformed line is an error after which reading may continue; after an I/O error the file has ended.
///
/// # Example
///
/// ```
/// use ctnetlink::format::read_save;
///
/// let mut lines = read_save("# flows\n-D -p tcp --dport 22\nnonsense\n".as_bytes());
/// assert!(lines.next().is_some_and(|line| line.is_ok()));
/// let error = lines.next().and_then(Result::err).ok_or("no error")?;
/// assert_eq!((error.line().map(u64::from), error.column()), (Some(3), Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SaveReader<R> {
    source: R,
    labels: LabelMap,
    number: u64,
    buffer: Vec<u8>,
    is_finished: bool,
}

/// A line that was read.
///
/// # Example
///
/// ```
/// use ctnetlink::format::{LabelMap, SaveLine};
///
/// let text = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 -p udp --sport 40000 --dport 53 \
///             --reply-port-src 53 --reply-port-dst 40000";
/// let flow = SaveLine::parse(text, &LabelMap::default())?.to_new_flow()?;
/// assert_eq!(flow.timeout, 30);
/// # Ok::<(), ctnetlink::format::SaveError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SaveLine {
    number: Option<u64>,
    command: SaveCommand,
}

impl<R: BufRead> SaveReader<R> {
    /// A longer line is an error. Lines of conntrack(8) have at most 10,239 bytes.
    const LONGEST_LINE: usize = 64 * 1024;

    /// Sets the names of labels. Labels without a name are read by their numbers.
    #[must_use]
    pub fn labels(self, labels: LabelMap) -> Self {
        Self { labels, ..self }
    }

    /// The number of the line that was read last, counted from 1, or 0 before the first line.
    #[must_use]
    pub const fn line_number(&self) -> u64 {
        self.number
    }

    /// Reads the next line into the buffer, or returns false at the end of the file.
    fn fill(&mut self) -> Result<bool, SaveError> {
        self.buffer.clear();
        if self.is_finished {
            return Ok(false);
        }
        let limit = Self::LONGEST_LINE as u64 + 1;
        let read = (&mut self.source).take(limit).read_until(b'\n', &mut self.buffer);
        self.is_finished = !matches!(read, Ok(1..));
        self.number += u64::from(!self.is_finished);
        read?;
        if self.buffer.len() > Self::LONGEST_LINE && self.buffer.last() != Some(&b'\n') {
            // The rest of the line is skipped, so that the next call reads the next line.
            let skipped = self.source.skip_until(b'\n');
            self.is_finished = skipped.is_err();
            skipped?;
            let expected = format!("at most {} bytes in a line", Self::LONGEST_LINE);
            return Err(SaveError::expected(expected, "more", Self::LONGEST_LINE + 1));
        }
        Ok(!self.is_finished)
    }

    fn read_line(&mut self) -> Result<Option<SaveCommand>, SaveError> {
        while self.fill()? {
            let text = core::str::from_utf8(&self.buffer)
                .map_err(|error| SaveError::expected("UTF-8", "a byte of another encoding", error.valid_up_to() + 1))?;
            if let Some(command) = read_command(text, &self.labels)? {
                return Ok(Some(command));
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for SaveReader<R> {
    type Item = Result<SaveLine, SaveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.read_line().map_err(|error| error.in_line(self.number)).transpose()?;
        Some(line.map(|command| SaveLine { number: Some(self.number), command }))
    }
}

impl SaveLine {
    /// Reads one line. Labels are read by their names in `labels`, or by their numbers.
    ///
    /// # Errors
    ///
    /// Fails if the line has no command, or an option that is unknown, has a malformed value, or does not go with the
    /// command or the protocol. A comment has no command.
    pub fn parse(text: &str, labels: &LabelMap) -> Result<Self, SaveError> {
        let end = text.trim_ascii_end().len() + 1;
        let missing = || SaveError::expected("`-A`, `-I`, `-U`, `-D` or `-F`", "", end);
        Ok(Self { number: None, command: read_command(text, labels)?.ok_or_else(missing)? })
    }

    /// Returns the number of the line, counted from 1, if a reader counted it.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.number
    }

    /// Returns the command of the line.
    #[must_use]
    pub const fn command(&self) -> &SaveCommand {
        &self.command
    }

    /// Returns the command of the line by value.
    #[must_use]
    pub fn into_command(self) -> SaveCommand {
        self.command
    }

    /// Returns the flow that the line creates.
    ///
    /// # Errors
    ///
    /// Fails if the command is neither `-A` nor `-I`.
    pub fn to_new_flow(&self) -> Result<NewFlow, SaveError> {
        match &self.command {
            SaveCommand::Create(flow) => Ok((**flow).clone()),
            other => {
                let error = SaveError::expected("`--add` or `--create`", other.name(), 1);
                Err(error.in_line(self.number.unwrap_or(0)))
            }
        }
    }
}

/// The command of a line, or `None` for a comment or a blank line.
fn read_command(text: &str, labels: &LabelMap) -> Result<Option<SaveCommand>, SaveError> {
    let text = text.trim_ascii_end();
    if text.trim_ascii_start().starts_with('#') {
        return Ok(None);
    }
    let end = text.len() + 1;
    match options(words(text)?, end)? {
        given if given.is_empty() => Ok(None),
        given => SaveCommand::read(&given, labels, end).map(Some),
    }
}
