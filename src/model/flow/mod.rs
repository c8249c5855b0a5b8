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
/// | lifetime, if timestamps are on | start | | | start and stop |
/// | event time, if timestamps are on | | Linux 6.14 | Linux 6.14 | Linux 6.14 |
/// | helper | ✓ | ✓ | ✓ | |
/// | labels | if not empty | if changed | if changed | |
/// | security context | ✓ | if there is a secmark | if there is a secmark or it changed | |
/// | master | of an expected flow | of an expected flow | | |
/// | sequence adjustment | if adjusted | | if changed | |
/// | SYN proxy | ✓ | | if changed | |
/// | use count | ✓ | | | |
///
/// Source: `net/netfilter/nf_conntrack_netlink.c` of Linux 6.18, `ctnetlink_fill_info` and
/// `ctnetlink_conntrack_event`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Status, Tuple};
///
/// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// let mut flow = Flow::new(original, Tuple::udp("10.0.0.2:53".parse()?, "192.0.2.1:1024".parse()?));
/// flow.status = Some(Status::SEEN_REPLY);
/// let seen_as = flow.source_translation().expect("answers go to another address");
/// assert_eq!(seen_as.to_string(), "192.0.2.1:1024");
/// assert_eq!(flow.timeout, None); // not known, which is not 0
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Flow {
    /// The tuple of packets from the initiator, as they arrive (`CTA_TUPLE_ORIG`).
    pub original: Tuple,
    /// The tuple of the answers, as they arrive (`CTA_TUPLE_REPLY`): what [`original`](Self::original) is not the
    /// inverse of is translated.
    pub reply: Tuple,
    /// The zone of both directions (`CTA_ZONE`); `None` in the default zone, or where a direction has one of its own.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub zone: Option<u16>,
    /// Status bits (`CTA_STATUS`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub status: Option<Status>,
    /// Seconds until the flow ends unless a packet comes (`CTA_TIMEOUT`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub timeout: Option<u32>,
    /// The mark that rules and users put on flows (`CTA_MARK`; `ct mark` in nft).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub mark: Option<u32>,
    /// State and parameters of TCP, SCTP or DCCP (`CTA_PROTOINFO`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub protocol_info: Option<ProtocolInfo>,
    /// Packets and bytes from the initiator (`CTA_COUNTERS_ORIG`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub counters_original: Option<Counters>,
    /// Packets and bytes from the responder (`CTA_COUNTERS_REPLY`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub counters_reply: Option<Counters>,
    /// When the flow began and ended (`CTA_TIMESTAMP`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub lifetime: Option<Lifetime>,
    /// When the event happened (`CTA_TIMESTAMP_EVENT`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub event_time: Option<Timestamp>,
    /// The helper that looks into the flow (`CTA_HELP`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub helper: Option<Helper>,
    /// Label bits (`CTA_LABELS`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub labels: Option<Labels>,
    /// The security context, as the security module prints it (`CTA_SECCTX`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub security_context: Option<Box<str>>,
    /// The original tuple of the flow that expected this one (`CTA_TUPLE_MASTER`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub master: Option<Tuple>,
    /// How sequence numbers from the initiator are shifted (`CTA_SEQ_ADJ_ORIG`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub sequence_adjustment_original: Option<SequenceAdjustment>,
    /// How sequence numbers from the responder are shifted (`CTA_SEQ_ADJ_REPLY`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub sequence_adjustment_reply: Option<SequenceAdjustment>,
    /// The SYN proxy's numbers (`CTA_SYNPROXY`).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub synproxy: Option<Synproxy>,
    /// An opaque identifier, the same as long as the flow lives (`CTA_ID`). The kernel makes it of the tuple and of the
    /// flow's place in memory: the next flow of the same tuple has another unless it happens to be put in the same
    /// place.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub id: Option<u32>,
    /// How many references the kernel holds (`CTA_USE`; one less than `/proc/net/nf_conntrack` prints).
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
