//! What every example does alike: `--help`, errors for people, and a quiet end when nobody reads on (`| head`).

use std::{
    env,
    error::Error,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs an example with its arguments.
pub(crate) fn main(usage: &str, run: impl FnOnce(&[String]) -> Outcome) -> ExitCode {
    let arguments: Vec<String> = env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect();
    let outcome = match arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        true => writeln!(io::stdout(), "{usage}").map_err(Into::into),
        false => run(&arguments),
    };
    match outcome {
        Err(error) if !is_closed_pipe(&*error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The value of the argument `name`, as the usage calls it.
#[allow(dead_code, reason = "not every example takes arguments")]
pub(crate) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Outcome<T> {
    text.parse().map_err(|error| format!("{name} {text:?}: {error}").into())
}
