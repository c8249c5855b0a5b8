//! The fields of a line: any field as text, and the group of fields that is a tuple.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{error::Expected, scan::Cursor};
use crate::model::{Family, GreKeys, Layer4, Protocol, Tuple};

/// A field of a line, such as `mark=7`.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Field, Line};
///
/// let line = b"udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 [UNREPLIED] \
///              src=10.0.0.2 dst=10.0.0.1 sport=53 dport=40000 mark=7 use=1";
/// let line = Line::parse(line)?;
/// assert!(line.fields().any(|field| field == Field::Flag(b"UNREPLIED")));
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field<'a> {
    /// `key=value`.
    Value {
        /// The part before the equals sign.
        key: &'a [u8],
        /// The part after the equals sign.
        value: &'a [u8],
    },
    /// A field in brackets, without the brackets.
    Flag(&'a [u8]),
    /// A word without brackets or an equals sign.
    Word(&'a [u8]),
}

impl Field<'_> {
    /// Returns true if a [`Line`](super::Line) has an accessor for the field.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Value { key, .. } => matches!(
                *key,
                b"src"
                    | b"dst"
                    | b"sport"
                    | b"dport"
                    | b"type"
                    | b"code"
                    | b"id"
                    | b"srckey"
                    | b"dstkey"
                    | b"timeout"
                    | b"stream_timeout"
                    | b"packets"
                    | b"bytes"
                    | b"mark"
                    | b"secmark"
                    | b"secctx"
                    | b"zone"
                    | b"zone-orig"
                    | b"zone-reply"
                    | b"delta-time"
                    | b"use"
                    | b"helper"
                    | b"labels"
                    | b"portid"
                    | b"progname"
            ),
            Self::Flag(flag) => {
                matches!(*flag, b"UNREPLIED" | b"ASSURED" | b"OFFLOAD" | b"HW_OFFLOAD" | b"USERSPACE")
                    || flag.starts_with(b"start=")
                    || flag.starts_with(b"stop=")
            }
            Self::Word(word) => *word == b"labels",
        }
    }
}

impl fmt::Display for Field<'_> {
    /// Prints the field as in the line, with bytes other than printable ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { key, value } => write!(f, "{}={}", key.escape_ascii(), value.escape_ascii()),
            Self::Flag(flag) => write!(f, "[{}]", flag.escape_ascii()),
            Self::Word(word) => word.escape_ascii().fmt(f),
        }
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({self})")
    }
}

/// The fields of a line, in order. See [`Line::fields`](super::Line::fields).
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Field, Line};
///
/// let line = b"udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 [UNREPLIED] \
///              src=10.0.0.2 dst=10.0.0.1 sport=53 dport=40000 mark=7 use=1";
/// let line = Line::parse(line)?;
/// let last = line.fields().last();
/// assert_eq!(last, Some(Field::Value { key: b"use", value: b"1" }));
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(text) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.cursor.skip_blanks();
        if self.cursor.is_at_end() { None } else { Some(self.cursor.field()) }
    }
}

impl<'a> Cursor<'a> {
    /// Takes the next field and the blanks after it.
    pub(super) fn field(&mut self) -> Field<'a> {
        let field = if self.peek() == Some(b'[') { self.flag() } else { self.value_or_word() };
        self.skip_blanks();
        field
    }

    fn flag(&mut self) -> Field<'a> {
        self.skip(1);
        let flag = self.until(|byte| byte == b']');
        self.skip(1);
        Field::Flag(flag)
    }

    fn value_or_word(&mut self) -> Field<'a> {
        let mut ahead = *self;
        let key = ahead.until(|byte| matches!(byte, b'=' | b' ' | b'\t'));
        if ahead.peek() != Some(b'=') {
            *self = ahead;
            return Field::Word(key);
        }
        ahead.skip(1);
        *self = ahead;
        let value = match key {
            // The name of a process may contain spaces. It is the last field.
            b"progname" => self.until(|_| false),
            b"secctx" | b"labels" => self.phrase(),
            _ => self.word(),
        };
        Field::Value { key, value }
    }

    /// Takes words up to the next `key=` or flag. Names of AppArmor profiles and of labels may contain spaces.
    fn phrase(&mut self) -> &'a [u8] {
        let text = self.rest();
        self.word();
        loop {
            let mut ahead = *self;
            ahead.skip_blanks();
            if matches!(ahead.peek(), None | Some(b'[')) || ahead.word().contains(&b'=') {
                let length = text.len() - self.rest().len();
                return text.get(..length).unwrap_or_default();
            }
            *self = ahead;
        }
    }
}

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
