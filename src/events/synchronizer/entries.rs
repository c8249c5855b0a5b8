//! The entries of a dump, from one connection or from threads.

#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
use crate::client::PartitionedDump;
use crate::{
    error::Error,
    exchange::{Connection, ReplyCursor, Transport},
    wire::RawMessage,
};

/// Where the entries of a dump come from.
#[derive(Debug)]
pub(super) enum Entries {
    Connection(ReplyCursor),
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    Threads(PartitionedDump),
}

impl Entries {
    /// The next entry, or `None` at the end. Only the connection of a transport that does not block waits as a future.
    pub(super) async fn next<'a, T: Transport>(
        &'a mut self,
        connection: &'a mut Connection<T>,
    ) -> Result<Option<RawMessage<'a>>, Error> {
        match self {
            Self::Connection(replies) => replies.next(connection).await,
            #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
            Self::Threads(dump) => dump.next_message(),
        }
    }

    /// Whether the next entry has to be waited for.
    pub(super) fn is_between_receives(&self) -> bool {
        match self {
            Self::Connection(replies) => replies.is_between_datagrams(),
            #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
            Self::Threads(dump) => dump.is_between_deliveries(),
        }
    }

    /// Whether threads receive them, for which no future can wait.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(super) const fn are_from_threads(&self) -> bool {
        matches!(self, Self::Threads(_))
    }

    /// Whether a thread has seen that the table was resized.
    pub(super) fn is_disturbed(&self) -> bool {
        match self {
            Self::Connection(_) => false,
            #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
            Self::Threads(dump) => dump.is_disturbed(),
        }
    }
}
