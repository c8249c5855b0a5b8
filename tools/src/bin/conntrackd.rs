//! The program `conntrackd`. See `--help`.

use std::{error::Error, io, process::ExitCode};

use ctnetlink_tools::{
    conntrackd::{
        command, daemon,
        options::{self, Task},
    },
    program,
};

fn main() -> ExitCode {
    program::main("conntrackd", options::USAGE, options::parse, execute)
}

fn execute(task: Task) -> Result<bool, Box<dyn Error>> {
    match task {
        Task::Run(options) => daemon::run(&options).map(|()| true),
        Task::Send(path, command) => command::send(&path, command, &mut io::stdout())
            .map_err(|error| format!("cannot reach a running program at {}: {error}", path.display()).into()),
    }
}
