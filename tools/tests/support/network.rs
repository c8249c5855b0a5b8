//! Network namespaces, and programs that run in them.
//!
//! Functions act in the namespace of the thread that calls them. [`Namespace::inside`] calls them in another.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    env,
    fs::{self, File},
    io::Read,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ctnetlink::Client;
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a test waits. Long, because machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_none(|| (!condition()).then(|| what.to_owned()));
}

/// Waits until nothing is in the way, or says what is.
#[track_caller]
pub fn until_none(mut obstacle: impl FnMut() -> Option<String>) {
    let begun = Instant::now();
    while let Some(obstacle) = obstacle() {
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?}, still not: {obstacle}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The folders of programs, including those that only root has in `PATH`.
fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())
}

/// Prepares a program.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path()).stdin(Stdio::null());
    command
}

pub fn is_installed(program: &str) -> bool {
    env::split_paths(&path()).any(|folder| folder.join(program).exists())
}

/// Runs a command that must succeed and returns its output.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command line that must succeed and returns its output.
#[track_caller]
pub fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    output(command(words.next().unwrap()).args(words))
}

/// Loads rules of nft.
#[track_caller]
pub fn nft(rules: &str) {
    output(command("nft").arg(rules));
}

/// Writes a setting.
#[track_caller]
pub fn sysctl(name: &str, value: u32) {
    fs::write(format!("/proc/sys/net/{name}"), value.to_string()).unwrap();
}

/// Moves this thread, and the programs that it starts, into a new namespace.
pub fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up");
}

/// A network namespace, which ends with the value and the programs in it.
pub struct Namespace(File);

impl Namespace {
    /// Creates a namespace with its loopback up.
    pub fn new() -> Self {
        let create = || {
            enter_new_namespace();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        Self(thread::spawn(create).join().unwrap())
    }

    /// Returns a path for `ip link … netns`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Calls a function in this namespace. Sockets that it opens and programs that it starts stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter_and_work = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap())
    }

    /// Calls a function on a thread in this namespace.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let namespace = self.0.try_clone().unwrap();
        thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    pub fn run(&self, line: &str) -> String {
        self.inside(|| run(line))
    }

    pub fn nft(&self, rules: &str) {
        self.inside(|| nft(rules));
    }

    pub fn sysctl(&self, name: &str, value: u32) {
        self.inside(|| sysctl(name, value));
    }

    pub fn client(&self) -> Client {
        self.inside(|| Client::open().unwrap())
    }

    /// Connects this namespace to another by a pair of interfaces. An end without an address gets none.
    pub fn connect(&self, interface: &str, address: &str, other: &Self, other_interface: &str, other_address: &str) {
        self.run(&format!("ip link add {interface} type veth peer name {other_interface} netns {}", other.path()));
        self.raise(interface, address);
        other.raise(other_interface, other_address);
    }

    fn raise(&self, interface: &str, address: &str) {
        if !address.is_empty() {
            self.run(&format!("ip address add {address} dev {interface}"));
        }
        self.run(&format!("ip link set {interface} up"));
    }
}

/// A running program, killed at the end.
pub struct Program(Child);

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Reads standard error until a line contains the text.
    pub fn until_says(&mut self, text: &str) {
        let mut said = String::new();
        let mut byte = [0];
        while !said.contains(text) || byte != *b"\n" {
            let count = self.0.stderr.as_mut().unwrap().read(&mut byte).unwrap();
            assert!(count > 0, "the program has ended: {said}");
            said.push(byte[0].into());
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub fn stop(mut self, signal: Signal) {
        self.signal(signal);
        until("the end of a program", || self.0.try_wait().unwrap().is_some());
    }

    /// Kills the program without giving it time for anything.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Sends SIGTERM and returns the rest of standard error.
    pub fn finish(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        text
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.id())
    }
}

/// The resources that a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time in user space and in the kernel, in steps of 10 ms.
    pub processor: Duration,
    /// Memory now, and the most so far, in KiB.
    pub memory: u64,
    pub peak_memory: u64,
}

impl Usage {
    pub fn of(process: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap();
        let (status, stat) = (read("status"), read("stat"));
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_end_matches("kB").trim().parse().unwrap()
        };
        let after_name = stat.rsplit(") ").next().unwrap();
        let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        let processor = Duration::from_millis(ticks * 10);
        Self { processor, memory: kilobytes("VmRSS:"), peak_memory: kilobytes("VmHWM:") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder for the files of a test, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ctnetlink-tools-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a file, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until a program listens at a UDP port.
pub fn until_bound(port: u16) {
    let wanted = format!(":{port:04X} ");
    until("a bound port", || {
        let files = ["udp", "udp6"].map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap());
        files.iter().flat_map(|file| file.lines()).any(|line| line.contains(&wanted))
    });
}

/// Waits until that many sockets listen to events.
pub fn until_listening(count: usize) {
    until("a listener", || {
        let sockets = fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let is_listener = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns[1] == "12" && columns[3] != "00000000"
        };
        sockets.lines().filter(is_listener).count() == count
    });
}
