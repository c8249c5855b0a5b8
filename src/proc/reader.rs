//! Flows and expectations of a whole file.

use std::io::BufRead;

use super::{ExpectationLine, Expected, Line, LineError, ReadError, lines::Lines};
use crate::model::{Expectation, Flow};

/// Reads the flows of a file: of the kernel, or of what `conntrack` printed.
///
/// [`next_line`](Self::next_line) lends each line and allocates nothing for it; as an [`Iterator`] the reader gives
/// flows as values. A line that cannot be read is an item and not the end; after a failure to read the file nothing
/// comes. Blank lines are passed over. No more than [`LONGEST_LINE`](super::LONGEST_LINE) bytes of a line are ever
/// held, however long it is.
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
/// let mut reader = Reader::new(text.as_bytes());
/// while let Some(line) = reader.next_line() {
///     match line {
///         Ok(line) => timeouts.push(line.timeout()),
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
    /// Reads from there on. For a file, hand over a [`BufReader`](std::io::BufReader).
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self { lines: Lines::new(source) }
    }

    /// Lends the next line, parsed. `None` at the end.
    #[inline]
    pub fn next_line(&mut self) -> Option<Result<Line<'_>, ReadError>> {
        self.lines.next_as(Line::parse)
    }

    /// The number of the line that was read last, counted from 1; 0 before the first.
    #[must_use]
    pub const fn line_number(&self) -> u64 {
        self.lines.number()
    }

    /// The source, past the line that was read last.
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

/// Reads the expectations of a file, as [`Reader`] reads flows.
///
/// As values they come of what `conntrack -L expect` printed. To the kernel's own file a value would be an error in every
/// line, for want of a mask and a master: its lines are to be had by [`next_line`](Self::next_line) alone.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::ExpectationReader;
///
/// let kernel = "299 l3proto = 2 proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=5001 ftp\n";
/// let mut reader = ExpectationReader::new(kernel.as_bytes());
/// while let Some(line) = reader.next_line() {
///     assert_eq!(line?.tuple().destination_port(), Some(5001));
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
    /// Reads from there on. For a file, hand over a [`BufReader`](std::io::BufReader).
    #[must_use]
    pub const fn new(source: R) -> Self {
        Self { lines: Lines::new(source) }
    }

    /// Lends the next line, parsed. `None` at the end.
    pub fn next_line(&mut self) -> Option<Result<ExpectationLine<'_>, ReadError>> {
        self.lines.next_as(ExpectationLine::parse)
    }

    /// The number of the line that was read last, counted from 1; 0 before the first.
    #[must_use]
    pub const fn line_number(&self) -> u64 {
        self.lines.number()
    }

    /// The source, past the line that was read last.
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
