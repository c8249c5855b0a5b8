//! The reasons for which a command ends early, and their exit statuses.

use std::{fmt, io};

use ctnetlink::{ErrorKind, Operation};
use nix::sys::signal::Signal;

/// A reason to stop.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: status 2.
    Usage(String),
    /// Any other error: status 1.
    Failed(String),
    /// There was no entry to work on, as the count has reported: status 1.
    Nothing,
    /// The reader of the output is gone: status 0.
    ClosedPipe,
    /// A signal: status 128 and its number, as shells report it.
    Interrupted(Signal),
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// Puts the place of the error before the message.
    pub fn at(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{place}: {message}")),
            Self::Failed(message) => Self::Failed(format!("{place}: {message}")),
            other => other,
        }
    }

    pub const fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Nothing => 1,
            Self::ClosedPipe => 0,
            Self::Interrupted(signal) => 128 + *signal as u8,
        }
    }
}

impl From<ctnetlink::Error> for Failure {
    fn from(error: ctnetlink::Error) -> Self {
        // An update is also refused for the flow's own sake, which the error itself explains.
        let is_update = error.kernel().is_some_and(|refused| refused.operation() == Operation::UpdateFlow);
        match error.kind() {
            ErrorKind::PermissionDenied if !is_update => {
                Self::failed("Operation failed: needs CAP_NET_ADMIN (for a private namespace: `unshare -Urn`)")
            }
            _ => Self::Failed(format!("Operation failed: {error}")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::failed(error),
        }
    }
}
