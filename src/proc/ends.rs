//! The two ends of one direction.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    error::Expected,
    scan::{Cursor, pack},
};
use crate::model::{Family, Layer4, Protocol, Tuple};

/// Addresses and what the protocol adds, as plain numbers.
///
/// An [`IpAddr`] has its bytes at odd places behind a tag: made while the line is read, and copied soon after, it
/// would be waited for. It is made when it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    source: u128,
    destination: u128,
    pub(super) layer4: Layer4,
}

impl Ends {
    pub(super) const NONE: Self = Self { source: 0, destination: 0, layer4: Layer4::None };

    #[inline]
    pub(super) fn tuple(&self, family: Family, protocol: Protocol, zone: Option<u16>) -> Tuple {
        let mut tuple = Tuple::new(protocol, address(family, self.source), address(family, self.destination));
        tuple.layer4 = self.layer4;
        tuple.zone = zone;
        tuple
    }

    /// Reads `A dst=B` and what follows of ports, keys or query.
    #[inline(always)]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, family: Family) -> Result<(), Expected> {
        self.read_addresses(cursor, family, b"dst=")?;
        self.read_layer4(cursor)
    }

    /// Reads two addresses, the second after the key `destination`.
    #[inline(always)]
    pub(super) fn read_addresses<const N: usize>(
        &mut self,
        cursor: &mut Cursor<'_>,
        family: Family,
        destination: &[u8; N],
    ) -> Result<(), Expected> {
        let read = |cursor: &mut Cursor<'_>| match family {
            Family::IPV6 => cursor.ipv6(),
            _ => cursor.ipv4().map(u128::from),
        };
        self.source = read(cursor)?;
        cursor.separate()?;
        cursor.expect(destination, Expected::Destination)?;
        self.destination = read(cursor)?;
        cursor.separate()
    }

    /// Reads what the protocol adds: told by the keys, since a protocol may gain or lose its tracker.
    #[inline(always)]
    pub(super) fn read_layer4(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Expected> {
        const SOURCE_PORT: u64 = pack(b"sport");
        const SOURCE_KEY: u64 = pack(b"srckey");
        const ICMP_TYPE: u64 = pack(b"type");

        let (key, length) = cursor.key();
        self.layer4 = match key {
            SOURCE_PORT => {
                cursor.skip(length + 1);
                let source = cursor.number(Expected::U16)?;
                cursor.separate()?;
                cursor.expect(b"dport=", Expected::DestinationPort)?;
                Layer4::Ports { source, destination: cursor.number(Expected::U16)? }
            }
            SOURCE_KEY => {
                cursor.skip(length + 1);
                let source = cursor.hexadecimal()?;
                cursor.separate()?;
                cursor.expect(b"dstkey=", Expected::DestinationKey)?;
                Layer4::Keys { source, destination: cursor.hexadecimal()? }
            }
            ICMP_TYPE => {
                cursor.skip(length + 1);
                let icmp_type = cursor.number(Expected::U8)?;
                cursor.separate()?;
                cursor.expect(b"code=", Expected::IcmpCode)?;
                let code = cursor.number(Expected::U8)?;
                cursor.separate()?;
                cursor.expect(b"id=", Expected::IcmpId)?;
                Layer4::Icmp { icmp_type, code, id: cursor.number(Expected::U16)? }
            }
            _ => {
                self.layer4 = Layer4::None;
                return Ok(());
            }
        };
        cursor.separate()
    }
}

/// The family of the address that comes next: a colon stands in every IPv6 address, and before any point.
pub(super) fn family_ahead(cursor: &Cursor<'_>) -> Family {
    match cursor.rest().iter().find(|byte| matches!(byte, b'.' | b':' | b' ')) {
        Some(b':') => Family::IPV6,
        _ => Family::IPV4,
    }
}

#[inline]
fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::IPV6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        _ => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
    }
}
