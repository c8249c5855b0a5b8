//! How far long work has come, for whoever watches.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How long work may take without a sign.
const PATIENCE: Duration = Duration::from_millis(200);

/// A line on the standard error that counts up; nothing where that is no terminal.
pub struct Progress {
    what: &'static str,
    is_shown: bool,
    next: Instant,
    is_on_screen: bool,
}

impl Progress {
    /// `what` stands behind the number: "lines loaded".
    pub fn new(what: &'static str) -> Self {
        Self { what, is_shown: io::stderr().is_terminal(), next: Instant::now() + PATIENCE, is_on_screen: false }
    }

    /// Of work that prints entries: on a terminal they show well enough how far it is.
    pub fn beside_entries(what: &'static str) -> Self {
        let progress = Self::new(what);
        Self { is_shown: progress.is_shown && !io::stdout().is_terminal(), ..progress }
    }

    /// Shows the count, if it is time.
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
