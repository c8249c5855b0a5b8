//! What a listener listens to.

bitflags::bitflags! {
    /// The multicast groups of events (`enum nfnetlink_groups`), as the bits of a netlink address.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EventGroups: u32 {
        /// New flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_NEW")]
        const NEW = 1 << 0;
        /// Changes of flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_UPDATE")]
        const UPDATE = 1 << 1;
        /// Ends of flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_DESTROY")]
        const DESTROY = 1 << 2;
        /// New expectations.
        #[doc(alias = "NFNLGRP_CONNTRACK_EXP_NEW")]
        const EXPECTATION_NEW = 1 << 3;
        /// Ends of expectations. (The kernel has a group for changes of expectations, and never sends to it.)
        #[doc(alias = "NFNLGRP_CONNTRACK_EXP_DESTROY")]
        const EXPECTATION_DESTROY = 1 << 5;
        /// Everything that happens to flows.
        const FLOWS = Self::NEW.bits() | Self::UPDATE.bits() | Self::DESTROY.bits();
        /// Everything that happens to expectations.
        const EXPECTATIONS = Self::EXPECTATION_NEW.bits() | Self::EXPECTATION_DESTROY.bits();
    }
}
