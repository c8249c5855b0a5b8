//! Errors of decoding, encoding and reading text.

use core::fmt;

use crate::wire::AttributeSet;

/// The reason why a message could not be decoded, with the offending attribute and its first byte.
///
/// Prints like `CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_SRC: expected 4 bytes, found 3 (byte 36)`.
///
/// # Example
///
/// ```
/// use ctnetlink::wire::Messages;
///
/// let error = Messages::new(&[0x14, 0, 0, 0, 0, 1]).next().unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "netlink message: expected 16 bytes, found 6 (byte 0)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    offset: u32,
    path: AttributePath,
}

/// The kind of a [`DecodeError`].
///
/// # Example
///
/// ```
/// use ctnetlink::{DecodeErrorKind, wire::Messages};
///
/// let error = Messages::new(&[0x14, 0, 0, 0, 0, 1]).next().unwrap().unwrap_err();
/// assert_eq!(error.kind(), DecodeErrorKind::Truncated { needed: 16, available: 6 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A header, or the length in it, exceeds the bytes that are left.
    Truncated {
        /// Bytes that the header, or the length in it, requires.
        needed: u32,
        /// Bytes that are left.
        available: u32,
    },
    /// An attribute is shorter than its type requires.
    Length {
        /// Bytes of payload in the attribute.
        actual: u16,
        /// Bytes of payload that its type requires.
        expected: u16,
    },
    /// A mandatory attribute is missing.
    Missing,
    /// A value is not valid: two address families in one tuple, text that is not UTF-8.
    Value(&'static str),
    /// The message has another type than the caller decodes.
    MessageType(u16),
}

impl DecodeError {
    /// An error outside any attribute.
    #[cold]
    pub(crate) const fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { kind, offset: saturate(offset), path: AttributePath::EMPTY }
    }

    /// An error in the attribute `number`, which starts `offset` bytes into `nest`.
    #[cold]
    pub(crate) fn in_attribute(kind: DecodeErrorKind, nest: AttributeSet, number: u16, offset: usize) -> Self {
        Self::new(kind, offset).named(nest, number)
    }

    /// Adds the enclosing attribute to the path, and the offset of its payload to the offset.
    #[cold]
    pub(crate) fn within(self, nest: AttributeSet, number: u16, payload_offset: usize) -> Self {
        self.moved(payload_offset).named(nest, number)
    }

    /// Adds `bytes` to the offset.
    #[cold]
    pub(crate) const fn moved(mut self, bytes: usize) -> Self {
        self.offset = self.offset.saturating_add(saturate(bytes));
        self
    }

    fn named(mut self, nest: AttributeSet, number: u16) -> Self {
        self.path.push_front(AttributeId::new(nest, number));
        self
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Returns the first byte of the offending attribute or header.
    ///
    /// It counts from the start of the datagram, or from the start of the bytes if they were decoded without one.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Returns the attributes from the outermost to the offending one.
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
                write!(f, ": expected {needed} bytes, found {available}")?;
            }
            DecodeErrorKind::Length { actual, expected } => {
                write!(f, ": expected {expected} bytes, found {actual}")?;
            }
            DecodeErrorKind::Missing => f.write_str(": missing")?,
            DecodeErrorKind::Value(what) => write!(f, ": {what}")?,
            DecodeErrorKind::MessageType(found) => write!(f, ": message type {found:#06x} is not the expected one")?,
        }
        write!(f, " (byte {})", self.offset)
    }
}

super::kernel::debug_as_display!(DecodeError);

impl core::error::Error for DecodeError {}

const fn saturate(offset: usize) -> u32 {
    if offset > u32::MAX as usize { u32::MAX } else { offset as u32 }
}

/// The path to an attribute: up to four names, outermost first.
///
/// The deepest path has four (`CTA_EXPECT_NAT > CTA_EXPECT_NAT_TUPLE > CTA_TUPLE_IP > CTA_IP_V4_SRC`).
///
/// # Example
///
/// ```
/// use ctnetlink::{DecodeError, Family, FlowRef, wire::AttributeSet};
///
/// // CTA_TUPLE_ORIG with a CTA_TUPLE_IP whose address has three bytes.
/// let bytes = [16, 0, 1, 0x80, 12, 0, 1, 0x80, 7, 0, 1, 0, 10, 0, 0, 0];
/// let error: DecodeError = FlowRef::from_attributes(Family::IPV4, &bytes).unwrap_err();
/// assert_eq!(error.path().to_string(), "CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_SRC");
/// assert_eq!(error.path().iter().next(), Some((AttributeSet::Flow, 1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributePath {
    // Innermost first: adding a level moves nothing.
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

    /// Returns true if the error lies outside any attribute.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Iterates over the nest and number of each attribute, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = (AttributeSet, u16)> + '_ {
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

/// A nest and a number in two bytes: five bits and eleven, more than any known attribute needs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AttributeId(u16);

impl AttributeId {
    const NUMBER_BITS: u32 = 11;
    const NUMBER_MASK: u16 = (1 << Self::NUMBER_BITS) - 1;

    fn new(nest: AttributeSet, number: u16) -> Self {
        Self(((nest as u16) << Self::NUMBER_BITS) | number.min(Self::NUMBER_MASK))
    }

    fn nest(self) -> AttributeSet {
        let place = usize::from(self.0 >> Self::NUMBER_BITS);
        AttributeSet::ALL.get(place).copied().unwrap_or(AttributeSet::Flow)
    }

    const fn number(self) -> u16 {
        self.0 & Self::NUMBER_MASK
    }
}

/// The reason why a message could not be encoded.
///
/// # Example
///
/// ```
/// use ctnetlink::{EncodeError, wire::Encoder};
///
/// let mut encoder = Encoder::new(&mut []);
/// encoder.u32(1, 7);
/// let error = encoder.finish().unwrap_err();
/// assert_eq!(error, EncodeError::BufferTooSmall { needed: 8 });
/// assert_eq!(error.to_string(), "the buffer is too small: expected 8 bytes or more");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small. The same call succeeds with `needed` bytes.
    BufferTooSmall {
        /// Bytes that the encoded data takes.
        needed: usize,
    },
    /// An attribute or a nest exceeds the 65,535 bytes that its header can express.
    AttributeTooLong {
        /// The attribute's number in its nest.
        attribute: u16,
        /// The length that its header would have to express.
        length: usize,
    },
    /// The kernel would refuse or misread a value. Nothing was sent.
    Value(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => write!(f, "the buffer is too small: expected {needed} bytes or more"),
            Self::AttributeTooLong { attribute, length } => {
                write!(f, "attribute {attribute} takes {length} bytes: expected at most 65535")
            }
            Self::Value(what) => f.write_str(what),
        }
    }
}

super::kernel::debug_as_display!(EncodeError);

impl core::error::Error for EncodeError {}

/// The reason why text is not a value of the requested type.
///
/// # Example
///
/// ```
/// let error = "ESTABLISHD".parse::<ctnetlink::TcpState>().unwrap_err();
/// assert_eq!(error.to_string(), "expected a TCP state, found `ESTABLISHD`");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The expected value, with an article: "a TCP state".
    expected: &'static str,
    found: Box<str>,
}

impl ParseError {
    /// The number of characters of the text that are kept.
    const LONGEST: usize = 64;

    /// Creates the error. Text that is too long is cut.
    #[cold]
    pub(crate) fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(Self::LONGEST).collect() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found ", self.expected)?;
        match self.found.is_empty() {
            true => f.write_str("nothing"),
            // Control characters are escaped: they could drive a terminal.
            false => write!(f, "`{}`", self.found.escape_debug()),
        }
    }
}

super::kernel::debug_as_display!(ParseError);

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn decode_error_takes_40_bytes() {
        assert_eq!(size_of::<DecodeError>(), 40);
    }

    #[test]
    fn packed_identifier_holds_every_nest() {
        assert!(AttributeSet::ALL.len() <= 32);
        for &nest in AttributeSet::ALL {
            assert_eq!(AttributeId::new(nest, 7).nest(), nest);
        }
        assert_eq!(AttributeId::new(AttributeSet::Flow, u16::MAX).number(), AttributeId::NUMBER_MASK);
    }

    #[test]
    fn path_prints_the_outermost_attribute_first() {
        let error = DecodeError::in_attribute(
            DecodeErrorKind::Length { actual: 3, expected: 4 },
            AttributeSet::TupleIp,
            wire::CTA_IP_V4_SRC,
            0,
        )
        .within(AttributeSet::Tuple, wire::CTA_TUPLE_IP, 4)
        .within(AttributeSet::Flow, wire::CTA_TUPLE_ORIG, 4)
        .moved(20);
        assert_eq!(
            error.to_string(),
            "CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_SRC: expected 4 bytes, found 3 (byte 28)"
        );
    }
    #[test]
    fn parse_error_bounds_and_escapes_the_text() {
        assert_eq!(ParseError::new("a label", "").to_string(), "expected a label, found nothing");
        assert_eq!(ParseError::new("a label", "\u{1b}[2J").to_string(), "expected a label, found `\\u{1b}[2J`");
        assert!(ParseError::new("a label", &"x".repeat(1000)).to_string().len() < 100);
    }
}
