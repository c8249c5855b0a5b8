//! The environment of a test: a network namespace, and the tools that run in it.

mod laboratory;
mod need;
mod permission;
mod traffic;
mod wait;

use std::{
    env,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use ctnetlink::{Client, Flow, Tuple};
use nix::sched::{CloneFlags, unshare};

pub use self::{
    laboratory::{Case, Laboratory},
    need::Need,
    wait::{PATIENCE, is_readable, until},
};

/// An empty network namespace. This thread and the commands that it starts live in it.
pub struct Lab {
    _private: (),
}

impl Lab {
    fn enter() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        Self { _private: () }
    }

    pub fn client(&self) -> Client {
        Client::open().expect("a client")
    }

    /// Runs a command that must succeed and returns its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        command(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Returns the path of an example of this crate.
    pub fn example(&self, name: &str) -> String {
        let path = example(name);
        assert!(path.exists(), "{} is not built: `cargo test` or `cargo build --examples` builds it", path.display());
        path.to_str().expect("a path that is text").to_owned()
    }

    /// Lets new flows carry labels.
    ///
    /// The kernel reserves space for labels only while some rule sets them. Before Linux 6.18 a rule that only matches a
    /// label is not enough, and labels of other flows are dropped silently.
    pub fn allow_labels(&self) {
        self.nft("table ip lab { chain c { ct label set 1; }; }");
    }

    pub fn nft(&self, rules: &str) {
        self.run("nft", &[rules]);
    }

    /// Returns every flow of the namespace.
    pub fn flows(&self) -> Vec<Flow> {
        self.client().dump().expect("a dump").collect::<Result<_, _>>().expect("flows")
    }

    /// Returns the flow with that original tuple.
    pub fn flow(&self, original: Tuple) -> Flow {
        let flows = self.flows();
        flows
            .iter()
            .find(|flow| flow.original == original)
            .cloned()
            .unwrap_or_else(|| panic!("{original:?} in {flows:#?}"))
    }

    /// Changes a setting of this namespace. Some settings exist in the initial namespace alone.
    pub fn sysctl(&self, setting: ctnetlink::sysctl::Sysctl, value: u32) {
        setting.write(value).expect("a setting of this namespace");
    }
}

/// Prepares a command. It may be in a folder that only root has in `PATH`.
pub fn command(program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let target = test.parent().and_then(|deps| deps.parent()).expect("the target directory");
    target.join("examples").join(name)
}
