//! A nest as an iterator of attributes.

use byteorder::{ByteOrder, NativeEndian, NetworkEndian};

use super::AttributeSet;
use crate::error::{DecodeError, DecodeErrorKind};

/// One attribute: its number, and its payload borrowed from the datagram.
///
/// The readers use the first bytes of the payload and ignore bytes that a newer kernel may have appended.
///
/// # Example
///
/// ```
/// use ctnetlink::wire::{AttributeSet, Attributes, CTA_MARK, Encoder};
///
/// let mut buffer = [0; 8];
/// let mut encoder = Encoder::new(&mut buffer);
/// encoder.u32(CTA_MARK, 7);
/// encoder.finish()?;
/// let attribute = Attributes::new(&buffer, AttributeSet::Flow).next().unwrap()?;
/// assert_eq!((attribute.name(), attribute.u32()), (Some("CTA_MARK"), Ok(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    payload: &'a [u8],
    position: u32,
    kind: u16,
    nest: AttributeSet,
}

impl<'a> Attribute<'a> {
    /// Returns the number, which belongs to the table of the [`nest`](Self::nest).
    #[must_use]
    #[inline]
    pub const fn number(self) -> u16 {
        self.kind & NUMBER_MASK
    }

    /// Returns the nest that contains the attribute.
    #[must_use]
    pub const fn nest(self) -> AttributeSet {
        self.nest
    }

    /// Returns the C name, if the number is known.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        self.nest.attribute_name(self.number())
    }

    /// Returns true if the sender marked the payload as a nest (`NLA_F_NESTED`); kernels before 5.2 did not.
    #[must_use]
    pub const fn is_nested(self) -> bool {
        self.kind & NESTED != 0
    }

    /// Returns the payload, without padding.
    #[must_use]
    #[inline]
    pub const fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// Returns the position of the attribute's header in its nest.
    #[must_use]
    #[inline]
    pub const fn position(self) -> usize {
        self.position as usize
    }

    /// Reads the first `N` bytes of the payload.
    ///
    /// # Errors
    ///
    /// Fails with [`Length`](DecodeErrorKind::Length) if the payload is shorter.
    #[inline]
    pub fn array<const N: usize>(self) -> Result<&'a [u8; N], DecodeError> {
        match self.payload.first_chunk() {
            Some(bytes) => Ok(bytes),
            None => Err(self.too_short(N)),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    ///
    /// Fails with [`Length`](DecodeErrorKind::Length) if the payload is shorter. The other readers fail in the same way.
    #[inline]
    pub fn u8(self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// Reads 16 bits in network byte order.
    ///
    /// # Errors
    ///
    /// Fails like [`u8`](Self::u8).
    #[inline]
    pub fn u16(self) -> Result<u16, DecodeError> {
        self.array::<2>().map(|bytes| NetworkEndian::read_u16(bytes))
    }

    /// Reads 32 bits in network byte order.
    ///
    /// # Errors
    ///
    /// Fails like [`u8`](Self::u8).
    #[inline]
    pub fn u32(self) -> Result<u32, DecodeError> {
        self.array::<4>().map(|bytes| NetworkEndian::read_u32(bytes))
    }

    /// Reads 64 bits in network byte order.
    ///
    /// # Errors
    ///
    /// Fails like [`u8`](Self::u8).
    #[inline]
    pub fn u64(self) -> Result<u64, DecodeError> {
        self.array::<8>().map(|bytes| NetworkEndian::read_u64(bytes))
    }

    /// Reads 32 bits in the byte order of the host: the flags of `CTA_FILTER`, and netlink's own attributes.
    ///
    /// # Errors
    ///
    /// Fails like [`u8`](Self::u8).
    #[inline]
    pub fn u32_host(self) -> Result<u32, DecodeError> {
        self.array::<4>().map(|bytes| NativeEndian::read_u32(bytes))
    }

    /// Reads text up to the first NUL or the end of the payload.
    ///
    /// # Errors
    ///
    /// Fails with [`Value`](DecodeErrorKind::Value) if the text is not UTF-8.
    pub fn text(self) -> Result<&'a str, DecodeError> {
        let length = self.payload.iter().position(|byte| *byte == 0).unwrap_or(self.payload.len());
        let bytes = self.payload.get(..length).unwrap_or_default();
        core::str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::Value("text that is not UTF-8")))
    }

    /// Returns the payload as a nest of attributes.
    #[must_use]
    #[inline]
    pub const fn nested(self, nest: AttributeSet) -> Attributes<'a> {
        Attributes::new(self.payload, nest)
    }

    /// Decodes the payload as a nest. Errors name this attribute.
    #[inline]
    pub(crate) fn walk<T>(
        self,
        nest: AttributeSet,
        decode: impl FnOnce(Attributes<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        walk(self.payload, nest, decode).map_err(|error| self.around(error))
    }

    /// The error of something in the payload, with this attribute named.
    #[inline]
    fn around(self, error: DecodeError) -> DecodeError {
        error.within(self.nest, self.number(), self.position() + ATTRIBUTE_HEADER_LENGTH)
    }

    /// An error in this attribute.
    #[cold]
    #[inline(never)]
    pub(crate) fn error(self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::in_attribute(kind, self.nest, self.number(), self.position())
    }

    #[inline]
    fn too_short(self, expected: usize) -> DecodeError {
        too_short(self.nest, self.number(), self.position, self.payload.len(), expected)
    }
}

/// Walks a nest. Not inlined, to keep this code apart from the fast paths for whole nests.
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
/// Iterates over the attributes. An attribute with an impossible length is an error and ends the iteration. If an
/// attribute is repeated, the last one counts, as in the kernel's parser.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, wire::{AttributeSet, CTA_TUPLE_ORIG, Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 7, flow.family(), |body| flow.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// for message in Messages::new(datagram) {
///     let attributes = message?.netfilter()?.attributes(AttributeSet::Flow);
///     assert!(attributes.find(CTA_TUPLE_ORIG).is_some());
///     for attribute in attributes {
///         println!("{:?}", attribute?.name());
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    /// Bytes of the whole nest. The position of the walk follows from the length of its rest, so nothing is counted.
    length: u32,
    nest: AttributeSet,
}

impl<'a> Attributes<'a> {
    /// Creates an iterator over the attributes in `bytes`, with the numbers of `nest`.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8], nest: AttributeSet) -> Self {
        Self { bytes, length: bytes.len() as u32, nest }
    }

    /// Returns the bytes that were not walked yet.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns true if nothing is left to walk.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the last attribute of that number, or `None`. Attributes after a malformed one are not found.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::wire::{AttributeSet, Attributes};
    ///
    /// assert!(Attributes::new(&[], AttributeSet::Flow).find(1).is_none());
    /// ```
    #[must_use]
    pub fn find(self, number: u16) -> Option<Attribute<'a>> {
        self.map_while(Result::ok).filter(|attribute| attribute.number() == number).last()
    }

    /// Returns the error for a mandatory attribute that this nest lacks.
    #[cold]
    pub(crate) fn missing(self, number: u16) -> DecodeError {
        DecodeError::in_attribute(DecodeErrorKind::Missing, self.nest, number, 0)
    }

    /// Returns the next attribute. `None` at the end and at a malformed header; [`end`](Self::end) distinguishes them.
    ///
    /// Every decoder uses this walk. It differs from [`next`](Self::next) because an attribute stays in registers, and a
    /// `Result` of an attribute goes through memory.
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Attribute<'a>> {
        let (length, kind) = read_header(self.bytes.first_chunk()?);
        self.advance_by(length, kind)
    }

    /// The next attribute, whose header was read before.
    #[inline]
    pub(super) fn advance_by(&mut self, length: u16, kind: u16) -> Option<Attribute<'a>> {
        let length = usize::from(length);
        let payload = self.bytes.get(ATTRIBUTE_HEADER_LENGTH..length)?;
        let attribute = Attribute { payload, position: self.walked(), kind, nest: self.nest };
        // The last attribute need not be padded.
        self.bytes = self.bytes.get(align(length)..).unwrap_or_default();
        Some(attribute)
    }

    /// Returns the next header without the flags of its type, or 0 if there is none.
    #[inline]
    pub(super) fn peek(self) -> u32 {
        const MASK: u32 = header(u16::MAX, NUMBER_MASK);
        self.bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) & MASK)
    }

    /// Bytes of the nest that were walked.
    #[inline]
    const fn walked(self) -> u32 {
        self.length.wrapping_sub(self.bytes.len() as u32)
    }

    /// Fails if the walk did not reach the end of the nest.
    #[inline]
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    /// Returns the error for the next header, which is truncated or has an impossible length.
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

// The header of an attribute, `struct nlattr`: two numbers in the byte order of the host.
//
// ```text
//  0       2       4
//  +-------+-------+----------------------+---------+
//  | len   | type  | payload, to len      | padding |   aligned to 4
//  +-------+-------+----------------------+---------+
//            bit 15: nested   bit 14: network order   the rest: the number
// ```

/// Bytes of the header.
pub(crate) const ATTRIBUTE_HEADER_LENGTH: usize = 4;

/// Attributes are padded to a multiple of four bytes.
pub(super) const ALIGNMENT: usize = 4;

/// `NLA_F_NESTED`: the payload consists of attributes.
pub(crate) const NESTED: u16 = 1 << 15;

/// `NLA_TYPE_MASK`: the bits of the type that hold the number.
pub(super) const NUMBER_MASK: u16 = 0x3fff;

/// Returns the next multiple of four: the position of the next header.
#[inline]
pub(super) const fn align(length: usize) -> usize {
    (length + ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// Returns length and type as they stand in memory.
pub(super) const fn header(length: u16, kind: u16) -> u32 {
    let ([l0, l1], [k0, k1]) = (length.to_ne_bytes(), kind.to_ne_bytes());
    u32::from_ne_bytes([l0, l1, k0, k1])
}

/// Returns length and type, in one load.
#[inline]
pub(super) const fn read_header(bytes: &[u8; ATTRIBUTE_HEADER_LENGTH]) -> (u16, u16) {
    let word = u32::from_ne_bytes(*bytes);
    if cfg!(target_endian = "little") { (word as u16, (word >> 16) as u16) } else { ((word >> 16) as u16, word as u16) }
}

// Nests in the kernel's layout, recognized as a whole.
//
// The kernel writes most nests in one way only: the same attributes, in the same order, of the same lengths. The plain
// way to read a nest is a walk, attribute by attribute. For such a nest it is faster to compare all headers at once and
// to read the values at their fixed positions. A nest that differs in anything is walked. Both ways give the same
// result, which a property test checks.

/// The headers of a nest of exactly `N` bytes, `H` of them.
#[derive(Debug)]
pub(crate) struct FixedLayout<const N: usize, const H: usize> {
    headers: [HeaderAt; H],
}

/// The header of an attribute: its position and its four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderAt {
    at: usize,
    header: u32,
}

impl HeaderAt {
    /// At byte `at`, an attribute of `length` bytes with its header.
    pub(crate) const fn value(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number) }
    }

    /// At byte `at`, a nest of `length` bytes with its header.
    pub(crate) const fn nest(at: usize, length: u16, number: u16) -> Self {
        Self { at, header: header(length, number | NESTED) }
    }
}

impl<const N: usize, const H: usize> FixedLayout<N, H> {
    pub(crate) const fn new(headers: [HeaderAt; H]) -> Self {
        Self { headers }
    }

    /// Returns the nest if all its headers are as expected and nothing follows.
    #[inline]
    pub(crate) fn recognise<'a>(&self, bytes: &'a [u8]) -> Option<FixedNest<'a, N>> {
        let bytes: &[u8; N] = bytes.try_into().ok()?;
        let fixed = FixedNest(bytes);
        let mut difference = 0;
        for expected in &self.headers {
            difference |= u32::from_ne_bytes(fixed.array(expected.at)) ^ expected.header;
        }
        (difference == 0).then_some(fixed)
    }
}

/// A nest with a known layout. Values are read by their position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedNest<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> FixedNest<'_, N> {
    /// Returns `M` bytes at a position in the nest. No layout has a position outside it, which would give zeros.
    #[inline]
    pub(crate) fn array<const M: usize>(&self, at: usize) -> [u8; M] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; M])
    }

    #[inline]
    pub(crate) fn u8(&self, at: usize) -> u8 {
        let [byte] = self.array(at);
        byte
    }

    #[inline]
    pub(crate) fn u16(&self, at: usize) -> u16 {
        NetworkEndian::read_u16(&self.array::<2>(at))
    }

    #[inline]
    pub(crate) fn u64(&self, at: usize) -> u64 {
        NetworkEndian::read_u64(&self.array::<8>(at))
    }
}

// Attributes in the order in which they usually come.
//
// The plain walk over a nest is [`Attributes`]: it jumps on the number of each attribute. The kernel writes the
// attributes of a flow in one order, most of them with one length. A walk that expects this order needs no jump: it
// compares the next header with the candidates one after the other. An absent attribute costs one comparison, and the
// length of a present one is known in advance.

/// A walk that has read the header of the attribute that comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    rest: Attributes<'a>,
    /// Length and number of the next attribute, without the flags of its type; 0, which none has, at the end.
    next: u32,
}

impl<'a> Walk<'a> {
    #[inline]
    pub(crate) fn new(attributes: Attributes<'a>) -> Self {
        Self { rest: attributes, next: attributes.peek() }
    }

    /// The next attribute, if it has that number and exactly that length.
    #[inline]
    pub(crate) fn advance_if_usual(&mut self, number: u16, length: u16) -> Option<Attribute<'a>> {
        if self.next != header(length, number) {
            return None;
        }
        let attribute = self.rest.advance_by(length, number)?;
        self.next = self.rest.peek();
        Some(attribute)
    }

    /// The next attribute, if it has that number.
    #[inline]
    pub(crate) fn advance_if(&mut self, number: u16) -> Option<Attribute<'a>> {
        let (length, next) = read_header(&self.next.to_ne_bytes());
        if next != number {
            return None;
        }
        let attribute = self.rest.advance_by(length, number)?;
        self.next = self.rest.peek();
        Some(attribute)
    }

    /// Skips the next attribute, whatever it is.
    ///
    /// # Errors
    ///
    /// Fails if its header is malformed.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        if self.rest.advance().is_none() {
            return self.rest.end();
        }
        self.next = self.rest.peek();
        Ok(())
    }

    /// Returns true if both walks of the nest are at the same position.
    #[inline]
    pub(crate) const fn is_at(self, other: Self) -> bool {
        self.rest.as_bytes().len() == other.rest.as_bytes().len()
    }

    /// Returns true if nothing is left to walk.
    #[inline]
    pub(crate) const fn is_at_end(self) -> bool {
        self.rest.is_empty()
    }
}
