//! The relation of a packet to its flow, as nfnetlink_queue and nfnetlink_log report it.

use super::Direction;
use crate::macros::open_enum;

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
