//! Shared by all examples: `--help`, error messages, and a quiet end if the reader of the output is gone (`| head`).

mod messages;

use std::{
    env,
    error::Error,
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
};

#[allow(unused_imports, reason = "not every example prints messages while it runs")]
pub(crate) use messages::complain;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Wrong arguments: the program exits with status 2.
#[derive(Debug)]
struct WrongUsage(String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WrongUsage {}

/// Runs an example with its arguments. Wrong arguments exit with status 2, other errors with 1.
pub(crate) fn main(usage: &str, run: impl FnOnce(&[String]) -> Outcome) -> ExitCode {
    let arguments: Vec<String> = env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect();
    let outcome = match arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        true => writeln!(io::stdout(), "{usage}").map_err(Into::into),
        false => run(&arguments),
    };
    match outcome {
        Err(error) if !is_closed_pipe(&*error) => {
            complain(&error);
            let is_wrong_usage = error.is::<WrongUsage>() || error.to_string() == usage;
            if is_wrong_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error that makes the program exit with status 2.
#[allow(dead_code, reason = "not every example reads its arguments with a parser")]
pub(crate) fn wrong_usage(message: impl Display) -> Box<dyn Error + Send + Sync> {
    WrongUsage(message.to_string()).into()
}

/// Parses an argument. `name` is its name in the usage.
#[allow(dead_code, reason = "not every example takes arguments")]
pub(crate) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Outcome<T> {
    text.parse().map_err(|error| WrongUsage(format!("{name} {text:?}: {error}")).into())
}
