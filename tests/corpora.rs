//! Every input that fuzzing has left, replayed on any toolchain: `fuzz/corpus` and `fuzz/regressions`.
//!
//! The target `exchange` is replayed beside its law, in the unit tests of the crate.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

#[path = "../fuzz/properties/mod.rs"]
mod properties;

/// The inputs of a target.
fn inputs(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |kind| fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten();
    ["corpus", "regressions"].into_iter().flat_map(files).map(|file| file.unwrap().path()).collect()
}

#[track_caller]
fn replay(target: &str, law: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() >= 50, "{} inputs: the corpus is missing", inputs.len());
    for path in inputs {
        let bytes = fs::read(&path).unwrap();
        assert!(catch_unwind(|| law(&bytes)).is_ok(), "{} breaks the law", path.display());
    }
}

#[test]
fn the_law_of_datagrams_holds() {
    replay("datagram", properties::datagram::holds);
}

#[test]
fn the_law_of_round_trips_holds() {
    replay("roundtrip", properties::roundtrip::holds);
}

#[test]
fn the_law_of_lines_holds() {
    replay("proc_line", properties::proc_line::holds);
}

#[test]
fn the_law_of_filters_holds() {
    replay("filter", properties::filter::holds);
}

#[test]
fn the_law_of_events_holds() {
    replay("events", properties::events::holds);
}
