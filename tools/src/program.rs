//! What all programs do in the same way: they print help, report errors, and end with an exit code.

use std::{
    error::Error,
    fmt::Display,
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use lexopt::Parser;

/// A task that the command line asks for, or `None` if it asks for help.
pub type Parsed<T> = Result<Option<T>, lexopt::Error>;

/// Reads the command line with `parse` and passes the task to `run`, which returns whether it succeeded.
///
/// The exit code is 0 after a success, 2 if the command line is wrong, and 1 after other failures. A reader of the output
/// that goes away is not a failure.
pub fn main<T>(
    name: &str,
    help: &str,
    parse: impl FnOnce(Parser) -> Parsed<T>,
    run: impl FnOnce(T) -> Result<bool, Box<dyn Error>>,
) -> ExitCode {
    let outcome = match parse(Parser::from_env()) {
        Ok(Some(task)) => run(task),
        Ok(None) => io::stdout().write_all(help.as_bytes()).map(|()| true).map_err(Into::into),
        Err(error) => {
            complain(name, format_args!("{error}\nTry '{name} --help'."));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(name, error);
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Prints a message of a program to standard error. Unlike `eprintln!`, this does not panic if nobody reads.
pub fn complain(name: &str, message: impl Display) {
    let _ = io::stderr().write_all(format!("{name}: {message}\n").as_bytes());
}
