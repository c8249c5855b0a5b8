//! Messages on the standard error.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Writes a line to the standard error.
///
/// Unlike `eprintln!`, it does not panic if the reader is gone, as in `list 2>&1 | head -1`.
pub(crate) fn complain(message: impl Display) {
    let line = format!("{message}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
