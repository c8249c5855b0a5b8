//! Text → filter → text. The language is described in the documentation of the filter module.

mod error;
mod hint;
mod lexer;
mod parser;
mod print;
mod values;

pub use error::ParseFilterError;
pub(super) use print::write_status;

/// How deep parentheses and `not` may be nested, so that no text can exhaust the stack.
const DEPTH: usize = 64;
