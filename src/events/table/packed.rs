//! The parts of a tuple in few words, for records and keys.

use core::net::{IpAddr, Ipv4Addr};

use crate::model::{GreKeys, Layer4, Protocol, Tuple};

/// The part of a tuple after its addresses. Two numbers: a compiler keeps three in one register, and takes them apart again.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedLayer4 {
    /// The ports, or keys: the source in the upper half, and the destination. Or type, identifier and code of a query.
    pub(super) ends: u32,
    pub(super) class: Layer4Class,
}

/// The protocol in the upper byte, and the kind in the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer4Class(pub(super) u16);

/// The variants of [`Layer4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Layer4Kind {
    None,
    Ports,
    Gre,
    Icmp,
}

impl PackedLayer4 {
    #[inline]
    pub(super) fn new(tuple: &Tuple) -> Self {
        let pair = |source: u16, destination: u16| u32::from(source) << 16 | u32::from(destination);
        let (kind, ends) = match tuple.layer4 {
            Layer4::None => (Layer4Kind::None, 0),
            Layer4::Ports { source, destination } => (Layer4Kind::Ports, pair(source, destination)),
            Layer4::Gre(GreKeys { source, destination }) => (Layer4Kind::Gre, pair(source, destination)),
            // The identifier in the middle. Otherwise, the compiler reads type and code in one piece, which overlaps a port
            // of the other variants, and passes a key through memory: see `FlowTable::get`.
            Layer4::Icmp { icmp_type, code, id } => {
                (Layer4Kind::Icmp, u32::from(icmp_type) << 24 | u32::from(id) << 8 | u32::from(code))
            }
        };
        Self { ends, class: Layer4Class::new(tuple.protocol, kind) }
    }

    #[inline]
    pub(super) fn tuple(self, [source, destination]: [impl Into<IpAddr>; 2]) -> Tuple {
        let [first, second] = [(self.ends >> 16) as u16, self.ends as u16];
        let layer4 = match self.class.kind() {
            Layer4Kind::None => Layer4::None,
            Layer4Kind::Ports => Layer4::Ports { source: first, destination: second },
            Layer4Kind::Gre => Layer4::Gre(GreKeys { source: first, destination: second }),
            Layer4Kind::Icmp => {
                let [icmp_type, high, low, code] = self.ends.to_be_bytes();
                Layer4::Icmp { icmp_type, code, id: u16::from_be_bytes([high, low]) }
            }
        };
        let (source, destination) = (source.into(), destination.into());
        Tuple { source, destination, protocol: self.class.protocol(), layer4, zone: None }
    }
}

impl Layer4Class {
    #[inline]
    const fn new(protocol: Protocol, kind: Layer4Kind) -> Self {
        Self((protocol.0 as u16) << 8 | kind as u16)
    }

    #[inline]
    const fn protocol(self) -> Protocol {
        Protocol((self.0 >> 8) as u8)
    }

    #[inline]
    const fn kind(self) -> Layer4Kind {
        match self.0 & 3 {
            0 => Layer4Kind::None,
            1 => Layer4Kind::Ports,
            2 => Layer4Kind::Gre,
            _ => Layer4Kind::Icmp,
        }
    }
}

#[inline]
pub(super) const fn pack_v4(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    (source.to_bits() as u64) << 32 | destination.to_bits() as u64
}

#[inline]
pub(super) fn unpack_v4(addresses: u64) -> [Ipv4Addr; 2] {
    [(addresses >> 32) as u32, addresses as u32].map(Ipv4Addr::from_bits)
}
