//! Readers of whole files: flows and expectations.

use std::io::BufRead;

use super::{ExpectationLine, Expected, Line, LineError, ReadError, lines::Lines};
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
