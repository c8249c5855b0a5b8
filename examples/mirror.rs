//! Prints what changes in the table, and once a second what is in it: `cargo run --example mirror`.
//!
//! One thread feeds the table, another reads it: the lock is held for one change at a time, and never while waiting.
#![allow(missing_docs)]

use std::{
    error::Error,
    process,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use ctnetlink::{Mirror, Waiter};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mirror = Mirror::open()?.audit_every(Some(60 * SECOND));
    let waiter = mirror.waiter()?;
    let mirror = Arc::new(RwLock::new(mirror));
    let fed = Arc::clone(&mirror);
    thread::spawn(move || {
        if let Err(error) = feed(&fed, &waiter) {
            eprintln!("{error}");
            process::exit(1);
        }
    });
    loop {
        thread::sleep(SECOND);
        let mirror = mirror.read().unwrap_or_else(PoisonError::into_inner);
        let protocols = mirror.table().count_by(|flow| flow.protocol());
        let counts: Vec<String> = protocols.iter().map(|(protocol, count)| format!("{count} {protocol}")).collect();
        println!("= {} flows ({}), {} losses", mirror.table().len(), counts.join(", "), mirror.overruns());
    }
}

fn feed(mirror: &RwLock<Mirror>, waiter: &Waiter) -> Result<(), ctnetlink::Error> {
    loop {
        // Audits and dumps that are due need no event.
        waiter.wait(SECOND)?;
        while let Some(change) = mirror.write().unwrap_or_else(PoisonError::into_inner).try_next()? {
            let how = if change.inferred { " (by comparison)" } else { "" };
            println!("{:<8} {}{how}", change.kind, change.flow);
        }
    }
}
