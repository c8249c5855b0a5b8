//! Prints the public API of a crate, an item a line, from the JSON that rustdoc wrote of it: `ctnetlink-api FILE`.
//!
//! Fails where a type of a dependency shows that has to stay private.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;

/// The dependencies that may change without a major release of ours, as their types are nowhere in the API.
const PRIVATE: [&str; 5] = ["rustix", "netlink_sys", "socket2", "byteorder", "nix"];

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: ctnetlink-api FILE")?;
    let api = public_api::Builder::from_rustdoc_json(file)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    let mut output = std::io::stdout().lock();
    for item in api.items() {
        let line = item.to_string();
        let mut words = line.split(|character: char| !character.is_alphanumeric() && character != '_');
        if let Some(dependency) = words.find(|word| PRIVATE.contains(word)) {
            return Err(format!("{dependency} is to stay private, and shows in: {line}").into());
        }
        writeln!(output, "{line}")?;
    }
    Ok(())
}
