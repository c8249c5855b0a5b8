//! Network namespaces, and programs that run in them.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket},
    },
    unistd::Pid,
};

/// How long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not happen in time");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Prepares a program, which may be in a folder that only root has in `PATH`.
pub fn command(program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders.iter().any(|folder| folder.join(program).exists())
}

/// Runs a command line that must succeed and returns its output.
pub fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = command(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Loads rules of nft.
pub fn nft(rules: &str) {
    let output = command("nft").arg(rules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a setting of the namespace of this thread.
pub fn sysctl(name: &str, value: u32) {
    fs::write(format!("/proc/sys/net/{name}"), value.to_string()).unwrap();
}

/// Moves this thread, and the programs that it starts, into a new namespace.
pub fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up");
}

/// Another namespace, which a sleeping process keeps alive.
pub struct Namespace(Program);

impl Namespace {
    pub fn new() -> Self {
        let ours = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let holder = Program::start(command("unshare").args(["--net", "sleep", "1000"]));
        until("a new namespace", || {
            fs::read_link(format!("/proc/{}/ns/net", holder.id())).is_ok_and(|theirs| theirs != ours)
        });
        Self(holder)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Runs something on a thread in this namespace. Sockets that it opens stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/proc/{}/ns/net", self.id())).unwrap();
        let enter_and_work = || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap())
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

    /// Sends SIGTERM and returns the rest of standard error.
    pub fn finish(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        text
    }

    /// The most memory that it has used, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Processor time so far.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let after_name = stat.rsplit(") ").next().unwrap();
        let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder for the files of a test, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("ctnetlink-tools-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until a program listens at a UDP port in the namespace of this thread.
pub fn until_bound(port: u16) {
    let wanted = format!(":{port:04X} ");
    until("a bound port", || {
        let files = ["udp", "udp6"].map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap());
        files.iter().flat_map(|file| file.lines()).any(|line| line.contains(&wanted))
    });
}

/// Waits until that many sockets listen to events in the namespace of this thread.
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

/// Connects over TCP, sends and receives that many bytes, and returns both ends.
pub fn tcp(
    client: &Namespace,
    server: &Namespace,
    [bind, target]: [&str; 2],
    [up, down]: [usize; 2],
) -> (TcpStream, TcpStream) {
    let listener = server.inside(|| TcpListener::bind(bind).unwrap());
    let mut here = client.inside(|| TcpStream::connect(target).unwrap());
    let (mut there, _) = listener.accept().unwrap();
    here.write_all(&vec![1; up]).unwrap();
    there.read_exact(&mut vec![0; up]).unwrap();
    there.write_all(&vec![2; down]).unwrap();
    here.read_exact(&mut vec![0; down]).unwrap();
    (here, there)
}

/// Exchanges datagrams over UDP, each answered by twice as many bytes.
pub fn udp(client: &Namespace, server: &Namespace, [bind, target]: [&str; 2], count: usize, size: usize) {
    let there = server.inside(|| UdpSocket::bind(bind).unwrap());
    let target: SocketAddr = target.parse().unwrap();
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let here = client.inside(|| UdpSocket::bind(any).unwrap());
    let mut buffer = vec![0; size * 2];
    for _ in 0..count {
        here.send_to(&buffer[..size], target).unwrap();
        let (_, from) = there.recv_from(&mut buffer).unwrap();
        there.send_to(&buffer, from).unwrap();
        here.recv_from(&mut buffer).unwrap();
    }
}

/// Sends an echo request and waits for the answer.
pub fn ping(client: &Namespace, target: &str) {
    let target: IpAddr = target.parse().unwrap();
    let (family, protocol, request) = match target {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0xe5, 0xcb, 0x12, 0x34, 0, 0]),
        // The kernel fills in the checksum of ICMPv6.
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0x12, 0x34, 0, 0]),
    };
    let socket = client.inside(|| socket(family, SockType::Raw, SockFlag::empty(), protocol).unwrap());
    let address = SockaddrStorage::from(SocketAddr::new(target, 0));
    sendto(socket.as_raw_fd(), &request, &address, MsgFlags::empty()).unwrap();
    // IPv4 packets start with their header.
    let (answer, header) = if target.is_ipv4() { (0, 20) } else { (129, 0) };
    let mut buffer = [0; 128];
    while recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap() <= header || buffer[header] != answer {}
}
