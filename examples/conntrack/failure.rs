//! Why a command ends early, and with which status.

use std::{fmt, io};

/// The reason to stop.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense: status 2.
    Usage(String),
    /// Something else: status 1.
    Failed(String),
    /// There was nothing to do it to, which the count has told already: status 1.
    Nothing,
    /// Whoever reads has seen enough: no failure.
    ClosedPipe,
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// The same with the place where it happened before it.
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
        }
    }
}

impl From<ctnetlink::Error> for Failure {
    fn from(error: ctnetlink::Error) -> Self {
        Self::Failed(format!("Operation failed: {error}"))
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
