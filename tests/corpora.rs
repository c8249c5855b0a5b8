//! Replays the kept inputs of fuzzing, in `fuzz/corpus` and `fuzz/regressions`, on any toolchain.
//!
//! Unit tests of the crate replay those of the targets `exchange` and `events`.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

#[path = "../fuzz/properties/mod.rs"]
mod properties;

/// Returns the inputs of a target.
fn inputs(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |kind| fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten();
    ["corpus", "regressions"].into_iter().flat_map(files).map(|file| file.unwrap().path()).collect()
}

#[track_caller]
fn replay(target: &str, property: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() >= 50, "{} inputs: the corpus is missing", inputs.len());
    for path in inputs {
        let bytes = fs::read(&path).unwrap();
        assert!(catch_unwind(|| property(&bytes)).is_ok(), "{} breaks the property", path.display());
    }
}

#[test]
fn kept_datagrams_still_pass() {
    replay("datagram", properties::datagram::holds);
}

#[test]
fn kept_round_trips_still_pass() {
    replay("roundtrip", properties::roundtrip::holds);
}

#[test]
fn kept_proc_lines_still_pass() {
    replay("proc_line", properties::proc_line::holds);
}

#[test]
fn kept_saved_lines_still_pass() {
    replay("save", properties::save::holds);
}

#[test]
fn kept_filters_still_pass() {
    replay("filter", properties::filter::holds);
}
