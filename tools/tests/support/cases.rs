//! Tests that need programs and permissions that a machine may lack.

use std::{env, process::ExitCode, thread};

use ctnetlink::Client;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::network::{enter_new_namespace, is_installed};

/// A test: its name, the programs that it needs, and its function, which is called in a new network namespace.
pub type Case = (&'static str, &'static [&'static str], fn());

/// Runs the tests, `threads` at a time. Tests that this machine cannot run are ignored, with the reason; with
/// `CTNETLINK_KERNEL=required` in the environment they fail instead.
pub fn run(threads: usize, cases: impl IntoIterator<Item = Case>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    let forbidden = why_forbidden();
    let is_required = env::var_os("CTNETLINK_KERNEL").is_some_and(|value| value == "required");
    let trial = |(name, needs, test): Case| {
        let missing = needs.iter().find(|program| !is_installed(program));
        match missing.map(|program| format!("needs {program}")).or_else(|| forbidden.clone()) {
            None => Trial::test(name, move || {
                enter_new_namespace();
                test();
                Ok(())
            }),
            Some(reason) if is_required => Trial::test(name, move || Err(Failed::from(reason))),
            Some(reason) => Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true),
        }
    };
    libtest_mimic::run(&arguments, cases.into_iter().map(trial).collect()).exit_code()
}

/// Returns why no test can run here.
fn why_forbidden() -> Option<String> {
    let try_it = || {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
            return Some("needs root, to create network namespaces".into());
        }
        let opened = Client::open().and_then(|mut client| client.statistics());
        opened.err().map(|error| format!("needs a kernel with connection tracking: {error}"))
    };
    thread::spawn(try_it).join().unwrap()
}
