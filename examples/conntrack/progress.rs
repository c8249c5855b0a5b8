//! A counter on the terminal during long work.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Time between two updates of the counter.
const PATIENCE: Duration = Duration::from_millis(200);

/// A counter on the standard error, if that is a terminal.
pub struct Progress {
    what: &'static str,
    is_shown: bool,
    next: Instant,
    is_on_screen: bool,
}

impl Progress {
    /// `what` follows the number: "lines loaded".
    pub fn new(what: &'static str) -> Self {
        Self { what, is_shown: io::stderr().is_terminal(), next: Instant::now() + PATIENCE, is_on_screen: false }
    }

    /// For work that prints entries: on the same terminal, the entries show enough.
    pub fn beside_entries(what: &'static str) -> Self {
        let progress = Self::new(what);
        Self { is_shown: progress.is_shown && !io::stdout().is_terminal(), ..progress }
    }

    /// Shows the count if it is time for an update.
    pub fn show(&mut self, count: u64) {
        if self.is_shown && Instant::now() >= self.next {
            self.next = Instant::now() + PATIENCE;
            self.is_on_screen = true;
            let _ = write!(io::stderr(), "\r{count} {}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_on_screen {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
