//! Shared by the programs: prints the number of flows and the time.

use std::time::Instant;

/// Times a dump that returns its number of flows. Prints both in the format of the C programs in `benches/floor`.
pub fn report<E>(dump: impl FnOnce() -> Result<usize, E>) -> Result<(), E> {
    let start = Instant::now();
    let flows = dump()?;
    println!("flows {flows} seconds {:.3}", start.elapsed().as_secs_f64());
    Ok(())
}
