//! Errors of reading filters.

use core::fmt::{self, Write as _};

use crate::error::{Error, ErrorKind};

/// The reason why text could not be read as a filter, and its position.
///
/// It converts into [`Error`](crate::Error) with the kind [`InvalidInput`](crate::ErrorKind::InvalidInput).
///
/// # Example
///
/// ```
/// use ctnetlink::Filter;
///
/// let error = "src 10.0.0.0/8 and mark".parse::<Filter>().unwrap_err();
/// assert_eq!(error.to_string(), "column 24: expected a mark, found end of filter");
///
/// let error = "src 10.0.0.0/8\n  and prot tcp".parse::<Filter>().unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 7: unknown keyword `prot`; did you mean `proto`?");
/// assert_eq!((error.line(), error.column()), (2, 7));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseFilterError {
    position: Position,
    message: Box<str>,
}

/// A place in the text: line and column, counted in characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl ParseFilterError {
    #[cold]
    pub(super) fn new(position: Position, message: impl fmt::Display) -> Self {
        Self { position, message: message.to_string().into() }
    }

    /// Returns the line of the offending word, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.position.line
    }

    /// Returns the column at which the offending word starts in its line, counted in characters from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.position.column
    }
}

impl fmt::Display for ParseFilterError {
    /// Prints the position and the reason; the line only if it is not the first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        if line > 1 {
            write!(f, "line {line}, ")?;
        }
        write!(f, "column {column}: {}", self.message)
    }
}

crate::macros::debug_as_display!(ParseFilterError);

impl core::error::Error for ParseFilterError {}

impl From<ParseFilterError> for Error {
    fn from(error: ParseFilterError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

/// A word of the text in backquotes, shortened to fit a line. Control characters are escaped: they could drive a
/// terminal.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.char_indices().nth(48).map_or(self.0, |(end, _)| self.0.get(..end).unwrap_or_default());
        f.write_str("`")?;
        for character in shown.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        f.write_str(if shown.len() < self.0.len() { "…`" } else { "`" })
    }
}
