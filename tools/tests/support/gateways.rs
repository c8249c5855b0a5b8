//! Network namespaces and the programs that run in them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{Client, Flow};
use nix::sched::{CloneFlags, setns};

/// How long a test waits for the other side. Long, because machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A network namespace, which ends with the value.
pub struct Host {
    name: String,
}

impl Host {
    /// Creates a namespace with its loopback up. With `events=1`, flows older than a daemon send events too.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let host = Self { name: format!("ctnetlink-{}-{number}", std::process::id()) };
        run("ip", &["netns", "add", &host.name]);
        host.run("ip", &["link", "set", "lo", "up"]);
        host.sysctl("net.netfilter.nf_conntrack_events", 1);
        host
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut all = vec!["netns", "exec", self.name.as_str(), program];
        all.extend(arguments);
        run("ip", &all)
    }

    pub fn sysctl(&self, name: &str, value: u32) {
        self.run("sysctl", &["-qw", &format!("{name}={value}")]);
    }

    pub fn nft(&self, rules: &str) {
        self.run("nft", &[rules]);
    }

    /// Connects two namespaces by a pair of interfaces, and gives each end an address.
    pub fn connect(&self, interface: &str, address: &str, other: &Self, other_interface: &str, other_address: &str) {
        let ends = ["link", "add", interface, "netns", &self.name, "type", "veth", "peer", "name", other_interface];
        run("ip", &[&ends[..], &["netns", &other.name]].concat());
        for (host, interface, address) in [(self, interface, address), (other, other_interface, other_address)] {
            if !address.is_empty() {
                host.run("ip", &["address", "add", address, "dev", interface]);
            }
            host.run("ip", &["link", "set", interface, "up"]);
        }
    }

    /// Starts a program. Its messages go to the test's output.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Daemon {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        Daemon(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Runs a function on a thread in the namespace.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let path = Path::new("/run/netns").join(&self.name);
        thread::spawn(move || {
            setns(fs::File::open(path).expect("a namespace"), CloneFlags::CLONE_NEWNET).expect("CAP_SYS_ADMIN");
            work()
        })
    }

    /// Runs a function with a client of the namespace.
    pub fn with_client<T: Send + 'static>(&self, work: impl FnOnce(&mut Client) -> T + Send + 'static) -> T {
        self.enter(|| work(&mut Client::open().expect("a client"))).join().expect("no panic in the namespace")
    }

    /// Returns the kernel's flows, apart from the link's own.
    pub fn flows(&self) -> Vec<Flow> {
        let flows: Vec<Flow> =
            self.with_client(|client| client.dump().expect("a dump").collect::<Result<_, _>>().expect("flows"));
        let is_of_the_link = |flow: &Flow| {
            let source = flow.original.source.to_string();
            source.starts_with("10.77.") || source.starts_with("fd77:") || source.starts_with("fe80:")
        };
        flows.into_iter().filter(|flow| !is_of_the_link(flow)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A running program, which is killed with the value.
pub struct Daemon(Child);

impl Daemon {
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder for sockets and configurations, which is removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ctnetlink-tools-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that must succeed and returns its output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until a condition holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns why this machine cannot run the tests: a missing program or permission.
pub fn what_is_missing(programs: &[&str]) -> Option<String> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
    let is_there = |program: &&&str| places.iter().any(|place| Path::new(place).join(program).exists());
    if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
        return Some(format!("needs {missing}"));
    }
    let name = format!("ctnetlink-{}", std::process::id());
    let created = Command::new("ip").args(["netns", "add", &name]).output();
    if !created.is_ok_and(|output| output.status.success()) {
        return Some("needs root, to create network namespaces".into());
    }
    let list = ["netns", "exec", &name, "conntrack", "-C"];
    let listed = Command::new("ip").args(list).output().is_ok_and(|output| output.status.success());
    let _ = Command::new("ip").args(["netns", "del", &name]).status();
    (!listed).then(|| "needs a kernel with connection tracking".into())
}
