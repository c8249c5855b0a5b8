//! Prints the public API of a crate, one item a line, from the JSON that rustdoc writes: `ctnetlink-api FILE`.
//!
//! The items come first, without derived and auto traits, which would drown them. A second part has one line for each
//! type with just those traits, so that losing a `Clone` or a `Send` shows up in the diff.
//!
//! Fails if a type of a private dependency appears in the API, if a type is public at two paths, or if an example is
//! missing.

#![forbid(unsafe_code)]

mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    fs::File,
    io::{BufReader, Write as _, stdout},
    path::Path,
    process::ExitCode,
};

use public_api::Builder;

/// Dependencies whose major version may change in a minor release of ours, because none of their types is public.
const PRIVATE: [&str; 5] = ["rustix", "netlink_sys", "socket2", "byteorder", "nix"];

/// Traits without meaning for users: unstable, or implied by another derive.
const UNSTABLE: [&str; 3] = ["Freeze", "UnsafeUnpin", "StructuralPartialEq"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let file = env::args_os().nth(1).ok_or("usage: ctnetlink-api FILE")?;
    let items = lines(Path::new(&file), true)?;
    let with_traits = lines(Path::new(&file), false)?;
    if let Some((dependency, line)) = with_traits.iter().find_map(|line| Some((private_dependency(line)?, line))) {
        return Err(format!("{dependency} must stay private, but appears in: {line}").into());
    }
    let violations = rules::violations(&serde_json::from_reader(BufReader::new(File::open(&file)?))?);
    if !violations.is_empty() {
        return Err(format!("the API breaks its rules\n{}", violations.join("\n")).into());
    }
    let mut output = stdout().lock();
    for line in &items {
        writeln!(output, "{line}")?;
    }
    for (name, traits) in traits_by_type(&items, &with_traits) {
        let traits: Vec<_> = traits.into_iter().collect();
        writeln!(output, "traits {name}: {}", traits.join(", "))?;
    }
    Ok(())
}

/// Returns the items of the API, without derived and auto traits if `brief` is set.
fn lines(file: &Path, brief: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let api = Builder::from_rustdoc_json(file)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(brief)
        .omit_auto_derived_impls(brief)
        .build()?;
    Ok(api.items().map(ToString::to_string).collect())
}

fn private_dependency(line: &str) -> Option<&str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').find(|word| PRIVATE.contains(word))
}

/// Collects the traits of `impl … for TYPE` lines that the brief listing lacks.
fn traits_by_type<'a>(brief: &[String], all: &'a [String]) -> BTreeMap<&'a str, BTreeSet<String>> {
    let brief: BTreeSet<_> = brief.iter().collect();
    let mut traits: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in all.iter().filter(|line| !brief.contains(line)) {
        let Some((implementation, name)) = line.strip_prefix("impl").and_then(|rest| rest.split_once(" for ")) else {
            continue;
        };
        // Serde's derive repeats in a where clause which types have a default.
        let name = name.split(" where ").next().unwrap_or(name);
        let name_of_trait = without_path(implementation);
        if !UNSTABLE.iter().any(|unstable| name_of_trait.ends_with(unstable)) {
            traits.entry(name).or_default().insert(name_of_trait);
        }
    }
    traits
}

/// Shortens `<'a> core::marker::Send` to `Send` and ` !core::marker::Sync` to `!Sync`.
fn without_path(implementation: &str) -> String {
    let name = implementation.rsplit_once("> ").map_or(implementation, |(_, name)| name).trim();
    let negative = if name.starts_with('!') { "!" } else { "" };
    let end = name.find('<').unwrap_or(name.len()); // Of the path, which may have generic arguments.
    let start = name[..end].rfind("::").map_or(0, |colons| colons + 2);
    let name = name[start..].trim_start_matches('!');
    format!("{negative}{name}")
}
