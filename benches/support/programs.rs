//! Programs that are measured, or measured against.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::time;

/// How long a command takes, its output thrown away; `None` where it is not installed or fails.
pub fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Option<f64> {
    let mut command = Command::new(program.as_ref());
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut succeeded = false;
    let seconds = time(|| succeeded = command.status().is_ok_and(|status| status.success()));
    succeeded.then_some(seconds)
}

/// The example of that name, built as this bench is. Where it is not, it says so.
pub fn example(name: &str) -> Option<PathBuf> {
    let bench = env::current_exe().unwrap();
    let path = bench.ancestors().nth(2).unwrap().join("examples").join(name);
    if path.exists() {
        return Some(path);
    }
    println!(
        "(without the example {name}: {} is not there; `cargo build --release --all-features --example {name}` builds it)",
        path.display()
    );
    None
}

/// The C programs that only do what the kernel makes everybody do.
pub struct Floor {
    programs: Option<PathBuf>,
}

impl Floor {
    /// Builds them from `benches/floor`, where there is a compiler.
    pub fn build() -> Self {
        if Command::new("cc").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            println!("(without a floor: there is no cc to build it)");
            return Self { programs: None };
        }
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor");
        let programs = env::temp_dir().join(format!("ctnetlink-floor-{}", std::process::id()));
        fs::create_dir_all(&programs).unwrap();
        for (name, library) in [("raw_dump", None), ("raw_insert", None), ("lnfct_dump", Some("-lnetfilter_conntrack"))]
        {
            let (source, program) = (sources.join(name).with_extension("c"), programs.join(name));
            let _ = Command::new("cc").arg("-O2").arg("-o").args([&program, &source]).args(library).status();
        }
        Self { programs: Some(programs) }
    }

    /// Runs one, and reads off what it prints the number behind a word.
    pub fn run(&self, name: &str, arguments: &[&str], word: &str) -> Option<f64> {
        let program = self.programs.as_ref()?.join(name);
        let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let mut words = text.split_whitespace().skip_while(|known| *known != word);
        words.nth(1)?.parse().ok()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(programs) = &self.programs {
            let _ = fs::remove_dir_all(programs);
        }
    }
}
