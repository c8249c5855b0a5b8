//! The table of differences in the example's documentation, held to both programs.

use super::{
    AREAS,
    side_by_side::{SideBySide, Version},
};
use crate::{cases, lab::Lab};

cases! {
    documented_differences_exist: "conntrack";
    documented_tests_exist;
}

const DOCUMENTATION: &str = include_str!("../../../examples/conntrack/README.md");

/// A row of the table.
pub struct Row<'a> {
    pub name: &'a str,
    /// A command line, or nothing if a test shows the difference.
    line: &'a str,
    status: i32,
    /// The count or the complaint, or the name of the test.
    message: &'a str,
    /// Whether releases after 1.4.7 do the same as this program.
    is_only_of_1_4_7: bool,
}

pub fn rows() -> Vec<Row<'static>> {
    let table = DOCUMENTATION.split("|---|---|---|---|---|---|\n").nth(1).unwrap();
    table.lines().take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> Row<'_> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let &[name, line, status, message, releases, _] = cells.as_slice() else { panic!("six cells: {line}") };
    Row {
        name,
        line: code(line),
        status: status.parse().unwrap_or_default(),
        message: code(message),
        is_only_of_1_4_7: releases == "1.4.7",
    }
}

fn code(cell: &str) -> &str {
    let marks = if cell.starts_with("``") { "``" } else { "`" };
    cell.strip_prefix(marks).and_then(|cell| cell.strip_suffix(marks)).unwrap_or(cell).trim()
}

fn documented_differences_exist(lab: &Lab) {
    let programs = SideBySide::new(lab);
    let is_newer = programs.version() > Version(1, 4, 7);
    let rows = rows();
    let lines: Vec<&Row<'_>> = rows.iter().filter(|row| !row.line.is_empty()).collect();
    assert!(lines.len() > 40, "{}", lines.len());
    for Row { name, line, status, message, is_only_of_1_4_7 } in lines {
        let [ours, theirs] = programs.both_on_a_full_table(line);
        assert_eq!((ours.0.status, &*ours.0.message), (Some(*status), *message), "{name}: conntrack {line}");
        if *is_only_of_1_4_7 && is_newer {
            assert_eq!(ours, theirs, "this release differs too ({name}): conntrack {line}");
        } else {
            assert_ne!(ours, theirs, "no longer different ({name}): conntrack {line}");
        }
    }
}

fn documented_tests_exist(_: &Lab) {
    let tests: Vec<String> = AREAS
        .iter()
        .flat_map(|(area, cases)| {
            let area = area.trim_start_matches("conntrack::");
            cases.iter().map(move |case| format!("{area}::{}", case.name))
        })
        .collect();
    let rows = rows();
    let named: Vec<&str> = rows.iter().filter(|row| row.line.is_empty()).map(|row| row.message).collect();
    assert!(!named.is_empty());
    for name in named {
        assert!(tests.iter().any(|test| test == name), "{name} is not among {tests:#?}");
    }
}
