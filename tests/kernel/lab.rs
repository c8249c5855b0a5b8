//! What a test stands on: its namespace, the tools in it, and traffic.

mod need;

use std::{
    env, fs, io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{Client, Flow, Tuple};
use libtest_mimic::{Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    thread::CapabilitiesSecureBits,
};

pub use self::need::Need;

/// A test: its name, what it needs, and what it does.
pub struct Case {
    pub name: &'static str,
    pub needs: &'static [Need],
    pub run: fn(&Lab),
}

/// Declares the cases of an area: `test_name`, or with tools and other needs, `test_name: "tool", "tool", ProcFile`.
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

/// Whether tests can be run here, and whether they have to.
pub struct Laboratory {
    closed: Option<String>,
    required: bool,
}

impl Laboratory {
    /// Makes the process able to create network namespaces, and tries the kernel in one. Must come before any thread.
    pub fn open() -> Self {
        let closed = become_root_of_a_namespace().and_then(|()| try_kernel()).err();
        Self { closed, required: env::var_os("CTNETLINK_KERNEL").is_some_and(|value| value == "required") }
    }

    pub fn trial(&self, area: &str, case: &'static Case) -> Trial {
        let name = format!("{area}::{}", case.name);
        match self.closed.clone().or_else(|| missing(case.needs)) {
            None => Trial::test(name, move || run(case.run)),
            Some(reason) if self.required => Trial::test(name, move || Err(Failed::from(reason))),
            Some(reason) => Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true),
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
    thread::spawn(attempt).join().unwrap_or_else(|_| Err("the kernel could not be tried".into()))
}

fn drop_flow<T>(flow: Result<T, ctnetlink::Error>) -> Result<(), ctnetlink::Error> {
    flow.map(drop)
}

fn missing(needs: &[Need]) -> Option<String> {
    let missing = needs.iter().find(|need| !need.is_met())?;
    Some(format!("needs {missing}"))
}

fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let target = test.parent().and_then(|deps| deps.parent()).expect("the target directory");
    target.join("examples").join(name)
}

/// Runs a test on a thread of its own, which a namespace of its own is left with.
fn run(test: fn(&Lab)) -> Result<(), Failed> {
    let body = move || test(&Lab::enter());
    thread::spawn(body).join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Failed::from(text.unwrap_or("the test panicked"))
    })
}

/// A network namespace with nothing in it, in which this thread and the commands that it starts are.
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

    /// Runs `work` in this namespace on a thread that has no capability in it, and neither have the programs that it
    /// starts.
    ///
    /// A user namespace of its own gives a thread all capabilities there and takes them here: that takes a process of
    /// its own, so that dropping them does instead.
    pub fn without_capabilities(&self, work: impl FnOnce() + Send) {
        let drop_and_work = || {
            // Or a program that it starts would have them all again, as the user is root.
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_ROOT).expect("CAP_SETPCAP");
            rustix::thread::set_capabilities(None, none()).expect("capabilities can always be dropped");
            work();
        };
        on_a_thread(drop_and_work);
    }

    /// Runs `work` in this namespace on a thread of another user, who has no capability either.
    pub fn as_nobody(&self, work: impl FnOnce() + Send) {
        let become_and_work = || {
            become_nobody().expect("CAP_SETUID");
            work();
        };
        on_a_thread(become_and_work);
    }

    /// Runs a command that has to succeed, and gives what it prints.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        command(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// The binary of an example of this crate.
    pub fn example(&self, name: &str) -> String {
        let path = example(name);
        assert!(path.exists(), "{} is not built: `cargo test` or `cargo build --examples` builds it", path.display());
        path.to_str().expect("a path that is text").to_owned()
    }

    /// Brings up loopback and has the kernel track what passes it.
    pub fn track_loopback(&self) {
        self.run("ip", &["link", "set", "lo", "up"]);
        self.nft("table inet lab { chain output { type filter hook output priority 0; ct state new counter; }; }");
    }

    /// Lets flows have labels, for which the kernel has room as long as some rule uses them.
    pub fn allow_labels(&self) {
        self.nft("table ip lab { chain c { ct label set 1; }; }");
    }

    pub fn nft(&self, rules: &str) {
        self.run("nft", &[rules]);
    }

    /// Every flow of the namespace.
    pub fn flows(&self) -> Vec<Flow> {
        self.client().dump().expect("a dump").into_iter().collect::<Result<_, _>>().expect("flows")
    }

    /// The one flow whose original tuple is this.
    pub fn flow(&self, original: Tuple) -> Flow {
        let flows = self.flows();
        flows
            .iter()
            .find(|flow| flow.original == original)
            .cloned()
            .unwrap_or_else(|| panic!("{original:?} in {flows:#?}"))
    }

    /// Changes a setting that is the namespace's own: some belong to the initial one.
    pub fn sysctl(&self, setting: ctnetlink::sysctl::Sysctl, value: u32) {
        setting.write(value).expect("a setting of this namespace");
    }

    /// A TCP connection over loopback, open at both ends.
    pub fn tcp(&self, address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (server, _) = listener.accept().expect("the other end");
        (client, server)
    }

    /// A UDP packet and its answer over loopback.
    pub fn udp(&self, address: &str) -> (SocketAddr, SocketAddr) {
        let server = UdpSocket::bind(address).expect("a socket");
        let client = UdpSocket::bind(SocketAddr::new(server.local_addr().unwrap().ip(), 0)).expect("a socket");
        let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
        let mut buffer = [0; 16];
        client.send_to(b"ask", there).expect("sent");
        server.recv_from(&mut buffer).expect("received");
        server.send_to(b"answer", here).expect("sent");
        client.recv_from(&mut buffer).expect("received");
        (here, there)
    }

    /// An echo request to a loopback address; the kernel answers.
    pub fn ping(&self, address: IpAddr) {
        use nix::sys::socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket,
        };
        let (family, protocol, request) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0xe5, 0xcb, 0x12, 0x34, 0, 0]),
            // The kernel fills in the checksum of ICMPv6.
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0x12, 0x34, 0, 0]),
        };
        let socket = socket(family, SockType::Raw, SockFlag::empty(), protocol).expect("a raw socket");
        let target = SockaddrStorage::from(SocketAddr::new(address, 0));
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        sendto(fd, &request, &target, MsgFlags::empty()).expect("sent");
        // Both the request and its answer come in here; IPv4 has its header before them.
        let (answer, header) = if address.is_ipv4() { (0, 20) } else { (129, 0) };
        let mut buffer = [0; 128];
        while recv(fd, &mut buffer, MsgFlags::empty()).expect("received") <= header || buffer[header] != answer {}
    }
}

/// A command, which may be one that only root has in its path.
pub fn command(program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

fn on_a_thread(work: impl FnOnce() + Send) {
    let result = thread::scope(|scope| scope.spawn(work).join());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Of this thread alone, where what libc offers is of the whole process.
fn become_nobody() -> rustix::io::Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};
    const NOBODY: u32 = 65_534;
    // The group as well: it may read what is root's.
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(NOBODY))?;
    set_thread_uid(Uid::from_raw(NOBODY))
}

/// How long a test waits for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether there is something to read before the time is over, be it the end.
pub fn is_readable(source: &impl AsFd, within: Duration) -> bool {
    let within = Timespec::try_from(within).expect("a time that the kernel can wait");
    poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&within)).expect("a poll") > 0
}

fn none() -> rustix::thread::CapabilitySets {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let empty = CapabilitySet::empty();
    CapabilitySets { effective: empty, permitted: empty, inheritable: empty }
}
