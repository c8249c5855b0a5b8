//! What the programs have in common: they say how many flows they read, and how long it took.

use std::time::Instant;

/// Times a dump, which gives the count of its flows, and prints both as the C programs of `benches/floor` do.
pub fn report<E>(dump: impl FnOnce() -> Result<usize, E>) -> Result<(), E> {
    let start = Instant::now();
    let flows = dump()?;
    println!("flows {flows} seconds {:.3}", start.elapsed().as_secs_f64());
    Ok(())
}
