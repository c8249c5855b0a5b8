//! The status bits of a flow, the relation of a packet to its flow, and the kinds of events.

use core::fmt;

use super::Direction;
use crate::{
    error::DecodeError,
    macros::{flag_text, open_enum},
    wire::Attribute,
};

bitflags::bitflags! {
    /// The status bits of a flow (`enum ip_conntrack_status`).
    ///
    /// A user may set [`SEEN_REPLY`](Self::SEEN_REPLY), [`ASSURED`](Self::ASSURED),
    /// [`FIXED_TIMEOUT`](Self::FIXED_TIMEOUT) and [`HELPER`](Self::HELPER), and may clear none. A request that changes
    /// `EXPECTED`, `CONFIRMED` or `DYING` fails with EBUSY. The kernel ignores changes of the other bits.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Status;
    ///
    /// let status: Status = "SEEN_REPLY,ASSURED".parse()?;
    /// assert_eq!(status, Status::SEEN_REPLY | Status::ASSURED);
    /// assert_eq!(Status::from_bits_retain(0x4000_0002).to_string(), "SEEN_REPLY,0x40000000");
    /// # Ok::<(), ctnetlink::ParseError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Status: u32 {
        /// The flow was expected by another, its master.
        #[doc(alias = "IPS_EXPECTED")]
        const EXPECTED = 1 << 0;
        /// Packets were seen in both directions.
        #[doc(alias = "IPS_SEEN_REPLY")]
        const SEEN_REPLY = 1 << 1;
        /// The kernel keeps the flow when the table is full.
        #[doc(alias = "IPS_ASSURED")]
        const ASSURED = 1 << 2;
        /// The flow is in the table.
        #[doc(alias = "IPS_CONFIRMED")]
        const CONFIRMED = 1 << 3;
        /// The source is translated.
        #[doc(alias = "IPS_SRC_NAT")]
        const SRC_NAT = 1 << 4;
        /// The destination is translated.
        #[doc(alias = "IPS_DST_NAT")]
        const DST_NAT = 1 << 5;
        /// Sequence numbers are adjusted, by a helper that changes the length of payloads.
        #[doc(alias = "IPS_SEQ_ADJUST")]
        const SEQ_ADJUST = 1 << 6;
        /// NAT of the source was decided, whether or not it is translated.
        #[doc(alias = "IPS_SRC_NAT_DONE")]
        const SRC_NAT_DONE = 1 << 7;
        /// NAT of the destination was decided, whether or not it is translated.
        #[doc(alias = "IPS_DST_NAT_DONE")]
        const DST_NAT_DONE = 1 << 8;
        /// The flow is being removed.
        #[doc(alias = "IPS_DYING")]
        const DYING = 1 << 9;
        /// Packets do not renew the timeout.
        #[doc(alias = "IPS_FIXED_TIMEOUT")]
        const FIXED_TIMEOUT = 1 << 10;
        /// A template of a rule, not a flow.
        #[doc(alias = "IPS_TEMPLATE")]
        const TEMPLATE = 1 << 11;
        /// The flow lost its tuple to another and is kept for the packet that made it (`UNTRACKED` before Linux 4.12).
        #[doc(alias = "IPS_NAT_CLASH")]
        #[doc(alias = "IPS_UNTRACKED")]
        const NAT_CLASH = 1 << 12;
        /// A helper was assigned by a rule or a user.
        #[doc(alias = "IPS_HELPER")]
        const HELPER = 1 << 13;
        /// A flow table forwards the flow past the tracker: it has no timeout and no state, and its counters stand still.
        #[doc(alias = "IPS_OFFLOAD")]
        const OFFLOAD = 1 << 14;
        /// Hardware forwards the flow.
        #[doc(alias = "IPS_HW_OFFLOAD")]
        const HW_OFFLOAD = 1 << 15;
        const _ = !0;
    }
}

impl Status {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.u32().map(Self::from_bits_retain)
    }
}

flag_text!(Status as "a status bit");

open_enum! {
    /// The relation of a packet to its flow (`enum ip_conntrack_info`; `ct state` in nft).
    ///
    /// nfnetlink_queue sends it as `NFQA_CT_INFO` beside the flow in `NFQA_CT`, nfnetlink_log as `NFULA_CT_INFO` beside
    /// `NFULA_CT`: 32 bits in network byte order. Decode the flow with
    /// [`FlowRef::from_attributes`](crate::FlowRef::from_attributes).
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{ConntrackInfo, Direction, wire::{AttributeSet, Attributes, Encoder}};
    ///
    /// const NFQA_CT_INFO: u16 = 12; // linux/netfilter/nfnetlink_queue.h
    ///
    /// let mut packet = [0; 8];
    /// let mut encoder = Encoder::new(&mut packet);
    /// encoder.u32(NFQA_CT_INFO, 3);
    /// encoder.finish()?;
    ///
    /// let attribute = Attributes::new(&packet, AttributeSet::Flow).find(NFQA_CT_INFO).expect("the kernel sent it");
    /// let info = ConntrackInfo(attribute.u32()?);
    /// assert_eq!(info, ConntrackInfo::ESTABLISHED_REPLY);
    /// assert_eq!(info.direction(), Some(Direction::Reply));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct ConntrackInfo(u32) as "a conntrack info" {
        /// The packet belongs to an established flow, original direction.
        #[doc(alias = "IP_CT_ESTABLISHED")]
        ESTABLISHED = 0 => "established",
        /// The packet is related to another flow (an ICMP error, or the first packet of an expected flow).
        #[doc(alias = "IP_CT_RELATED")]
        RELATED = 1 => "related",
        /// The packet begins a flow, or no reply has been seen yet.
        #[doc(alias = "IP_CT_NEW")]
        NEW = 2 => "new",
        /// The packet belongs to an established flow, reply direction.
        #[doc(alias = "IP_CT_ESTABLISHED_REPLY")]
        ESTABLISHED_REPLY = 3 => "established reply",
        /// The packet is related to another flow, reply direction.
        #[doc(alias = "IP_CT_RELATED_REPLY")]
        RELATED_REPLY = 4 => "related reply",
        /// The packet is exempt from tracking.
        #[doc(alias = "IP_CT_UNTRACKED")]
        UNTRACKED = 7 => "untracked",
    }
}

impl ConntrackInfo {
    /// Returns the direction of the packet. `None` if it is untracked or the value is unknown.
    #[must_use]
    pub const fn direction(self) -> Option<Direction> {
        match self {
            Self::ESTABLISHED | Self::RELATED | Self::NEW => Some(Direction::Original),
            Self::ESTABLISHED_REPLY | Self::RELATED_REPLY => Some(Direction::Reply),
            _ => None,
        }
    }
}

/// The kind of an event: a flow or an expectation is new, has changed, or was destroyed.
///
/// # Example
///
/// ```
/// assert_eq!(ctnetlink::EventKind::Destroy.to_string(), "destroy");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "the kernel has a group for each, and no fourth")]
pub enum EventKind {
    /// It entered the table.
    #[doc(alias = "NFCT_T_NEW")]
    New,
    /// It changed.
    #[doc(alias = "NFCT_T_UPDATE")]
    Update,
    /// It left the table.
    #[doc(alias = "NFCT_T_DESTROY")]
    Destroy,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Update => "update",
            Self::Destroy => "destroy",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_and_parse() {
        let status = Status::SEEN_REPLY | Status::ASSURED | Status::from_bits_retain(1 << 20);
        assert_eq!(status.to_string(), "SEEN_REPLY,ASSURED,0x100000");
        assert_eq!("seen_reply,ASSURED,0x100000".parse(), Ok(status));
        assert_eq!(Status::empty().to_string(), "UNSET");
        assert_eq!("UNSET".parse(), Ok(Status::empty()));
        assert!("ASURED".parse::<Status>().is_err());
        assert!("".parse::<Status>().is_err());
    }
}
