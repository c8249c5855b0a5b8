//! The test suite of conntrack-tools, run with the example in place of conntrack(8).
//!
//! It is not part of this project: `CONNTRACK_TESTSUITE` has the path of a folder `tests/conntrack/testsuite` of the
//! conntrack-tools sources. Its files are run in order on one table. Each line is `ARGUMENTS ; RESULT`:
//!
//! - `O` or `B`: the command succeeds or fails.
//! - `| SCRIPT`: the output is piped, through sed if there is a script, into the command of the next line.
//! - nothing: the line is part of the standard input of the next command.

use std::{env, fs, path::PathBuf};

use crate::{cases, lab::Lab};

cases! {
    original_testsuite_passes: Testsuite;
}

fn original_testsuite_passes(lab: &Lab) {
    let folder = PathBuf::from(env::var_os("CONNTRACK_TESTSUITE").unwrap());
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let program = lab.example("conntrack");
    let (mut checks, mut failed) = (0, Vec::new());
    for file in files.iter().filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')) {
        for check in checks_of(&fs::read_to_string(file).unwrap(), &program) {
            checks += 1;
            let succeeds = lab.output("sh", &["-c", &check.command]).status.success();
            if succeeds != check.succeeds {
                failed.push(format!("{}:{}: {}", file.display(), check.line, check.command));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {checks} fail:\n{}", failed.len(), failed.join("\n"));
    assert!(checks > 200, "{checks} checks");
}

/// A shell command, and whether it has to succeed.
struct Check {
    line: usize,
    command: String,
    succeeds: bool,
}

fn checks_of(text: &str, program: &str) -> Vec<Check> {
    let (mut checks, mut command, mut input) = (Vec::new(), String::new(), String::new());
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with(['#', ' ']) {
            continue;
        }
        let (arguments, result) = text.split_once(';').expect("a semicolon");
        let result = result.trim_start_matches([' ', '\t']);
        let rest = result.get(1..).unwrap_or_default().trim_start_matches([' ', '\t']);
        match result.chars().next() {
            None => {
                input.push_str(arguments);
                input.push('\n');
                continue;
            }
            Some(_) if !input.is_empty() => {
                command.push_str(&format!("printf '%s' \"{}\" | ", std::mem::take(&mut input)));
            }
            Some(_) => {}
        }
        command.push_str(&format!("{program} {arguments}"));
        match result.chars().next() {
            Some('|') if rest.is_empty() => command.push_str(" | "),
            Some('|') => command.push_str(&format!(" | sed \"{rest}\" | ")),
            expected => {
                let command = std::mem::take(&mut command);
                checks.push(Check { line, command, succeeds: expected == Some('O') });
            }
        }
    }
    checks
}
