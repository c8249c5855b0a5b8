//! Errors of malformed lines and unreadable files.

use core::{fmt, num::NonZeroU64};
use std::{io, path::Path};

use crate::error::{Error, ErrorKind};

/// The longest line that is read, in bytes. The kernel prints far less: its longest field is the security context, with
/// at most one page.
pub const LONGEST_LINE: usize = 16 * 1024;

/// The part of a line that was expected.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Expected, Line};
///
/// let error = Line::parse(b"ipv4     2 udp      x 29 src=10.0.0.1").unwrap_err();
/// assert_eq!(error.expected(), Some(Expected::U8)); // the number of the protocol
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expected {
    /// The name of a protocol and its number.
    Protocol,
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A number of 64 bits.
    U64,
    /// A number of 16 bits in hexadecimal.
    Hexadecimal,
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv6 address.
    Ipv6Address,
    /// A space, or the end of the line.
    Separator,
    /// The time in front of an event.
    EventTime,
    /// An event.
    Event,
    /// The end of a field in brackets.
    Bracket,
    /// The original tuple.
    Original,
    /// The reply tuple.
    Reply,
    /// No third tuple.
    TwoTuples,
    /// The destination address of the tuple.
    Destination,
    /// The destination port of the tuple.
    DestinationPort,
    /// The destination key of the tuple.
    DestinationKey,
    /// The code of the ICMP query.
    IcmpCode,
    /// The identifier of the ICMP query.
    IcmpId,
    /// The ports, keys or query of the reply tuple, because the original tuple has them.
    ReplyKeys,
    /// The bytes after the packets.
    Bytes,
    /// The stream timeout of GRE.
    StreamTimeout,
    /// The fields of a tuple, or packets and bytes, in the kernel's order.
    Order,
    /// The layer 3 protocol of an expectation.
    Layer3,
    /// The layer 4 protocol of an expectation.
    Layer4,
    /// The expected tuple.
    Tuple,
    /// The mask and the master of an expectation.
    MaskAndMaster,
    /// The names of the columns.
    Columns,
    /// A value for each column.
    Column,
    /// The end of the file: a kernel cannot have more processors.
    NoMoreRows,
}

impl Expected {
    const fn text(self) -> &'static str {
        match self {
            Self::Protocol => "the name and number of a protocol",
            Self::U8 => "a number up to 255",
            Self::U16 => "a number up to 65535",
            Self::U32 => "a number up to 4294967295",
            Self::U64 => "a number up to 18446744073709551615",
            Self::Hexadecimal => "a number from 0x0 to 0xffff",
            Self::Ipv4Address => "an IPv4 address",
            Self::Ipv6Address => "an IPv6 address",
            Self::Separator => "a space or the end of the line",
            Self::EventTime => "seconds, a point, a fraction and `]`",
            Self::Event => "`[NEW]`, `[UPDATE]` or `[DESTROY]`",
            Self::Bracket => "`]`",
            Self::Original => "`src=` of the original tuple",
            Self::Reply => "`src=` of the reply tuple",
            Self::TwoTuples => "no third tuple",
            Self::Destination => "`dst=`",
            Self::DestinationPort => "`dport=`",
            Self::DestinationKey => "`dstkey=`",
            Self::IcmpCode => "`code=`",
            Self::IcmpId => "`id=`",
            Self::ReplyKeys => "the ports, keys or query of the reply, like those of the original",
            Self::Bytes => "`bytes=`",
            Self::StreamTimeout => "`, stream_timeout=`",
            Self::Order => "addresses, ports, keys, query and counters in the order in which the kernel prints them",
            Self::Layer3 => "`l3proto = `",
            Self::Layer4 => "`proto=`",
            Self::Tuple => "`src=` of the expected tuple",
            Self::MaskAndMaster => "the mask and the master, which the kernel's own file does not contain",
            Self::Columns => "the names of the columns",
            Self::Column => "a hexadecimal number for each column",
            Self::NoMoreRows => "the end of the file, because no kernel has more processors",
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// A malformed line: the place of the error, the expected text, and the text found there.
///
/// Prints like ``line 3, column 62: expected a number up to 65535, found `70000` ``. Only a reader knows the number of the
/// line. Columns count bytes from 1.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Expected, Line};
///
/// let error = Line::parse(b"udp      17 29 src=10.0.0.1 dst=10.0.0.256 sport=1").unwrap_err();
/// assert_eq!(error.expected(), Some(Expected::Ipv4Address));
/// assert_eq!(error.to_string(), "column 33: expected an IPv4 address, found `10.0.0.256`");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LineError {
    line: Option<NonZeroU64>,
    column: u32,
    found: Word,
    /// `None` if the line is too long.
    expected: Option<Expected>,
}

impl LineError {
    /// The error at byte `at` of `line`, counted from 0.
    #[cold]
    #[inline(never)]
    pub(super) fn new(expected: Expected, line: &[u8], at: usize) -> Self {
        let column = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            line: None,
            column,
            found: Word::at_start_of(line.get(at..).unwrap_or_default()),
            expected: Some(expected),
        }
    }

    /// A line longer than [`LONGEST_LINE`].
    #[cold]
    #[inline(never)]
    pub(super) const fn too_long() -> Self {
        Self { line: None, column: LONGEST_LINE as u32 + 1, found: Word::NONE, expected: None }
    }

    /// The same error in line `number` of a file.
    #[cold]
    #[inline(never)]
    pub(super) const fn in_line(self, number: u64) -> Self {
        Self { line: NonZeroU64::new(number), ..self }
    }

    /// Returns the number of the line, counted from 1, if a reader counted it.
    #[must_use]
    pub const fn line(&self) -> Option<NonZeroU64> {
        self.line
    }

    /// Returns the position of the error in bytes, counted from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column as usize
    }

    /// Returns the expected part of the line. `None` if the line is too long.
    #[must_use]
    pub const fn expected(&self) -> Option<Expected> {
        self.expected
    }

    /// Returns the text found at the position: at most 40 bytes, up to the next blank. Empty at the end of the line.
    #[must_use]
    pub fn found(&self) -> &[u8] {
        self.found.as_bytes()
    }

    /// Returns true if the line is longer than [`LONGEST_LINE`].
    #[must_use]
    pub const fn is_too_long(&self) -> bool {
        self.expected.is_none()
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "column {}: ", self.column)?;
        match self.expected {
            None => write!(f, "expected at most {LONGEST_LINE} bytes in a line"),
            Some(expected) => write!(f, "expected {expected}, found {}", self.found),
        }
    }
}

crate::error::debug_as_display!(LineError);

impl core::error::Error for LineError {}

impl From<LineError> for Error {
    fn from(error: LineError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

/// A word of a line, cut off after the length of the longest address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    bytes: [u8; Self::LONGEST],
    length: u8,
    is_cut: bool,
}

impl Word {
    const LONGEST: usize = 40;
    const NONE: Self = Self { bytes: [0; Self::LONGEST], length: 0, is_cut: false };

    /// The word up to the first blank after its first byte.
    fn at_start_of(line: &[u8]) -> Self {
        let end =
            line.iter().skip(1).position(|byte| matches!(byte, b' ' | b'\t')).map_or(line.len(), |spaces| spaces + 1);
        let mut word = Self { is_cut: end > Self::LONGEST, ..Self::NONE };
        for (kept, byte) in word.bytes.iter_mut().zip(line.iter().take(end)) {
            *kept = *byte;
            word.length += 1;
        }
        word
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            [] => f.write_str("the end of the line"),
            word => write!(f, "`{}{}`", word.escape_ascii(), if self.is_cut { "…" } else { "" }),
        }
    }
}

/// Why a reader returned no value.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{ReadError, Reader};
///
/// match Reader::new("nonsense\n".as_bytes()).next() {
///     Some(Err(ReadError::Line(error))) => assert_eq!(error.line().map(u64::from), Some(1)),
///     other => panic!("{other:?}"),
/// }
/// ```
#[non_exhaustive]
pub enum ReadError {
    /// A malformed line. Reading may continue with the next line.
    Line(LineError),
    /// The file could not be read. Reading ends.
    Io(io::Error),
}

impl ReadError {
    /// Returns the error of a malformed line, if this is one.
    #[must_use]
    pub const fn line(&self) -> Option<&LineError> {
        if let Self::Line(error) = self { Some(error) } else { None }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

crate::error::debug_as_display!(ReadError);

impl core::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Line(_) => None,
            Self::Io(error) => error.source(),
        }
    }
}

impl From<LineError> for ReadError {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Line(error) => error.into(),
            ReadError::Io(error) => error.into(),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Line(error) => Self::new(io::ErrorKind::InvalidData, error),
            ReadError::Io(error) => error,
        }
    }
}

/// Why a file of the kernel could not be opened, and what to do about it.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::proc;
///
/// match proc::open() {
///     Ok(reader) => println!("{} flows", reader.count()),
///     Err(error) if error.is_not_found() => println!("this kernel has no such file; use `Client::dump`"),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
pub struct OpenError {
    path: &'static Path,
    error: io::Error,
}

impl OpenError {
    pub(super) const fn new(path: &'static Path, error: io::Error) -> Self {
        Self { path, error }
    }

    /// Returns the path of the file.
    #[must_use]
    pub const fn path(&self) -> &'static Path {
        self.path
    }

    /// Returns true if the file does not exist: the kernel lacks the tracker, or this file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }

    /// Returns true if this process may not read the file.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        self.error.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)?;
        match self.error.kind() {
            io::ErrorKind::NotFound => f.write_str(
                ": load the module nf_conntrack, or use netlink if the kernel has no CONFIG_NF_CONNTRACK_PROCFS",
            ),
            io::ErrorKind::PermissionDenied => f.write_str(
                ": needs root in the user namespace that owns the network namespace, or CAP_DAC_READ_SEARCH (with \
                 CAP_NET_ADMIN, use netlink instead)",
            ),
            _ => Ok(()),
        }
    }
}

crate::error::debug_as_display!(OpenError);

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let kind = match error.error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            // The kernel lacks the tracker or the file. `NotFound` is for entries of the table.
            io::ErrorKind::NotFound => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Self::wrap(kind, error)
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        Self::new(error.error.kind(), error)
    }
}
