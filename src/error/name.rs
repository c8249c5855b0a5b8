//! Text that names nothing.

use core::fmt;

/// A word that is no name of the kind asked for.
///
/// # Example
///
/// ```
/// let error = "ESTABLISHD".parse::<ctnetlink::TcpState>().unwrap_err();
/// assert_eq!(error.to_string(), "`ESTABLISHD` is no TCP state");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseNameError {
    what: &'static str,
    text: Box<str>,
}

impl ParseNameError {
    #[cold]
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        // A name is short: what is shown of a long text is bounded, whatever was given.
        Self { what, text: text.chars().take(64).collect() }
    }
}

impl fmt::Display for ParseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no {}", self.text, self.what)
    }
}

crate::macros::debug_as_display!(ParseNameError);

impl core::error::Error for ParseNameError {}
