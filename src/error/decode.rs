//! Bytes that do not hold what they should: what, in which attribute, and at which byte.

use core::fmt;

use crate::numbers::Nest;

/// Why a message could not be decoded, with the attribute it happened in and the byte it starts at.
///
/// Prints like `CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_SRC: length 3, expected 4 (byte 36)`.
///
/// # Example
///
/// ```
/// use ctnetlink::wire::Messages;
///
/// let error = Messages::new(&[0x14, 0, 0, 0, 0, 1]).next().unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "netlink message: 16 bytes needed, 6 left (byte 0)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    offset: u32,
    path: AttributePath,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A header or the length it gives runs past the end of what is there.
    Truncated {
        /// Bytes that the header, or the length in it, asks for.
        needed: u32,
        /// Bytes that are left.
        available: u32,
    },
    /// An attribute is shorter than its type.
    Length {
        /// Bytes of payload that the attribute has.
        actual: u16,
        /// Bytes of payload that its type takes.
        expected: u16,
    },
    /// An attribute that every such message has is not there.
    Missing,
    /// A value that cannot be: two address families in one tuple, text that is not UTF-8.
    Value(&'static str),
    /// A message of another type than the one asked for.
    MessageType(u16),
}

impl DecodeError {
    /// An error outside any attribute.
    #[cold]
    pub(crate) const fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { kind, offset: saturate(offset), path: AttributePath::EMPTY }
    }

    /// An error in the attribute `number` of `nest`, `offset` bytes into that nest.
    #[cold]
    pub(crate) fn in_attribute(kind: DecodeErrorKind, nest: Nest, number: u16, offset: usize) -> Self {
        Self::new(kind, offset).named(nest, number)
    }

    /// The same error seen from outside the attribute it happened in: one more name, and that many bytes further on.
    #[cold]
    pub(crate) fn within(self, nest: Nest, number: u16, payload_offset: usize) -> Self {
        self.moved(payload_offset).named(nest, number)
    }

    /// The same error, `bytes` further into the surrounding buffer.
    #[cold]
    pub(crate) const fn moved(mut self, bytes: usize) -> Self {
        self.offset = self.offset.saturating_add(saturate(bytes));
        self
    }

    fn named(mut self, nest: Nest, number: u16) -> Self {
        self.path.push_front(AttributeId::new(nest, number));
        self
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The byte at which the offending attribute or header starts, counted from the start of the datagram
    /// (of the message, where it was decoded alone).
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The attributes from the outermost to the offending one.
    #[must_use]
    pub const fn path(&self) -> AttributePath {
        self.path
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str("netlink message")?;
        } else {
            self.path.fmt(f)?;
        }
        match self.kind {
            DecodeErrorKind::Truncated { needed, available } => {
                write!(f, ": {needed} bytes needed, {available} left")?;
            }
            DecodeErrorKind::Length { actual, expected } => write!(f, ": length {actual}, expected {expected}")?,
            DecodeErrorKind::Missing => f.write_str(": missing")?,
            DecodeErrorKind::Value(what) => write!(f, ": {what}")?,
            DecodeErrorKind::MessageType(found) => write!(f, ": type {found:#06x} is not the one asked for")?,
        }
        write!(f, " (byte {})", self.offset)
    }
}

crate::macros::debug_as_display!(DecodeError);

impl core::error::Error for DecodeError {}

const fn saturate(offset: usize) -> u32 {
    if offset > u32::MAX as usize { u32::MAX } else { offset as u32 }
}

/// The way to an attribute: up to four names, outermost first.
///
/// The deepest way there is has four (`CTA_EXPECT_NAT > CTA_EXPECT_NAT_TUPLE > CTA_TUPLE_IP > CTA_IP_V4_SRC`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributePath {
    // Innermost first, so that a level is added without moving the others.
    reversed: [AttributeId; Self::DEPTH],
    length: u8,
}

impl AttributePath {
    const DEPTH: usize = 4;
    const EMPTY: Self = Self { reversed: [AttributeId(0); Self::DEPTH], length: 0 };

    fn push_front(&mut self, id: AttributeId) {
        if let Some(slot) = self.reversed.get_mut(usize::from(self.length)) {
            *slot = id;
            self.length += 1;
        }
    }

    /// Whether the error lies outside any attribute.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The nest and number of each attribute, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = (Nest, u16)> + '_ {
        self.reversed.iter().take(usize::from(self.length)).rev().map(|id| (id.nest(), id.number()))
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (nest, number)) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(" > ")?;
            }
            match nest.attribute_name(number) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "attribute {number}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttributePath({self})")
    }
}

/// A nest and a number in two bytes: five bits and eleven, which no known attribute needs all of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AttributeId(u16);

impl AttributeId {
    const NUMBER_BITS: u32 = 11;
    const NUMBER_MASK: u16 = (1 << Self::NUMBER_BITS) - 1;

    fn new(nest: Nest, number: u16) -> Self {
        Self(((nest as u16) << Self::NUMBER_BITS) | number.min(Self::NUMBER_MASK))
    }

    fn nest(self) -> Nest {
        let place = usize::from(self.0 >> Self::NUMBER_BITS);
        Nest::ALL.get(place).copied().unwrap_or(Nest::Flow)
    }

    const fn number(self) -> u16 {
        self.0 & Self::NUMBER_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers as wire;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_error_is_small_and_stays_so() {
        assert_eq!(size_of::<DecodeError>(), 40);
    }

    #[test]
    fn every_nest_fits_the_packed_identifier() {
        assert!(Nest::ALL.len() <= 32);
        for &nest in Nest::ALL {
            assert_eq!(AttributeId::new(nest, 7).nest(), nest);
        }
        assert_eq!(AttributeId::new(Nest::Flow, u16::MAX).number(), AttributeId::NUMBER_MASK);
    }

    #[test]
    fn the_path_reads_from_the_outside_in() {
        let error = DecodeError::in_attribute(
            DecodeErrorKind::Length { actual: 3, expected: 4 },
            Nest::TupleIp,
            wire::CTA_IP_V4_SRC,
            0,
        )
        .within(Nest::Tuple, wire::CTA_TUPLE_IP, 4)
        .within(Nest::Flow, wire::CTA_TUPLE_ORIG, 4)
        .moved(20);
        assert_eq!(error.to_string(), "CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_SRC: length 3, expected 4 (byte 28)");
    }
}
