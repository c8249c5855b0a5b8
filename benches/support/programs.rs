//! External programs in a benchmark.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::time;

/// Returns the seconds that a command takes, or `None` if it is not installed or fails.
pub fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Option<f64> {
    let mut command = Command::new(program.as_ref());
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut succeeded = false;
    let seconds = time(|| succeeded = command.status().is_ok_and(|status| status.success()));
    succeeded.then_some(seconds)
}

/// Returns the path of an example that was built with the profile of this bench, or prints how to build it.
pub fn example(name: &str) -> Option<PathBuf> {
    let path = beside_the_build("examples").join(name);
    if path.exists() {
        return Some(path);
    }
    println!(
        "(without the example {name}: {} is not there; `cargo build --release --all-features --example {name}` builds it)",
        path.display()
    );
    None
}

/// Programs that dump or fill the table in another way and print their figures.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds the C programs of `benches/floor`, which do only the work that no client can avoid.
    pub fn floor() -> Self {
        let folder = beside_the_build("floor");
        fs::create_dir_all(&folder).unwrap();
        for name in ["raw_dump", "raw_insert"] {
            compile(&format!("floor/{name}.c"), &folder.join(name), None);
        }
        Self { folder }
    }

    /// Builds the programs of `benches/peers`, which use other crates and libnetfilter_conntrack.
    pub fn peers() -> Self {
        let target = beside_the_build("peers");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--release"]);
        build(cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&target), "benches/peers");
        let folder = target.join("release");
        fs::create_dir_all(&folder).unwrap();
        compile("peers/lnfct_dump.c", &folder.join("lnfct_dump"), Some("-lnetfilter_conntrack"));
        Self { folder }
    }

    /// Runs a program and returns the number after a word of its output, or `None` if it is missing or fails.
    pub fn run(&self, name: &str, arguments: &[&str], word: &str) -> Option<f64> {
        let program = self.folder.join(name);
        let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let mut words = text.split_whitespace().skip_while(|known| *known != word);
        words.nth(1)?.parse().ok()
    }
}

/// Builds a C program.
fn compile(source: &str, program: &Path, library: Option<&str>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    build(Command::new("cc").arg("-O2").arg("-o").args([program, &path]).args(library), source);
}

fn build(command: &mut Command, what: &str) {
    if !command.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("(without {what}: {:?} could not build it)", command.get_program());
    }
}

/// Returns a folder next to the binaries of this build.
fn beside_the_build(name: &str) -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name)
}
