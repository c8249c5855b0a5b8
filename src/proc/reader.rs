//! Readers of whole files, line by line, and the files of the kernel.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use super::{ExpectationLine, Expected, LONGEST_LINE, Line, LineError, OpenError, ReadError};
use crate::model::{Expectation, Flow};

/// Reads the flows in a file of the kernel's, or in the output of conntrack(8).
///
/// As an [`Iterator`] the reader yields owned flows. [`next_view`](Self::next_view) lends each line without allocating.
/// A malformed line is an error after which reading may continue; after an I/O error the file has ended. Blank lines are
/// skipped. At most [`LONGEST_LINE`](super::LONGEST_LINE) bytes of a line are held, however long it is.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::Reader;
///
/// let text = "\
/// udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=5353 dport=53 src=10.0.0.2 dst=10.0.0.1 sport=53 dport=5353 mark=0
/// conntrack v1.4.7 (conntrack-tools): 2 flow entries have been shown.
/// icmp     1 9 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=7 mark=0
/// ";
/// let mut timeouts = Vec::new();
/// for flow in Reader::new(text.as_bytes()) {
///     match flow {
///         Ok(flow) => timeouts.push(flow.timeout),
///         Err(error) => assert_eq!(error.to_string(), "line 2, column 11: expected a number up to 255, found `v1.4.7`"),
///     }
/// }
/// assert_eq!(timeouts, [Some(29), Some(9)]);
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the current position of `source`. Wrap a file in a [`BufReader`](std::io::BufReader).
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self { lines: Lines::new(source) }
    }

    /// Reads and lends the next line. `Ok(None)` is the end of the file.
    ///
    /// # Errors
    ///
    /// [`ReadError::Line`] if the line is malformed: the next call reads the line after it. [`ReadError::Io`] if the
    /// file cannot be read: the next call returns `Ok(None)`.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::proc::Reader;
    ///
    /// let text = "udp 17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=53 src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1 mark=7\n";
    /// let mut reader = Reader::new(text.as_bytes());
    /// while let Some(line) = reader.next_view()? {
    ///     assert_eq!(line.mark(), Some(7));
    /// }
    /// # Ok::<(), ctnetlink::proc::ReadError>(())
    /// ```
    #[inline]
    pub fn next_view(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        self.lines.next_as(Line::parse).transpose()
    }

    /// The number of the line that was read last, counted from 1, or 0 before the first line.
    #[must_use]
    pub const fn line_number(&self) -> u64 {
        self.lines.number()
    }

    /// Returns the source, positioned after the line that was read last.
    pub fn into_inner(self) -> R {
        self.lines.into_inner()
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Flow, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next_as(|text| Line::parse(text).map(|line| line.to_flow()))
    }
}

/// Reads the expectations in a file of the kernel's, or in the output of conntrack(8).
///
/// As an [`Iterator`] the reader yields owned expectations, which needs lines of `conntrack -L expect`. The kernel's own
/// file prints neither mask nor master, so every line of it would be an error: read it with
/// [`next_view`](Self::next_view).
///
/// # Example
///
/// ```
/// use ctnetlink::proc::ExpectationReader;
///
/// let kernel = "299 l3proto = 2 proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=5001 ftp\n";
/// let mut reader = ExpectationReader::new(kernel.as_bytes());
/// while let Some(line) = reader.next_view()? {
///     assert_eq!(line.tuple().destination_port(), Some(5001));
/// }
///
/// let listed = "299 proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=5001 mask-src=255.255.255.255 \
///     mask-dst=255.255.255.255 sport=0 dport=65535 master-src=10.0.0.1 master-dst=10.0.0.2 sport=1000 dport=21 \
///     class=0 helper=ftp\n";
/// for expectation in ExpectationReader::new(listed.as_bytes()) {
///     assert_eq!(expectation?.master.destination_port(), Some(21));
/// }
/// # Ok::<(), ctnetlink::proc::ReadError>(())
/// ```
#[derive(Debug)]
pub struct ExpectationReader<R> {
    lines: Lines<R>,
}

impl<R: BufRead> ExpectationReader<R> {
    /// Reads from the current position of `source`. Wrap a file in a [`BufReader`](std::io::BufReader).
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self { lines: Lines::new(source) }
    }

    /// Reads and lends the next line. `Ok(None)` is the end of the file.
    ///
    /// # Errors
    ///
    /// The same as [`Reader::next_view`].
    pub fn next_view(&mut self) -> Result<Option<ExpectationLine<'_>>, ReadError> {
        self.lines.next_as(ExpectationLine::parse).transpose()
    }

    /// The number of the line that was read last, counted from 1, or 0 before the first line.
    #[must_use]
    pub const fn line_number(&self) -> u64 {
        self.lines.number()
    }

    /// Returns the source, positioned after the line that was read last.
    pub fn into_inner(self) -> R {
        self.lines.into_inner()
    }
}

impl<R: BufRead> Iterator for ExpectationReader<R> {
    type Item = Result<Expectation, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next_as(|text| {
            let missing = || LineError::new(Expected::MaskAndMaster, text, text.len());
            ExpectationLine::parse(text)?.to_expectation().ok_or_else(missing)
        })
    }
}

/// Opens the table of the calling thread's network namespace (`/proc/thread-self/net/nf_conntrack`).
///
/// The file has mode `-r--r-----` and belongs to root in the user namespace that owns the network namespace. While the
/// table changes, a flow may appear twice or not at all.
///
/// # Errors
///
/// - [`is_permission_denied`](OpenError::is_permission_denied): the process is neither that root nor has
///   `CAP_DAC_READ_SEARCH`.
/// - [`is_not_found`](OpenError::is_not_found): the module `nf_conntrack` is not loaded, the kernel was built without
///   `CONFIG_NF_CONNTRACK_PROCFS`, or the system is not Linux.
///
/// # Example
///
/// ```no_run
/// for flow in ctnetlink::proc::open()? {
///     println!("{:?}", flow?.original);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open() -> Result<Reader<BufReader<File>>, OpenError> {
    const PATHS: Paths = Paths { thread: "/proc/thread-self/net/nf_conntrack", process: "/proc/net/nf_conntrack" };
    PATHS.open().map(Reader::new)
}

/// Opens the table of expectations (`/proc/thread-self/net/nf_conntrack_expect`).
///
/// Kernels before 7.0, and stable kernels before 2026, list the expectations of all network namespaces.
///
/// # Errors
///
/// The same as [`open`].
pub fn open_expectations() -> Result<ExpectationReader<BufReader<File>>, OpenError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/nf_conntrack_expect", process: "/proc/net/nf_conntrack_expect" };
    PATHS.open().map(ExpectationReader::new)
}

/// The bytes requested from the kernel in one read.
const BUFFER: usize = 64 * 1024;

/// The two names of a file: in the network namespace of the calling thread, and in that of the process's main thread. They
/// differ if a thread has changed its namespace.
pub(super) struct Paths {
    pub(super) thread: &'static str,
    pub(super) process: &'static str,
}

impl Paths {
    pub(super) fn open(&self) -> Result<BufReader<File>, OpenError> {
        // Only kernels without `thread-self` (before Linux 3.17) need the other name. If the tracker is missing or the
        // file is not readable, the other name fails in the same way.
        let path = if Path::new("/proc/thread-self").exists() { self.thread } else { self.process };
        match File::open(path) {
            Ok(file) => Ok(BufReader::with_capacity(BUFFER, file)),
            Err(error) => Err(OpenError::new(Path::new(path), error)),
        }
    }
}

/// With the carriage return, which is not part of the line. The parser refuses a line that is longer by one byte.
const LONGEST_WITH_RETURN: usize = LONGEST_LINE + 1;

/// Reads and numbers the lines of a file.
///
/// A line that is complete in the source's buffer is lent from there. Other lines are gathered in a buffer of at most
/// [`LONGEST_LINE`] bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    /// The length of the lent line in the source's buffer, to be consumed before the next read.
    lent: usize,
    /// A line that was read in parts.
    parts: Vec<u8>,
    is_finished: bool,
}

/// The place of the line that was read last.
enum LineAt {
    /// In the source's buffer, with this length.
    InSource(usize),
    InParts,
    TooLong,
    End,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, number: 0, lent: 0, parts: Vec::new(), is_finished: false }
    }

    /// The number of the line that was read last, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn into_inner(mut self) -> R {
        self.source.consume(self.lent);
        self.source
    }

    /// Returns the next line that is not blank, and its number.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Result<(u64, &[u8]), ReadError>> {
        match self.advance() {
            Ok(LineAt::InSource(length)) => match self.source.fill_buf() {
                Ok(buffer) => Some(Ok((self.number, buffer.get(..length).unwrap_or_default()))),
                Err(error) => Some(Err(error.into())),
            },
            Ok(LineAt::InParts) => Some(Ok((self.number, &self.parts))),
            Ok(LineAt::TooLong) => Some(Err(LineError::too_long().in_line(self.number).into())),
            Ok(LineAt::End) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Parses the next line that is not blank.
    #[inline]
    pub(super) fn next_as<'l, T>(
        &'l mut self,
        read: impl FnOnce(&'l [u8]) -> Result<T, LineError>,
    ) -> Option<Result<T, ReadError>> {
        match self.next()? {
            Ok((number, text)) => Some(read(text).map_err(|error| error.in_line(number).into())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Finds the next line that is not blank.
    #[inline]
    fn advance(&mut self) -> io::Result<LineAt> {
        loop {
            self.source.consume(core::mem::take(&mut self.lent));
            if self.is_finished {
                return Ok(LineAt::End);
            }
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.is_finished = true;
                    return Err(error);
                }
            };
            match line_end(buffer) {
                Some(length) if length <= LONGEST_WITH_RETURN => {
                    self.number += 1;
                    self.lent = length + 1;
                    if !is_blank(buffer.get(..length).unwrap_or_default()) {
                        return Ok(LineAt::InSource(length));
                    }
                }
                _ => {
                    let found = self.collect()?;
                    self.number += u64::from(!matches!(found, LineAt::End));
                    if !matches!(found, LineAt::InParts) || !is_blank(&self.parts) {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Gathers a line that is not complete in the source's buffer, or skips it if it is too long.
    #[cold]
    fn collect(&mut self) -> io::Result<LineAt> {
        self.parts.clear();
        let mut length = 0_usize;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.is_finished = true;
                    return Err(error);
                }
            };
            let end = line_end(buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            length = length.saturating_add(part.len());
            if length <= LONGEST_WITH_RETURN {
                self.parts.extend_from_slice(part);
            }
            let is_last = end.is_some() || buffer.is_empty();
            self.is_finished = buffer.is_empty();
            let taken = part.len() + usize::from(end.is_some());
            self.source.consume(taken);
            if is_last {
                return Ok(match length {
                    0 if self.is_finished => LineAt::End,
                    0..=LONGEST_WITH_RETURN => LineAt::InParts,
                    _ => LineAt::TooLong,
                });
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The position of the first line end.
#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    /// The bytes compared in one step. The inner loop compiles to two vector comparisons.
    const STEP: usize = 32;
    let mut before = 0;
    let mut chunks = bytes.chunks_exact(STEP);
    for chunk in chunks.by_ref() {
        if chunk.iter().fold(false, |found, byte| found | (*byte == b'\n')) {
            return Some(before + chunk.iter().position(|byte| *byte == b'\n')?);
        }
        before += STEP;
    }
    Some(before + chunks.remainder().iter().position(|byte| *byte == b'\n')?)
}
