//! The lines of `conntrack -o save`: the printer and the reader.
//!
//! A line is split into [words](words), the words into [options](options), and the options become a
//! [command](command), which is checked as a whole.

mod command;
mod error;
mod printer;
mod reader;
mod words;

pub use command::SaveCommand;
pub use error::SaveError;
pub use printer::Save;
pub use reader::{SaveLine, SaveReader, read_save};
