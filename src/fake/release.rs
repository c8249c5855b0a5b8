//! Kernel versions: their differences and their helpers.

use core::time::Duration;

use crate::model::{Family, Protocol};

/// A kernel version, major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release(pub(super) u32, pub(super) u32);

impl Release {
    /// The version that the parity tests run on.
    pub(super) const DEFAULT: Self = Self(6, 18);

    /// A flush honors the family if the version in its header is not 0.
    pub(super) const FLUSH_FAMILY: Self = Self(5, 2);
    /// A dump filters by `CTA_FILTER`, and flags filtered entries.
    pub(super) const TUPLE_FILTER: Self = Self(5, 8);
    /// DESTROY events carry the timeout and the state.
    pub(super) const STATE_IN_DESTROY: Self = Self(5, 11);
    /// Dump and flush filter by status, and by a mark without a mask.
    pub(super) const STATUS_FILTER: Self = Self(5, 15);
    /// `nf_conntrack_events` is 2 by default.
    pub(super) const AUTOMATIC_EVENTS: Self = Self(5, 19);
    /// A fixed timeout cannot be changed, and a create with a helper sets `IPS_HELPER`.
    pub(super) const FIXED_TIMEOUT: Self = Self(6, 0);
    /// Dump and flush filter by zone.
    pub(super) const ZONE_FILTER: Self = Self(6, 8);
    /// A flush filters by `CTA_FILTER`.
    pub(super) const FLUSH_TUPLE_FILTER: Self = Self(6, 12);
    /// Events carry their time.
    pub(super) const EVENT_TIME: Self = Self(6, 14);
    /// DCCP is no longer tracked.
    pub(super) const NO_DCCP: Self = Self(6, 17);
    /// The attribute policy refuses states out of range, and an expectation has the helper of its master. These changes
    /// of spring 2026 are in the stable branches as well; this is the newest branch without them in its first release.
    pub(super) const RANGE_CHECKS: Self = Self(6, 18);
    /// UDP-Lite is no longer tracked.
    pub(super) const NO_UDPLITE: Self = Self(7, 1);

    /// The highest attribute number of a flow. The kernel skips attributes with higher numbers.
    pub(super) fn last_flow_attribute(self) -> u16 {
        use crate::wire::{CTA_FILTER, CTA_STATUS_MASK, CTA_SYNPROXY, CTA_TIMESTAMP_EVENT};
        match self {
            _ if self < Self::TUPLE_FILTER => CTA_SYNPROXY,
            _ if self < Self::STATUS_FILTER => CTA_FILTER,
            _ if self < Self::EVENT_TIME => CTA_STATUS_MASK,
            _ => CTA_TIMESTAMP_EVENT,
        }
    }
}

/// A helper and the limits of its expectations (`struct nf_conntrack_helper`).
#[derive(Debug)]
pub(super) struct KnownHelper {
    pub(super) name: &'static str,
    pub(super) protocols: &'static [Protocol],
    /// The family of its flows, or `UNSPEC` for any.
    family: Family,
    /// The number of expectations that a flow may have, for each class.
    pub(super) classes: &'static [usize],
    /// The lifetime of an expectation.
    pub(super) timeout: Duration,
}

const fn helper(
    name: &'static str,
    family: Family,
    protocols: &'static [Protocol],
    classes: &'static [usize],
    seconds: u64,
) -> KnownHelper {
    KnownHelper { name, protocols, family, classes, timeout: Duration::from_secs(seconds) }
}

const ANY: Family = Family::UNSPEC;
const TCP: &[Protocol] = &[Protocol::TCP];
const UDP: &[Protocol] = &[Protocol::UDP];

/// Source: `nf_conntrack_ftp.c` and its siblings in `net/netfilter`.
static HELPERS: &[KnownHelper] = &[
    helper("ftp", ANY, TCP, &[1], 300),
    helper("tftp", ANY, UDP, &[1], 300),
    helper("irc", Family::IPV4, TCP, &[8], 300),
    helper("sip", ANY, &[Protocol::UDP, Protocol::TCP], &[1, 4, 4, 2], 180),
    helper("amanda", ANY, UDP, &[3], 180),
    helper("pptp", Family::IPV4, TCP, &[2], 300),
    helper("sane", ANY, TCP, &[1], 300),
    helper("snmp", Family::IPV4, UDP, &[1], 30),
    helper("netbios-ns", Family::IPV4, UDP, &[1], 3),
    helper("RAS", ANY, UDP, &[32], 240),
    helper("Q.931", ANY, TCP, &[18], 240),
    helper("H.245", ANY, UDP, &[18], 240),
];

impl KnownHelper {
    /// Finds a helper for flows of a family and protocol.
    pub(super) fn find(name: &str, family: Family, protocol: Protocol) -> Option<&'static Self> {
        HELPERS.iter().find(|helper| {
            helper.name == name
                && (helper.family == Family::UNSPEC || helper.family == family)
                && helper.protocols.contains(&protocol)
        })
    }
}
