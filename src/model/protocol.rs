//! Layer 4 protocols.

use crate::macros::open_enum;

open_enum! {
    /// A layer 4 protocol, by its IP protocol number.
    ///
    /// The constants are the protocols for which some kernel since 4.19 has a tracker. The kernel tracks any other
    /// protocol by its addresses only. DCCP lost its tracker in Linux 6.17: since then its tuples have no ports.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Protocol;
    ///
    /// assert_eq!("udp".parse(), Ok(Protocol::UDP));
    /// assert_eq!((Protocol::UDP.to_string(), Protocol(200).to_string()), ("udp".into(), "200".into()));
    /// assert!(Protocol::UDP.has_ports());
    /// ```
    pub struct Protocol(u8) as "a protocol" {
        /// ICMP.
        #[doc(alias = "IPPROTO_ICMP")]
        ICMP = 1 => "icmp",
        /// TCP.
        #[doc(alias = "IPPROTO_TCP")]
        TCP = 6 => "tcp",
        /// UDP.
        #[doc(alias = "IPPROTO_UDP")]
        UDP = 17 => "udp",
        /// DCCP.
        #[doc(alias = "IPPROTO_DCCP")]
        DCCP = 33 => "dccp",
        /// GRE.
        #[doc(alias = "IPPROTO_GRE")]
        GRE = 47 => "gre",
        /// ICMPv6.
        #[doc(alias = "IPPROTO_ICMPV6")]
        ICMPV6 = 58 => "icmpv6",
        /// SCTP.
        #[doc(alias = "IPPROTO_SCTP")]
        SCTP = 132 => "sctp",
        /// UDP-Lite.
        #[doc(alias = "IPPROTO_UDPLITE")]
        UDPLITE = 136 => "udplite",
    }
}

impl Protocol {
    /// Whether a port is part of the protocol: TCP, UDP, UDP-Lite, SCTP, DCCP.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::UDPLITE | Self::SCTP | Self::DCCP)
    }

    /// Whether the protocol is ICMP or ICMPv6.
    #[must_use]
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6)
    }
}
