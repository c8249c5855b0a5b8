//! The program `conntrackd`. See `--help`.

use std::{
    env, io,
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use ctnetlink_tools::conntrackd::{
    command, daemon,
    options::{self, Task},
};

fn main() -> ExitCode {
    let task = match options::parse(env::args_os().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            let _ = writeln!(io::stderr(), "conntrackd: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = match task {
        Task::Help => io::stdout().write_all(options::USAGE.as_bytes()).map(|()| true).map_err(Into::into),
        Task::Run(options) => daemon::run(&options).map(|()| true),
        Task::Send(path, command) => command::send(&path, command, &mut io::stdout())
            .map_err(|error| format!("cannot reach a running program at {}: {error}", path.display()).into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "conntrackd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
