//! Commands over a Unix socket: a line in, text out.

use std::{
    error::Error,
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use nix::sys::stat::{Mode, umask};

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "used by the program alone")]
pub enum Command {
    /// Print the flows of this gateway.
    DumpInternal,
    /// Print the flows of the peer.
    DumpExternal,
    /// Print the expectations of this gateway.
    DumpInternalExpectations,
    /// Print the expectations of the peer.
    DumpExternalExpectations,
    /// Create the flows and expectations of the peer in the kernel.
    Commit,
    /// Forget the flows and expectations of the peer.
    Flush,
    /// Request the peer's table.
    Resync,
    /// Send the table to the peer.
    Bulk,
    /// Print counts.
    Statistics,
}

const COMMANDS: [(&str, Command); 9] = [
    ("dump internal", Command::DumpInternal),
    ("dump external", Command::DumpExternal),
    ("dump internal expectations", Command::DumpInternalExpectations),
    ("dump external expectations", Command::DumpExternalExpectations),
    ("commit", Command::Commit),
    ("flush", Command::Flush),
    ("resync", Command::Resync),
    ("bulk", Command::Bulk),
    ("stats", Command::Statistics),
];

/// The text is not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCommand(String);

impl fmt::Display for UnknownCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown command {:?}: expected ", self.0)?;
        for (place, (name, _)) in COMMANDS.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}

impl Error for UnknownCommand {}

impl FromStr for Command {
    type Err = UnknownCommand;

    fn from_str(text: &str) -> Result<Self, UnknownCommand> {
        let found = COMMANDS.iter().find(|(name, _)| *name == text);
        found.map(|(_, command)| *command).ok_or_else(|| UnknownCommand(text.into()))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(COMMANDS.iter().find(|(_, command)| command == self).map_or("", |(name, _)| name))
    }
}

/// How long a client may take to send its line, or to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients that may be about to send their lines.
const MOST_CLIENTS: usize = 64;
/// No command is longer.
const LONGEST_LINE: usize = 64;

/// A client whose line has not arrived completely.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    since: Instant,
}

/// The socket for commands. Only its owner may connect.
#[derive(Debug)]
pub(super) struct Commands {
    listener: UnixListener,
    clients: Vec<Client>,
    path: PathBuf,
}

impl Commands {
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            let message = format!("another program serves {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        // A socket that nobody serves is left over from a program that was killed.
        let _ = std::fs::remove_file(path);
        let mask = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(mask);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, clients: Vec::new(), path: path.into() })
    }

    /// Returns the descriptors that become readable when a client sends something.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.listener.as_fd()].into_iter().chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Answers the clients whose lines have arrived. Others must not hold up the link.
    pub(super) fn answer(&mut self, mut run: impl FnMut(Command) -> String) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < MOST_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, line: Vec::new(), since: Instant::now() });
            }
        }
        for client in std::mem::take(&mut self.clients) {
            match client.read() {
                Reading::Line(line, stream) => {
                    let command = line.trim_end().parse();
                    reply(stream, command.map_or_else(|error| format!("error: {error}\n"), &mut run));
                }
                Reading::Part(client) if client.since.elapsed() < PATIENCE => self.clients.push(client),
                Reading::Part(_) | Reading::Failed => {}
            }
        }
    }
}

/// The state of a client after everything was read that waits.
enum Reading {
    Line(String, UnixStream),
    Part(Client),
    Failed,
}

impl Client {
    fn read(mut self) -> Reading {
        let mut buffer = [0; LONGEST_LINE];
        loop {
            let is_complete = match self.stream.read(&mut buffer) {
                Ok(length) => {
                    self.line.extend(buffer.iter().take(length));
                    length == 0 || self.line.contains(&b'\n') || self.line.len() >= LONGEST_LINE
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Reading::Part(self),
                Err(_) => return Reading::Failed,
            };
            if is_complete {
                return Reading::Line(String::from_utf8_lossy(&self.line).into_owned(), self.stream);
            }
        }
    }
}

/// Sends an answer on a thread: a client that does not read must not hold up the link.
fn reply(mut stream: UnixStream, answer: String) {
    thread::spawn(move || {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let _ = stream.write_all(answer.as_bytes());
    });
}

impl Drop for Commands {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends a command to a running program and copies its answer to `output`. Returns whether the command succeeded.
///
/// # Errors
///
/// Fails if no program serves the socket, or the connection breaks.
pub fn send(path: &Path, command: Command, output: &mut impl Write) -> io::Result<bool> {
    let mut stream = UnixStream::connect(path)?;
    writeln!(stream, "{command}")?;
    let mut answer = BufReader::new(stream);
    let failed = answer.fill_buf()?.starts_with(b"error: ");
    io::copy(&mut answer, output)?;
    Ok(!failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_print_and_parse() {
        for (name, command) in COMMANDS {
            assert_eq!((command.to_string().as_str(), name.parse()), (name, Ok(command)));
        }
        let error = "dump".parse::<Command>().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "unknown command \"dump\": expected dump internal, dump external, dump internal expectations"
            ),
            "{error}"
        );
    }

    /// A machine that is busy may take a while to run the client.
    #[test]
    fn client_that_hesitates_is_answered_and_holds_up_nobody() {
        let path = std::env::temp_dir().join(format!("ctnetlink-conntrackd-slow-{}.sock", std::process::id()));
        let mut commands = Commands::listen(&path).unwrap();
        let mut slow = UnixStream::connect(&path).unwrap();
        slow.write_all(b"com").unwrap();
        let begun = Instant::now();
        commands.answer(|_| panic!("not a whole line"));
        assert!(begun.elapsed() < Duration::from_millis(100));
        let mut quick = UnixStream::connect(&path).unwrap();
        quick.write_all(b"flush\n").unwrap();
        commands.answer(|command| format!("{command}\n"));
        slow.write_all(b"mit\n").unwrap();
        commands.answer(|command| format!("{command}\n"));
        for (mut client, answer) in [(quick, "flush\n"), (slow, "commit\n")] {
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            assert_eq!(text, answer);
        }
        assert!(commands.clients.is_empty());
    }

    #[test]
    fn client_gets_the_answer() {
        let path = std::env::temp_dir().join(format!("ctnetlink-conntrackd-{}.sock", std::process::id()));
        let mut commands = Commands::listen(&path).unwrap();
        assert!(Commands::listen(&path).is_err());
        let client = {
            let path = path.clone();
            thread::spawn(move || {
                let mut text = Vec::new();
                let succeeded = send(&path, Command::Commit, &mut text).unwrap();
                (succeeded, String::from_utf8(text).unwrap())
            })
        };
        while !client.is_finished() {
            commands.answer(|command| format!("{command}: done\n"));
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.join().unwrap(), (true, "commit: done\n".into()));
        drop(commands);
        assert!(!path.exists());
    }
}
