//! What the formats have in common: names, and which numbers of a tuple are shown.

use crate::{Layer4, Protocol, ProtocolInfo, Tuple};

/// The numbers that a tuple shows: which ones is a matter of its protocol, as in conntrack(8).
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    Ports { source: u16, destination: u16 },
    Keys { source: u16, destination: u16 },
    Query { icmp_type: u8, code: u8, id: u16 },
    None,
}

impl Numbers {
    /// What a tuple does not have shows as zero: ports of DCCP, for instance, on a kernel without its tracker.
    #[inline]
    pub(super) const fn of(tuple: &Tuple) -> Self {
        let (source, destination) = match tuple.layer4 {
            Layer4::Ports { source, destination } | Layer4::Keys { source, destination } => (source, destination),
            Layer4::Icmp { .. } | Layer4::None => (0, 0),
        };
        match tuple.protocol {
            Protocol::GRE => Self::Keys { source, destination },
            protocol if protocol.has_ports() => Self::Ports { source, destination },
            protocol if protocol.is_icmp() => match tuple.layer4 {
                Layer4::Icmp { icmp_type, code, id } => Self::Query { icmp_type, code, id },
                _ => Self::Query { icmp_type: 0, code: 0, id: 0 },
            },
            _ => Self::None,
        }
    }
}

/// The name of the state; `NONE` for one that conntrack 1.4.7 has no name for. `None` where the state is not known.
#[inline]
pub(super) fn state_name(info: &ProtocolInfo) -> Option<&'static str> {
    /// The last state in conntrack's table of each of the three protocols.
    const LAST: u8 = 9;
    let (number, name) = match info {
        ProtocolInfo::Tcp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Sctp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Dccp(info) => info.state.map(|state| (state.0, state.name()))?,
        ProtocolInfo::Unknown => return None,
    };
    Some(name.filter(|_| number <= LAST).unwrap_or("NONE"))
}
