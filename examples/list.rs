//! Lists the flows of this network namespace that a filter matches: `cargo run --example list -- 'proto tcp and dport 22'`.
#![allow(missing_docs)]

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use ctnetlink::{Client, Filter};

fn main() -> Result<(), Box<dyn Error>> {
    let filter: Filter = env::args().nth(1).as_deref().unwrap_or("any").parse()?;
    let mut client = Client::open()?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    for flow in client.dump_matching(&filter)? {
        writeln!(output, "{}", flow?)?;
    }
    Ok(output.flush()?)
}
