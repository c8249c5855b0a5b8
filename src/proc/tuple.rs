//! Tuples: two addresses, and the ports, keys or query.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{error::Expected, scan::Cursor};
use crate::model::{Family, GreKeys, Layer4, Protocol, Tuple};

/// A tuple with its addresses as plain numbers.
///
/// An [`IpAddr`] stores its bytes unaligned, after a tag. If the parser built it, the copy of the line right after would
/// stall on those stores. So it is built when a caller asks for the tuple.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldTuple {
    source: u128,
    destination: u128,
    pub(super) layer4: Layer4,
}

impl FieldTuple {
    pub(super) const NONE: Self = Self { source: 0, destination: 0, layer4: Layer4::None };

    #[inline]
    pub(super) fn tuple(&self, family: Family, protocol: Protocol, zone: Option<u16>) -> Tuple {
        // Not `Tuple::new`: the family of the line counts, even for IPv6 addresses that contain an IPv4 address.
        Tuple {
            source: address(family, self.source),
            destination: address(family, self.destination),
            protocol,
            layer4: self.layer4,
            zone,
        }
    }

    /// Reads `A dst=B` and the ports, keys or query after it. Returns the text of the addresses.
    #[inline(always)]
    pub(super) fn read<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        family: Family,
        seen: AddressPair<'a>,
    ) -> Result<AddressPair<'a>, Expected> {
        let pair = self.read_addresses(cursor, family, b"dst=", seen)?;
        self.read_layer4(cursor)?;
        Ok(pair)
    }

    /// Reads two addresses, the second after the key `destination`.
    #[inline(always)]
    pub(super) fn read_addresses<'a, const N: usize>(
        &mut self,
        cursor: &mut Cursor<'a>,
        family: Family,
        destination: &[u8; N],
        seen: AddressPair<'a>,
    ) -> Result<AddressPair<'a>, Expected> {
        let source = Address::read(cursor, family, seen.destination)?;
        cursor.expect_next(destination, Expected::Destination)?;
        let destination = Address::read(cursor, family, seen.source)?;
        cursor.separate()?;
        self.source = source.bits;
        self.destination = destination.bits;
        Ok(AddressPair { source, destination })
    }

    /// Reads the ports, keys or query. The field names decide which, because a protocol may gain or lose its tracker.
    #[inline(always)]
    pub(super) fn read_layer4(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Expected> {
        if !cursor.eat(b"sport=") {
            return self.read_rarer_layer4(cursor);
        }
        let source = cursor.number(Expected::U16)?;
        cursor.expect_next(b"dport=", Expected::DestinationPort)?;
        let destination = cursor.number(Expected::U16)?;
        self.layer4 = Layer4::Ports { source, destination };
        cursor.separate()
    }

    #[inline(never)]
    fn read_rarer_layer4(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Expected> {
        if let Some(b' ' | b'\t') = cursor.peek() {
            cursor.skip_blanks();
            return self.read_layer4(cursor);
        }
        if cursor.eat(b"type=") {
            let icmp_type = cursor.number(Expected::U8)?;
            cursor.expect_next(b"code=", Expected::IcmpCode)?;
            let code = cursor.number(Expected::U8)?;
            cursor.expect_next(b"id=", Expected::IcmpId)?;
            let id = cursor.number(Expected::U16)?;
            self.layer4 = Layer4::Icmp { icmp_type, code, id };
        } else if cursor.eat(b"srckey=") {
            let source = cursor.hexadecimal()?;
            cursor.expect_next(b"dstkey=", Expected::DestinationKey)?;
            let destination = cursor.hexadecimal()?;
            self.layer4 = Layer4::Gre(GreKeys { source, destination });
        } else {
            self.layer4 = Layer4::None;
            return Ok(());
        }
        cursor.separate()
    }
}

/// The text of an address, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    text: &'a [u8],
    bits: u128,
}

/// Both addresses of a tuple. Without NAT the reply has the same two, swapped. If their text is equal, they are not parsed
/// again, which saves 13 % of the instructions of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressPair<'a> {
    source: Address<'a>,
    destination: Address<'a>,
}

impl AddressPair<'_> {
    pub(super) const NONE: Self = Self { source: Address::NONE, destination: Address::NONE };
}

impl<'a> Address<'a> {
    const NONE: Self = Self { text: &[], bits: 0 };

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>, family: Family, seen: Self) -> Result<Self, Expected> {
        let text = cursor.rest();
        if !seen.text.is_empty() && text.get(seen.text.len()) == Some(&b' ') && text.starts_with(seen.text) {
            cursor.skip(seen.text.len());
            return Ok(seen);
        }
        let bits = match family {
            Family::IPV6 => cursor.ipv6()?,
            _ => cursor.ipv4()?.into(),
        };
        let text = text.get(..text.len() - cursor.rest().len()).unwrap_or_default();
        Ok(Self { text, bits })
    }
}

/// The family of the next address: every IPv6 address contains a colon, and contains it before any dot.
pub(super) fn family_ahead(cursor: &Cursor<'_>) -> Family {
    match cursor.rest().iter().find(|byte| matches!(byte, b'.' | b':' | b' ' | b'\t')) {
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
