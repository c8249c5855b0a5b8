//! A nest as an iterator of attributes.

use byteorder::{ByteOrder, NativeEndian, NetworkEndian};

use super::{
    AttributeSet,
    header::{ATTRIBUTE_HEADER_LENGTH, NESTED, NUMBER_MASK, align, header, read_header},
};
use crate::error::{DecodeError, DecodeErrorKind};

/// One attribute: its number, and its payload borrowed from the datagram.
///
/// The readers take the first bytes of the payload and leave what a newer kernel may have added behind them.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    payload: &'a [u8],
    position: u32,
    kind: u16,
    nest: AttributeSet,
}

impl<'a> Attribute<'a> {
    /// The number, to be looked up in the table of the [`nest`](Self::nest).
    #[must_use]
    #[inline]
    pub const fn number(self) -> u16 {
        self.kind & NUMBER_MASK
    }

    /// The nest that the attribute stands in.
    #[must_use]
    pub const fn nest(self) -> AttributeSet {
        self.nest
    }

    /// The C name, where the number is known.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        self.nest.attribute_name(self.number())
    }

    /// Whether the sender marked the payload as a nest (`NLA_F_NESTED`); kernels before 5.2 did not.
    #[must_use]
    pub const fn is_nested(self) -> bool {
        self.kind & NESTED != 0
    }

    /// The payload, without padding.
    #[must_use]
    #[inline]
    pub const fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// Where the attribute's header starts within its nest.
    #[must_use]
    #[inline]
    pub const fn position(self) -> usize {
        self.position as usize
    }

    /// The first `N` bytes of the payload.
    ///
    /// # Errors
    ///
    /// [`Length`](DecodeErrorKind::Length) where the payload is shorter.
    #[inline(always)]
    pub fn array<const N: usize>(self) -> Result<&'a [u8; N], DecodeError> {
        match self.payload.first_chunk() {
            Some(bytes) => Ok(bytes),
            None => Err(self.too_short(N)),
        }
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// [`Length`](DecodeErrorKind::Length) where the payload is shorter; likewise for the other readers.
    #[inline(always)]
    pub fn u8(self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// 16 bits in network order.
    ///
    /// # Errors
    ///
    /// As [`u8`](Self::u8).
    #[inline(always)]
    pub fn u16(self) -> Result<u16, DecodeError> {
        self.array::<2>().map(|bytes| NetworkEndian::read_u16(bytes))
    }

    /// 32 bits in network order.
    ///
    /// # Errors
    ///
    /// As [`u8`](Self::u8).
    #[inline(always)]
    pub fn u32(self) -> Result<u32, DecodeError> {
        self.array::<4>().map(|bytes| NetworkEndian::read_u32(bytes))
    }

    /// 64 bits in network order.
    ///
    /// # Errors
    ///
    /// As [`u8`](Self::u8).
    #[inline(always)]
    pub fn u64(self) -> Result<u64, DecodeError> {
        self.array::<8>().map(|bytes| NetworkEndian::read_u64(bytes))
    }

    /// 32 bits in the order of the host: the flags of `CTA_FILTER`, and netlink's own attributes.
    ///
    /// # Errors
    ///
    /// As [`u8`](Self::u8).
    #[inline]
    pub fn u32_host(self) -> Result<u32, DecodeError> {
        self.array::<4>().map(|bytes| NativeEndian::read_u32(bytes))
    }

    /// Text up to the first NUL or the end of the payload.
    ///
    /// # Errors
    ///
    /// [`Value`](DecodeErrorKind::Value) where it is not UTF-8.
    pub fn text(self) -> Result<&'a str, DecodeError> {
        let length = self.payload.iter().position(|byte| *byte == 0).unwrap_or(self.payload.len());
        let bytes = self.payload.get(..length).unwrap_or_default();
        core::str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::Value("text that is not UTF-8")))
    }

    /// The payload as a nest of attributes.
    #[must_use]
    #[inline]
    pub const fn nested(self, nest: AttributeSet) -> Attributes<'a> {
        Attributes::new(self.payload, nest)
    }

    /// Decodes the payload as a nest; in an error this attribute is named.
    #[inline(always)]
    pub(crate) fn walk<T>(
        self,
        nest: AttributeSet,
        decode: impl FnOnce(Attributes<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        walk(self.payload, nest, decode).map_err(|error| self.around(error))
    }

    /// The error of something in the payload, with this attribute named.
    #[inline(always)]
    fn around(self, error: DecodeError) -> DecodeError {
        error.within(self.nest, self.number(), self.position() + ATTRIBUTE_HEADER_LENGTH)
    }

    /// An error in this attribute.
    #[cold]
    #[inline(never)]
    pub(crate) fn error(self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::in_attribute(kind, self.nest, self.number(), self.position())
    }

    #[inline(always)]
    fn too_short(self, expected: usize) -> DecodeError {
        too_short(self.nest, self.number(), self.position, self.payload.len(), expected)
    }
}

/// Walks a nest, out of the way of the code that recognises most of them whole.
#[inline(never)]
fn walk<'a, T>(
    payload: &'a [u8],
    nest: AttributeSet,
    decode: impl FnOnce(Attributes<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    decode(Attributes::new(payload, nest))
}

/// The error of a reader. It takes the parts of the attribute, not the attribute, which would be put into memory for it
/// whether it is called or not.
#[cold]
#[inline(never)]
fn too_short(nest: AttributeSet, number: u16, position: u32, actual: usize, expected: usize) -> DecodeError {
    let kind = DecodeErrorKind::Length { actual: actual as u16, expected: expected as u16 };
    DecodeError::in_attribute(kind, nest, number, position as usize)
}

/// The attributes of a nest.
///
/// Gives each attribute in turn; one whose length cannot be is an error, and the end. The same attribute may come
/// twice: the last one counts, as in the kernel's own parser.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    /// Bytes of the whole nest: the walk stands where its rest begins, and counts nothing as it goes.
    length: u32,
    nest: AttributeSet,
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`, whose numbers are those of `nest`.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8], nest: AttributeSet) -> Self {
        Self { bytes, length: bytes.len() as u32, nest }
    }

    /// What was not walked yet.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is nothing left to walk.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The last attribute of that number, or `None`. Attributes behind a malformed one are not seen.
    #[must_use]
    pub fn find(self, number: u16) -> Option<Attribute<'a>> {
        self.map_while(Result::ok).filter(|attribute| attribute.number() == number).last()
    }

    /// The error for an attribute that has to be in this nest and is not.
    #[cold]
    pub(crate) fn missing(self, number: u16) -> DecodeError {
        DecodeError::in_attribute(DecodeErrorKind::Missing, self.nest, number, 0)
    }

    /// The next attribute; `None` at the end, and at a header that cannot be: which of them, [`end`](Self::end) tells.
    ///
    /// The walk behind every decoder. It is apart from [`next`](Self::next) because an attribute alone stays in
    /// registers, where a `Result` of one goes through memory.
    #[inline(always)]
    pub(crate) fn advance(&mut self) -> Option<Attribute<'a>> {
        let (length, kind) = read_header(self.bytes.first_chunk()?);
        self.advance_by(length, kind)
    }

    /// The next attribute, whose header was read before.
    #[inline(always)]
    pub(super) fn advance_by(&mut self, length: u16, kind: u16) -> Option<Attribute<'a>> {
        let length = usize::from(length);
        let payload = self.bytes.get(ATTRIBUTE_HEADER_LENGTH..length)?;
        let attribute = Attribute { payload, position: self.walked(), kind, nest: self.nest };
        // The last attribute need not be padded.
        self.bytes = self.bytes.get(align(length)..).unwrap_or_default();
        Some(attribute)
    }

    /// The header that comes next, without the flags of its type; 0 where there is none.
    #[inline(always)]
    pub(super) fn peek(self) -> u32 {
        const MASK: u32 = header(u16::MAX, NUMBER_MASK);
        self.bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) & MASK)
    }

    /// Bytes of the nest that were walked.
    #[inline(always)]
    const fn walked(self) -> u32 {
        self.length.wrapping_sub(self.bytes.len() as u32)
    }

    /// Whether the walk came to the end of the nest.
    #[inline(always)]
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    /// The error for the header that stands here, which is cut off or gives a length that cannot be.
    #[cold]
    #[inline(never)]
    fn malformed(self) -> DecodeError {
        let (needed, kind) = self.bytes.first_chunk().map_or((0, 0), read_header);
        let truncated = DecodeErrorKind::Truncated {
            needed: ATTRIBUTE_HEADER_LENGTH.max(needed.into()) as u32,
            available: self.bytes.len() as u32,
        };
        DecodeError::in_attribute(truncated, self.nest, kind & NUMBER_MASK, self.walked() as usize)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Some(attribute) => Some(Ok(attribute)),
            None if self.bytes.is_empty() => None,
            None => {
                let error = self.malformed();
                self.bytes = &[];
                Some(Err(error))
            }
        }
    }
}

impl core::iter::FusedIterator for Attributes<'_> {}
