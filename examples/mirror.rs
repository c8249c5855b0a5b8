//! Prints what changes in the table, and once a second what is in it: `cargo run --example mirror`.
//!
//! One thread feeds the table, another reads it: the lock is held for one change at a time, and never while waiting.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{FlowTable, Mirror, Waiter};
use support::Outcome;

const USAGE: &str = "usage: mirror";
const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

fn follow(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mirror = Mirror::open()?.audit_every(Some(60 * SECOND));
    let waiter = mirror.waiter()?;
    let mirror = Arc::new(RwLock::new(mirror));
    let fed = Arc::clone(&mirror);
    let feeder = thread::spawn(move || feed(&fed, &waiter));
    while !feeder.is_finished() {
        thread::sleep(SECOND);
        let mirror = mirror.read().unwrap_or_else(PoisonError::into_inner);
        let summary = format!("= {}, {} losses", summary(mirror.table()), mirror.overruns());
        drop(mirror);
        writeln!(io::stdout(), "{summary}")?;
    }
    feeder.join().unwrap_or_else(|_| Err("the thread that feeds the table panicked".into()))
}

fn summary(table: &FlowTable) -> String {
    let protocols = table.count_by(|flow| flow.protocol());
    let counts: Vec<String> = protocols.iter().map(|(protocol, count)| format!("{count} {protocol}")).collect();
    match counts.as_slice() {
        [] => "no flows".into(),
        counts => format!("{} flows ({})", table.len(), counts.join(", ")),
    }
}

fn feed(mirror: &RwLock<Mirror>, waiter: &Waiter) -> Outcome {
    let lock = || mirror.write().unwrap_or_else(PoisonError::into_inner);
    loop {
        // Audits and dumps that are due need no event.
        let due = mirror.read().unwrap_or_else(PoisonError::into_inner).due();
        let patience = due.map_or(SECOND, |due| due.saturating_duration_since(Instant::now()));
        waiter.wait(patience.min(SECOND))?;
        loop {
            let Some(change) = lock().try_next()? else { break };
            let how = if change.inferred { " (by comparison)" } else { "" };
            writeln!(io::stdout(), "{:<8} {}{how}", change.kind, change.flow)?;
        }
    }
}
