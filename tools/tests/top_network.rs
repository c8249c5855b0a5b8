//! `top` in a terminal of tmux, with traffic in a network namespace.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/network.rs"]
mod network;

use std::{
    env, io,
    net::UdpSocket,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use ctnetlink_tools::top::in_terminal;
use network::{command, nft, run, sysctl, until};

const CASES: [(&str, fn()); 6] = [
    ("keys_change_the_screen", keys_change_the_screen),
    ("control_c_quits", || quits(|screen| screen.press("C-c"))),
    ("sigterm_quits", || quits(|screen| drop(run(&format!("kill {}", screen.program()))))),
    ("closed_terminal_ends_the_program", closed_terminal_ends_the_program),
    ("panic_restores_the_terminal", panic_restores_the_terminal),
    ("wrong_options_are_refused", wrong_options_are_refused),
];

/// Makes this program panic inside of the terminal instead of testing.
const PANIC: &str = "CTNETLINK_TOP_PANIC";

fn main() -> ExitCode {
    if env::var_os(PANIC).is_some() {
        let _: io::Result<()> = in_terminal(|_| panic!("on purpose"));
    }
    cases::run(3, CASES.map(|(name, test)| (name, &["tmux", "ip", "nft", "pgrep"][..], test)))
}

/// A terminal of 80 columns and 24 lines.
struct Screen {
    socket: String,
}

impl Screen {
    /// Runs a command line of the shell, and then prints its status.
    fn new(line: &str) -> Self {
        // A server that is about to end would take the next terminal with it.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let screen = Self { socket: format!("ctnetlink-top-{}-{number}", std::process::id()) };
        let line = format!("{line}; echo status $?; sleep 1000");
        screen.tmux(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &line]);
        screen
    }

    fn top(arguments: &str) -> Self {
        Self::new(&format!("{} {arguments}", env!("CARGO_BIN_EXE_top")))
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = command("tmux");
        tmux.env("LC_ALL", "C.UTF-8").env_remove("TMUX").args(["-L", &self.socket]).args(arguments);
        let output = tmux.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as expected, and returns it.
    fn until(&self, what: &str, is_expected: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let wait = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                text = self.text();
                is_expected(&text)
            });
        }));
        assert!(wait.is_ok(), "{what} did not happen:\n{text}");
        text
    }

    /// The process that runs in the terminal.
    fn program(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        run(&format!("pgrep -P {}", shell.trim())).trim().to_owned()
    }

    /// Checks that the program has ended, and that the terminal is as it was before.
    fn assert_restored(&self, status: &str) -> String {
        let text = self.until("the end", |text| text.contains("status "));
        assert!(text.contains(status), "{text}");
        let state = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]);
        assert_eq!(state.trim(), "0 1 0", "alternate screen, cursor, mouse");
        // In raw mode, the terminal would not echo.
        self.type_text("echoed");
        self.until("an echo", |text| text.contains("echoed"));
        text
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = command("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

/// Hosts that send to a server over loopback, from addresses and with sizes.
struct Talk {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Talk {
    fn begin() -> Self {
        sysctl("netfilter/nf_conntrack_acct", 1);
        nft("table inet t { chain c { type filter hook output priority 0; ct state new counter; }; }");
        let server = UdpSocket::bind("127.0.0.1:5000").unwrap();
        server.set_nonblocking(true).unwrap();
        let hosts = [("127.0.0.2:4000", 8000), ("127.0.0.3:4000", 1000), ("127.0.0.4:4000", 100)]
            .map(|(address, size)| (UdpSocket::bind(address).unwrap(), vec![0; size]));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let talk = move || {
            while !over.load(Ordering::Relaxed) {
                for (socket, data) in &hosts {
                    socket.send_to(data, "127.0.0.1:5000").unwrap();
                    let mut buffer = [0; 9000];
                    while server.recv_from(&mut buffer).is_ok() {}
                }
                thread::sleep(Duration::from_millis(10));
            }
        };
        Self { is_over, thread: Some(thread::spawn(talk)) }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// The names of the list, from top to bottom.
fn names(text: &str) -> Vec<&str> {
    text.lines()
        .skip(7)
        .map(|line| line.split("  ").next().unwrap_or(""))
        .filter(|name| name.contains("127."))
        .collect()
}

fn keys_change_the_screen() {
    let _talk = Talk::begin();
    let screen = Screen::top("--interval 0.5");
    let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let text = screen.until("the sources", |text| names(text) == hosts && text.contains("kB"));
    assert_eq!(text.lines().count(), 24, "{text}");
    assert!(text.starts_with("top  3 flows  "), "{text}");
    // The busiest has a full bar, and the graph has a column.
    assert!(text.lines().nth(7).unwrap().ends_with("████████"), "{text}");
    assert!(text.lines().skip(2).take(3).any(|line| line.contains('█')), "{text}");

    screen.press("2");
    screen.until("the destinations", |text| names(text) == ["127.0.0.1"]);
    screen.press("4");
    screen.until("the flows", |text| names(text)[0] == "udp 127.0.0.2:4000 > 127.0.0.1:5000");
    screen.press("1");

    screen.press("f");
    screen.type_text("src 127.0.0.3 or bytez");
    screen.until("the error", |text| text.lines().last().unwrap().contains("column 18: unknown keyword `bytez`"));
    (0..9).for_each(|_| screen.press("BSpace"));
    screen.press("Enter");
    screen.until("the filter", |text| names(text) == ["127.0.0.3"] && text.contains("src 127.0.0.3"));
    screen.until("a rate", |text| text.lines().nth(7).unwrap().contains("kB"));

    screen.press("p");
    let paused = screen.until("the pause", |text| text.contains("paused"));
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(screen.text(), paused);
    screen.press("p");
    screen.until("the end of the pause", |text| !text.contains("paused"));

    screen.press("v");
    screen.press("v");
    screen.until("no IPv6", |text| names(text).is_empty() && text.contains("IPv6"));
    screen.press("q");
    screen.assert_restored("status 0");
}

fn quits(by: fn(&Screen)) {
    let screen = Screen::top("");
    screen.until("the screen", |text| text.contains("1 sources"));
    by(&screen);
    let text = screen.assert_restored("status 0");
    assert!(!text.contains("sources"), "{text}");
}

fn closed_terminal_ends_the_program() {
    let screen = Screen::top("");
    screen.until("the screen", |text| text.contains("1 sources"));
    let process = format!("/proc/{}", screen.program());
    assert!(std::path::Path::new(&process).exists());
    drop(screen);
    until("the end", || !std::path::Path::new(&process).exists());
}

fn panic_restores_the_terminal() {
    let program = env::current_exe().unwrap();
    let screen = Screen::new(&format!("{PANIC}=1 {}", program.display()));
    let text = screen.assert_restored("status 101");
    assert!(text.contains("on purpose"), "{text}");
}

fn wrong_options_are_refused() {
    let top = |arguments: &[&str]| {
        let output = command(env!("CARGO_BIN_EXE_top")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (status, help) = top(&["--help"]);
    assert!(status == Some(0) && help.contains("--namespace") && help.contains("Ctrl-C"), "{help}");
    assert!(top(&["--interval", "0"]).1.contains("interval 0 is not within 0.1 to 3600 seconds"));
    let (status, text) = top(&["--filter", "prot tcp"]);
    assert!(status == Some(1) && text.contains("did you mean `proto`?"), "{text}");
    assert!(top(&["--namespace", "nowhere"]).1.contains("nowhere"));
}
