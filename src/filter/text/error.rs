//! Text that is no filter.

use core::fmt::{self, Write as _};

use crate::error::{Error, ErrorKind};

/// Why text could not be read as a filter, and at which column.
///
/// # Example
///
/// ```
/// let error = "src 10.0.0.0/8 and mark".parse::<ctnetlink::Filter>().unwrap_err();
/// assert_eq!(error.to_string(), "column 24: a mark is missing");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseFilterError {
    column: usize,
    message: Box<str>,
}

impl ParseFilterError {
    #[cold]
    pub(super) fn new(column: usize, message: impl fmt::Display) -> Self {
        Self { column, message: message.to_string().into() }
    }

    /// The column, counted in characters from 1, at which the text stops making sense.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

crate::macros::debug_as_display!(ParseFilterError);

impl core::error::Error for ParseFilterError {}

impl From<ParseFilterError> for Error {
    fn from(error: ParseFilterError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

/// A word of the text as an error shows it: not more of it than fits a line.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.char_indices().nth(48).map_or(self.0, |(end, _)| self.0.get(..end).unwrap_or_default());
        f.write_str("`")?;
        for character in shown.chars() {
            // What a terminal would obey is shown as what it is.
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        f.write_str(if shown.len() < self.0.len() { "…`" } else { "`" })
    }
}
