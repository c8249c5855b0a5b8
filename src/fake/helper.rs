//! The helpers of the kernel.

use core::time::Duration;

use crate::model::{Family, Protocol};

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
