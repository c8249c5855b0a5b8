//! Decides which tests this machine can run.

use std::{
    env, fs, io,
    sync::{PoisonError, RwLock},
    thread,
};

use ctnetlink::Client;
use libtest_mimic::{Failed, Trial};
use nix::sched::{CloneFlags, unshare};

use super::{Lab, Need};

/// A test with its requirements.
pub struct Case {
    pub name: &'static str,
    pub needs: &'static [Need],
    pub run: fn(&Lab),
}

/// Declares the cases of an area: `test_name`, or `test_name: "tool", "tool", ProcFile` for a test with requirements.
#[macro_export]
macro_rules! cases {
    (@need $tool:literal) => { $crate::lab::Need::Tool($tool) };
    (@need $other:ident) => { $crate::lab::Need::$other };
    ($( $name:ident $(: $($need:tt),+)?; )*) => {
        pub const CASES: &[$crate::lab::Case] = &[$(
            $crate::lab::Case { name: stringify!($name), needs: &[$($($crate::cases!(@need $need)),+)?], run: $name },
        )*];
    };
}

/// States whether this machine can run kernel tests, and whether it must.
pub struct Laboratory {
    closed: Option<String>,
    required: bool,
}

impl Laboratory {
    /// Lets the process create network namespaces and tries the kernel in one. Must run before any thread is spawned.
    pub fn open() -> Self {
        let closed = become_root_of_a_namespace().and_then(|()| try_kernel()).err();
        Self { closed, required: env::var_os("CTNETLINK_KERNEL").is_some_and(|value| value == "required") }
    }

    pub fn trial(&self, area: &str, case: &'static Case) -> Trial {
        let name = format!("{area}::{}", case.name);
        let ignored = |name, reason: String| Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
        let unmet = case.needs.iter().find(|need| !need.is_met());
        match (&self.closed, unmet) {
            (None, None) => Trial::test(name, move || run(case)),
            // An older kernel or another setting is not a failure, even if the kernel tests are required.
            (None, Some(need)) if need.is_given() => ignored(name, format!("needs {need}")),
            (closed, need) => {
                let reason = closed.clone().or(need.map(|need| format!("needs {need}"))).unwrap_or_default();
                if self.required { Trial::test(name, move || Err(Failed::from(reason))) } else { ignored(name, reason) }
            }
        }
    }
}

fn become_root_of_a_namespace() -> Result<(), String> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| format!("no user namespace: {error}"))?;
    let map = || {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
    };
    map().map_err(|error: io::Error| format!("no user namespace: {error}"))
}

fn try_kernel() -> Result<(), String> {
    let attempt = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
        let mut client = Client::open().map_err(|error| error.to_string())?;
        let first = client.dump().map_err(|error| error.to_string())?.next().map(drop_flow);
        first.unwrap_or(Ok(())).map_err(|error| error.to_string())
    };
    thread::spawn(attempt).join().unwrap_or_else(|_| Err("trying the kernel panicked".into()))
}

fn drop_flow<T>(flow: Result<T, ctnetlink::Error>) -> Result<(), ctnetlink::Error> {
    flow.map(drop)
}

/// Locked for writing by a test that resizes the hash table, and for reading by all other tests.
///
/// All namespaces share the hash table, and a resize makes their dumps miss or repeat flows.
static HASH_TABLE: RwLock<()> = RwLock::new(());

/// Runs a test on a new thread, in a new namespace that ends with the thread.
fn run(case: &'static Case) -> Result<(), Failed> {
    let resizes = case.needs.iter().any(|need| matches!(need, Need::Resize));
    let _shared = (!resizes).then(|| HASH_TABLE.read().unwrap_or_else(PoisonError::into_inner));
    let _alone = resizes.then(|| HASH_TABLE.write().unwrap_or_else(PoisonError::into_inner));
    let body = move || (case.run)(&Lab::enter());
    thread::spawn(body).join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Failed::from(text.unwrap_or("the test panicked"))
    })
}
