//! Prints every change of the table, and a summary once a second, until Ctrl-C: `cargo run --example mirror`.
//!
//! One thread feeds the table and another reads it. The lock is held for one change at a time, and never while waiting.

#[path = "support/events.rs"]
mod events;
#[path = "support/interrupt.rs"]
mod interrupt;
mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{FlowTable, Mirror, events::Waiter};
use events::warn_about_settings;
use interrupt::stop_on_interrupt;
use support::Outcome;

const USAGE: &str = "usage: mirror

Prints every change of the table, and a summary once a second, until Ctrl-C.
Example: mirror";
const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    support::main(USAGE, follow)
}

fn follow(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mirror = Mirror::open()?.audit_every(Some(60 * SECOND));
    stop_on_interrupt(mirror.stop_handle()?)?;
    warn_about_settings();
    let waiter = mirror.waiter()?;
    let mirror = Arc::new(RwLock::new(mirror));
    let fed = Arc::clone(&mirror);
    let feeder = thread::spawn(move || feed(&fed, &waiter));
    while !feeder.is_finished() {
        thread::park_timeout(SECOND);
        let mirror = mirror.read().unwrap_or_else(PoisonError::into_inner);
        let overruns = mirror.overruns();
        let losses = if overruns == 0 { String::new() } else { format!(", events lost {overruns} times") };
        let summary = format!("= {}{losses}", summary(mirror.table()));
        drop(mirror);
        writeln!(io::stdout(), "{summary}")?;
    }
    feeder.join().unwrap_or_else(|_| Err("the thread that feeds the table panicked".into()))
}

fn summary(table: &FlowTable) -> String {
    let protocols = table.count_by(|flow| flow.protocol());
    let counts: Vec<String> = protocols.iter().map(|(protocol, count)| format!("{count} {protocol}")).collect();
    match (table.len(), counts.as_slice()) {
        (_, []) => "no flows".into(),
        (1, counts) => format!("1 flow ({})", counts.join(", ")),
        (flows, counts) => format!("{flows} flows ({})", counts.join(", ")),
    }
}

fn feed(mirror: &RwLock<Mirror>, waiter: &Waiter) -> Outcome {
    let lock = || mirror.write().unwrap_or_else(PoisonError::into_inner);
    while !lock().is_stopped() {
        // Audits and dumps that are due need no event.
        let deadline = lock().next_deadline();
        let timeout = deadline.map_or(SECOND, |deadline| deadline.saturating_duration_since(Instant::now()));
        waiter.wait(timeout.min(SECOND))?;
        loop {
            let Some(change) = lock().try_next()? else { break };
            let how = if change.inferred { " (by comparison)" } else { "" };
            writeln!(io::stdout(), "{:<8} {}{how}", change.kind, change.flow)?;
        }
    }
    Ok(())
}
