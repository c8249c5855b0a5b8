//! Filters as text. The documentation of the filter module describes the language.

mod error;
mod lexer;
mod parser;
mod print;
#[cfg(feature = "serde")]
mod serde;

pub use error::ParseFilterError;
pub(super) use print::write_status;

/// How deep parentheses and `not` may be nested. Without a limit, text could exhaust the stack.
const DEPTH: usize = 64;
