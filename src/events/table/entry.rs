//! A flow of the table, read where it is kept.

use core::fmt;

use super::record::Record;
use crate::model::{Counters, Flow, FlowKey, Labels, Protocol, ProtocolInfo, Status, TcpState, Tuple};

/// A flow of a [`FlowTable`](super::FlowTable), read where it is kept.
///
/// Timeout, counters and window are those of the last message that told them.
#[derive(Clone, Copy)]
pub struct TableEntry<'a>(pub(super) &'a Record);

impl<'a> TableEntry<'a> {
    /// The tuple of packets from the initiator.
    #[must_use]
    pub const fn original(&self) -> &'a Tuple {
        &self.0.original
    }

    /// The tuple of the answers.
    #[must_use]
    pub const fn reply(&self) -> &'a Tuple {
        &self.0.reply
    }

    /// The layer 4 protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.0.original.protocol
    }

    /// The zone of both directions.
    #[must_use]
    pub const fn zone(&self) -> Option<u16> {
        self.0.zone
    }

    /// The kernel's identifier.
    #[must_use]
    pub const fn id(&self) -> Option<u32> {
        self.0.id
    }

    /// Status bits.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        self.0.status
    }

    /// The mark.
    #[must_use]
    pub const fn mark(&self) -> Option<u32> {
        self.0.mark
    }

    /// Seconds until the flow ends unless a packet comes, as the last message told them.
    #[must_use]
    pub const fn timeout(&self) -> Option<u32> {
        self.0.timeout
    }

    /// Packets and bytes from the initiator, as the last message told them: a dump, with accounting on.
    #[must_use]
    pub const fn counters_original(&self) -> Option<Counters> {
        self.0.counters_original
    }

    /// Packets and bytes of the answers, as the last message told them.
    #[must_use]
    pub const fn counters_reply(&self) -> Option<Counters> {
        self.0.counters_reply
    }

    /// Labels.
    #[must_use]
    pub fn labels(&self) -> Option<Labels> {
        self.0.labels()
    }

    /// State and parameters of TCP, SCTP or DCCP.
    #[must_use]
    pub fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.0.protocol_info()
    }

    /// The state of the TCP connection, if it is one and its state is known.
    #[must_use]
    pub fn tcp_state(&self) -> Option<TcpState> {
        self.protocol_info()?.tcp()?.state
    }

    /// The flow as a value, with all that is known of it.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        self.0.to_flow()
    }
}

impl fmt::Debug for TableEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_flow().fmt(f)
    }
}

impl From<TableEntry<'_>> for FlowKey {
    fn from(entry: TableEntry<'_>) -> Self {
        let key = Self::original(*entry.original());
        Self { zone: entry.zone(), id: entry.id(), ..key }
    }
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl From<TableEntry<'_>> for crate::client::UpdateTarget {
    fn from(entry: TableEntry<'_>) -> Self {
        let target = Self::from(FlowKey::from(entry));
        entry.status().map_or(target, |status| target.with_status(status))
    }
}
