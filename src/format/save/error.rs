//! The error of a saved line.

use core::{fmt, num::NonZeroU64};
use std::{borrow::Cow, io};

/// A saved line that cannot be read: the place of the error, the expected text, and the text found there.
///
/// Prints like ``line 3, column 12: expected a number up to 65535, found `70000` ``. Columns count bytes from 1.
///
/// # Example
///
/// ```
/// use ctnetlink::format::read_save;
///
/// let text = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 70000\n";
/// let error = read_save(text.as_bytes()).next().unwrap().unwrap_err();
/// assert_eq!((error.line().unwrap().get(), error.column()), (1, Some(59)));
/// assert_eq!(error.to_string(), "line 1, column 59: expected a number up to 65535, found `70000`");
/// ```
pub struct SaveError {
    line: Option<NonZeroU64>,
    problem: Problem,
}

enum Problem {
    Syntax { column: usize, expected: Cow<'static, str>, found: Box<str> },
    Io(io::Error),
}

impl SaveError {
    /// At most this many characters of the line are quoted.
    const LONGEST_QUOTE: usize = 64;

    /// `found` is empty at the end of the line.
    #[cold]
    pub(super) fn expected(expected: impl Into<Cow<'static, str>>, found: &str, column: usize) -> Self {
        let found = found.chars().take(Self::LONGEST_QUOTE).collect();
        Self { line: None, problem: Problem::Syntax { column, expected: expected.into(), found } }
    }

    /// The same error in line `number` of a file.
    #[cold]
    pub(super) fn in_line(self, number: u64) -> Self {
        Self { line: NonZeroU64::new(number), ..self }
    }

    /// The number of the line, counted from 1, if a reader counted it.
    #[must_use]
    pub const fn line(&self) -> Option<NonZeroU64> {
        self.line
    }

    /// The byte of the line at which the error is, counted from 1. `None` for an I/O error.
    #[must_use]
    pub const fn column(&self) -> Option<usize> {
        if let Problem::Syntax { column, .. } = self.problem { Some(column) } else { None }
    }

    /// The error of the source, if the file could not be read. Reading ends with it.
    #[must_use]
    pub const fn io_error(&self) -> Option<&io::Error> {
        if let Problem::Io(error) = &self.problem { Some(error) } else { None }
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        match &self.problem {
            Problem::Syntax { column, expected, found } if found.is_empty() => {
                write!(f, "column {column}: expected {expected}, found the end of the line")
            }
            Problem::Syntax { column, expected, found } => {
                write!(f, "column {column}: expected {expected}, found `{}`", found.escape_debug())
            }
            Problem::Io(error) => error.fmt(f),
        }
    }
}

crate::error::debug_as_display!(SaveError);

impl core::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // `Display` prints the I/O error itself.
        self.io_error().and_then(|error| error.source())
    }
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self { line: None, problem: Problem::Io(error) }
    }
}

impl From<SaveError> for io::Error {
    fn from(error: SaveError) -> Self {
        match error.problem {
            Problem::Io(error) => error,
            Problem::Syntax { .. } => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl From<SaveError> for crate::Error {
    fn from(error: SaveError) -> Self {
        match error.problem {
            Problem::Io(error) => error.into(),
            Problem::Syntax { .. } => Self::wrap(crate::ErrorKind::InvalidInput, error),
        }
    }
}
