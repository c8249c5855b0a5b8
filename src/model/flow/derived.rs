//! What follows from the attributes of a flow.

use core::time::Duration;

use super::Flow;
use crate::model::{Counters, DccpState, Endpoint, SctpState, Status, TcpState, Timestamp, nat};

impl Flow {
    /// Where the source appears to be after translation: the end that answers are sent to. `None` where it is not
    /// translated.
    ///
    /// Told from the tuples, so that it is right for flows made by hand, whose status bits say nothing, and for ICMP,
    /// whose types differ by nature.
    #[must_use]
    pub fn source_translation(&self) -> Option<Endpoint> {
        nat::source_translation(&self.original, &self.reply)
    }

    /// Where packets go after translation: the end that answers. `None` where it is not translated.
    #[must_use]
    pub fn destination_translation(&self) -> Option<Endpoint> {
        nat::destination_translation(&self.original, &self.reply)
    }

    /// Whether the source is translated (address, port, or the identifier of an ICMP query).
    #[must_use]
    pub fn is_source_nat(&self) -> bool {
        self.source_translation().is_some()
    }

    /// Whether the destination is translated (address or port).
    #[must_use]
    pub fn is_destination_nat(&self) -> bool {
        self.destination_translation().is_some()
    }

    /// Whether packets were seen in both directions. `None` where the status is not known.
    #[must_use]
    pub fn has_seen_reply(&self) -> Option<bool> {
        self.has_status(Status::SEEN_REPLY)
    }

    /// Whether the flow is kept when the table is full. `None` where the status is not known.
    #[must_use]
    pub fn is_assured(&self) -> Option<bool> {
        self.has_status(Status::ASSURED)
    }

    /// Whether a flow table or hardware carries the flow past the tracker. `None` where the status is not known.
    #[must_use]
    pub fn is_offloaded(&self) -> Option<bool> {
        self.status.map(|status| status.intersects(Status::OFFLOAD | Status::HW_OFFLOAD))
    }

    fn has_status(&self, bits: Status) -> Option<bool> {
        self.status.map(|status| status.contains(bits))
    }

    /// Packets and bytes of both directions. `None` without accounting.
    #[must_use]
    pub fn total_counters(&self) -> Option<Counters> {
        match (self.counters_original, self.counters_reply) {
            (Some(original), Some(reply)) => Some(original + reply),
            (one, None) | (None, one) => one,
        }
    }

    /// How long the flow has lived: until its end, or until `now`. `None` without timestamps.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        let lifetime = self.lifetime?;
        Some(lifetime.stop.unwrap_or(now).since(lifetime.start?))
    }

    /// The state of the TCP connection, if it is one and its state is known.
    #[must_use]
    pub fn tcp_state(&self) -> Option<TcpState> {
        self.protocol_info?.tcp()?.state
    }

    /// The state of the SCTP association, if it is one and its state is known.
    #[must_use]
    pub fn sctp_state(&self) -> Option<SctpState> {
        self.protocol_info?.sctp()?.state
    }

    /// The state of the DCCP connection, if it is one and its state is known.
    #[must_use]
    pub fn dccp_state(&self) -> Option<DccpState> {
        self.protocol_info?.dccp()?.state
    }
}
