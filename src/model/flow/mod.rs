//! A flow: one entry of the connection tracking table.

mod decode;
mod derived;
mod encode;
mod view;

pub use view::FlowRef;

use super::{
    Counters, Family, Helper, Labels, Lifetime, ProtocolInfo, SequenceAdjustment, Status, Synproxy, Timestamp, Tuple,
};

/// One entry of the connection tracking table, or what an event tells of one.
///
/// A field is `None` where the message did not carry the attribute. What is there when:
///
/// | | dump, get | new | update | end |
/// |---|---|---|---|---|
/// | tuples, zone, status, id | ✓ | ✓ | ✓ | ✓ |
/// | timeout | ✓ unless offloaded | ✓ | ✓ | if not 0 |
/// | mark | ✓ | if not 0 | if not 0 or changed | if not 0 |
/// | protocol information | ✓ unless offloaded | ✓ | if changed | state alone |
/// | counters | if accounting is on | | | if accounting is on |
/// | lifetime | start | | | start and stop |
/// | event time | | Linux 6.14 | Linux 6.14 | Linux 6.14 |
/// | helper | ✓ | ✓ | ✓ | |
/// | labels | if not empty | if changed | if changed | |
/// | security context | ✓ | ✓ | ✓ | ✓ |
/// | master | of an expected flow | of an expected flow | | |
/// | sequence adjustment | if adjusted | | if changed | |
/// | SYN proxy | ✓ | | if changed | |
/// | use count | ✓ | | | |
///
/// Source: `net/netfilter/nf_conntrack_netlink.c` of Linux 6.18, `ctnetlink_fill_info` and
/// `ctnetlink_conntrack_event`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Flow {
    /// The tuple of packets from the initiator, as they arrive.
    pub original: Tuple,
    /// The tuple of the answers, as they arrive: what [`original`](Self::original) is not the inverse of is translated.
    pub reply: Tuple,
    /// The zone of both directions; `None` in the default zone, or where a direction has one of its own.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub zone: Option<u16>,
    /// Status bits.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub status: Option<Status>,
    /// Seconds until the flow ends unless a packet comes.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub timeout: Option<u32>,
    /// The mark that rules and users put on flows (`ct mark`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub mark: Option<u32>,
    /// State and parameters of TCP, SCTP or DCCP.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub protocol_info: Option<ProtocolInfo>,
    /// Packets and bytes from the initiator.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub counters_original: Option<Counters>,
    /// Packets and bytes from the responder.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub counters_reply: Option<Counters>,
    /// When the flow began and ended.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub lifetime: Option<Lifetime>,
    /// When the event happened.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub event_time: Option<Timestamp>,
    /// The helper that looks into the flow.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub helper: Option<Helper>,
    /// Label bits.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub labels: Option<Labels>,
    /// The security context, as the security module prints it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub security_context: Option<Box<str>>,
    /// The original tuple of the flow that expected this one.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub master: Option<Tuple>,
    /// How sequence numbers from the initiator are shifted.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub sequence_adjustment_original: Option<SequenceAdjustment>,
    /// How sequence numbers from the responder are shifted.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub sequence_adjustment_reply: Option<SequenceAdjustment>,
    /// The SYN proxy's numbers.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub synproxy: Option<Synproxy>,
    /// An opaque identifier, the same as long as the flow lives. The kernel makes it of the tuple and of the flow's place
    /// in memory: the next flow of the same tuple has another unless it happens to be put in the same place.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub id: Option<u32>,
    /// How many references the kernel holds (one less than `/proc/net/nf_conntrack` prints).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub use_count: Option<u32>,
}

impl Flow {
    /// A flow of two tuples, and nothing else known of it.
    #[must_use]
    pub const fn new(original: Tuple, reply: Tuple) -> Self {
        Self {
            original,
            reply,
            zone: None,
            status: None,
            timeout: None,
            mark: None,
            protocol_info: None,
            counters_original: None,
            counters_reply: None,
            lifetime: None,
            event_time: None,
            helper: None,
            labels: None,
            security_context: None,
            master: None,
            sequence_adjustment_original: None,
            sequence_adjustment_reply: None,
            synproxy: None,
            id: None,
            use_count: None,
        }
    }

    /// The layer 3 family, that of the original tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.original.family()
    }
}
