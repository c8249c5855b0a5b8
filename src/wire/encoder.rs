//! Writing messages into a caller's buffer.

use super::{
    Flags, MessageType, NETLINK_HEADER_LENGTH,
    attribute::{ALIGNMENT, ATTRIBUTE_HEADER_LENGTH, NESTED},
};
use crate::{error::EncodeError, wire::Family};

/// Writes messages and attributes into a borrowed buffer.
///
/// It allocates nothing, and padding is always zeroed. If the buffer is too small, the encoder only counts, and
/// [`finish`](Self::finish) reports the required size. An encoder over an empty buffer measures.
///
/// # Example
///
/// ```
/// use ctnetlink::wire::{self, Encoder, Flags, MessageType};
///
/// let mut buffer = [0; 64];
/// let mut encoder = Encoder::new(&mut buffer);
/// encoder.message(MessageType::FLOW_GET, Flags::REQUEST | Flags::DUMP, 1, 0, |message| {
///     message.u32(wire::CTA_MARK, 5);
///     message.u32(wire::CTA_MARK_MASK, 0xff);
/// });
/// assert_eq!(encoder.finish()?, 16 + 4 + 8 + 8);
/// # Ok::<(), ctnetlink::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'b> {
    buffer: &'b mut [u8],
    length: usize,
    error: Option<EncodeError>,
}

impl<'b> Encoder<'b> {
    /// Writes from the start of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0, error: None }
    }

    /// Returns the number of bytes written so far, including bytes that did not fit the buffer.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Returns the number of bytes written.
    ///
    /// # Errors
    ///
    /// Fails if a value is not valid, an attribute exceeds 65,535 bytes, or the buffer is too small.
    pub fn finish(self) -> Result<usize, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None if self.length > self.buffer.len() => Err(EncodeError::BufferTooSmall { needed: self.length }),
            None => Ok(self.length),
        }
    }

    /// Writes a netfilter message: both headers, and the attributes that `body` writes.
    #[inline]
    pub fn message(
        &mut self,
        message_type: MessageType,
        flags: Flags,
        sequence: u32,
        family: impl Into<Family>,
        body: impl FnOnce(&mut Self),
    ) {
        self.netlink_message(message_type, flags, sequence, |payload| {
            payload.netfilter_header(NetfilterHeader::new(family.into()));
            body(payload);
        });
    }

    /// Writes a netlink message: its header, and the bytes that `payload` writes.
    #[inline]
    pub(crate) fn netlink_message(
        &mut self,
        message_type: MessageType,
        flags: Flags,
        sequence: u32,
        payload: impl FnOnce(&mut Self),
    ) {
        let start = self.length;
        let mut header = [0; NETLINK_HEADER_LENGTH];
        let [_, _, _, _, t0, t1, f0, f1, s0, s1, s2, s3, ..] = &mut header;
        [*t0, *t1] = message_type.0.to_ne_bytes();
        [*f0, *f1] = flags.bits().to_ne_bytes();
        [*s0, *s1, *s2, *s3] = sequence.to_ne_bytes();
        self.bytes(&header);
        payload(self);
        let length = self.length - start;
        self.patch(start, &(length as u32).to_ne_bytes());
    }

    /// Writes bytes without an attribute header.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
    }

    /// Writes the header of a netfilter message, which stands before its attributes.
    #[inline]
    pub(crate) fn netfilter_header(&mut self, header: NetfilterHeader) {
        self.bytes(&header.to_bytes());
    }

    /// Writes an attribute of any bytes.
    #[inline]
    pub fn attribute(&mut self, number: u16, payload: &[u8]) {
        let length = ATTRIBUTE_HEADER_LENGTH + payload.len();
        let Ok(header) = u16::try_from(length) else {
            return self.fail(EncodeError::AttributeTooLong { attribute: number, length });
        };
        self.attribute_header(header, number);
        self.bytes(payload);
        self.pad();
    }

    /// Writes an attribute of one byte.
    #[inline]
    pub fn u8(&mut self, number: u16, value: u8) {
        self.fixed(number, [value, 0, 0, 0], 1);
    }

    /// Writes 16 bits in network order.
    #[inline]
    pub fn u16(&mut self, number: u16, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.fixed(number, [high, low, 0, 0], 2);
    }

    /// Writes 32 bits in network order.
    #[inline]
    pub fn u32(&mut self, number: u16, value: u32) {
        self.fixed(number, value.to_be_bytes(), 4);
    }

    /// Writes 64 bits in network order.
    #[inline]
    pub fn u64(&mut self, number: u16, value: u64) {
        self.attribute(number, &value.to_be_bytes());
    }

    /// Writes 32 bits in the order of the host.
    #[inline]
    pub fn u32_host(&mut self, number: u16, value: u32) {
        self.fixed(number, value.to_ne_bytes(), 4);
    }

    /// Writes text and the terminating NUL that the kernel requires.
    ///
    /// A NUL inside the text is an error, because the kernel would read the text up to it only.
    pub fn text(&mut self, number: u16, text: &str) {
        if text.bytes().any(|byte| byte == 0) {
            return self.fail(EncodeError::Value("a name contains a NUL"));
        }
        let length = ATTRIBUTE_HEADER_LENGTH + text.len() + 1;
        let Ok(header) = u16::try_from(length) else {
            return self.fail(EncodeError::AttributeTooLong { attribute: number, length });
        };
        self.attribute_header(header, number);
        self.bytes(text.as_bytes());
        self.bytes(&[0]);
        self.pad();
    }

    /// Writes a nest of the attributes that `body` writes.
    #[inline]
    pub fn nest(&mut self, number: u16, body: impl FnOnce(&mut Self)) {
        let start = self.length;
        self.attribute_header(0, number | NESTED);
        body(self);
        let length = self.length - start;
        match u16::try_from(length) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.fail(EncodeError::AttributeTooLong { attribute: number, length }),
        }
    }

    /// Writes a nest of the attributes of `value`.
    #[inline]
    pub(crate) fn nested(&mut self, number: u16, value: &impl Encode) {
        self.nest(number, |nest| value.encode(nest));
    }

    /// Writes a nest of the attributes of `value`, if there is a value.
    #[inline]
    pub(crate) fn optional_nest(&mut self, number: u16, value: Option<&impl Encode>) {
        if let Some(value) = value {
            self.nested(number, value);
        }
    }

    /// Records that the message cannot be sent. `finish` returns the first error recorded.
    #[cold]
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// A whole attribute of at most four bytes of payload, header and padding in one write.
    #[inline]
    fn fixed(&mut self, number: u16, [a, b, c, d]: [u8; 4], length: u16) {
        let [l0, l1] = (ATTRIBUTE_HEADER_LENGTH as u16 + length).to_ne_bytes();
        let [n0, n1] = number.to_ne_bytes();
        self.bytes(&[l0, l1, n0, n1, a, b, c, d]);
    }

    #[inline]
    fn attribute_header(&mut self, length: u16, kind: u16) {
        let [l0, l1] = length.to_ne_bytes();
        let [k0, k1] = kind.to_ne_bytes();
        self.bytes(&[l0, l1, k0, k1]);
    }

    #[inline]
    fn pad(&mut self) {
        let padding = self.length.next_multiple_of(ALIGNMENT) - self.length;
        self.bytes([0; ALIGNMENT].get(..padding).unwrap_or_default());
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(target) = self.buffer.get_mut(self.length..end) {
            target.copy_from_slice(bytes);
        }
        self.length = end;
    }

    #[inline]
    fn patch(&mut self, start: usize, bytes: &[u8]) {
        if let Some(target) = self.buffer.get_mut(start..start + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    }
}

/// Declares the writers of values that may be absent.
macro_rules! optional {
    ($( $name:ident: $type:ty => $write:ident; )*) => {
        impl Encoder<'_> { $(
            #[doc = concat!("As `", stringify!($write), "`, if there is a value.")]
            #[inline]
            pub(crate) fn $name(&mut self, number: u16, value: Option<$type>) {
                if let Some(value) = value {
                    self.$write(number, value);
                }
            }
        )* }
    };
}

optional! {
    optional_u8: u8 => u8;
    optional_u16: u16 => u16;
    optional_u32: u32 => u32;
    optional_u64: u64 => u64;
}

/// A value that is encoded as the attributes of a nest.
pub(crate) trait Encode {
    /// Writes the attributes.
    fn encode(&self, encoder: &mut Encoder<'_>);
}

/// `struct nfgenmsg` of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetfilterHeader {
    family: Family,
    version: u8,
    resource: u16,
}

impl NetfilterHeader {
    /// For most messages: version 0, resource 0.
    pub(crate) const fn new(family: Family) -> Self {
        Self { family, version: 0, resource: 0 }
    }

    /// A delete with version 1 is limited to its family.
    pub(crate) const fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    /// Per-CPU statistics carry the processor.
    pub(crate) const fn with_resource(self, resource: u16) -> Self {
        Self { resource, ..self }
    }

    const fn to_bytes(self) -> [u8; super::NETFILTER_HEADER_LENGTH] {
        let [high, low] = self.resource.to_be_bytes();
        [self.family.0, self.version, high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CTA_HELP, CTA_HELP_NAME, CTA_MARK, CTA_PROTO_NUM};

    #[test]
    fn padding_is_zeroed() {
        let mut buffer = [0xa5; 64];
        let mut encoder = Encoder::new(&mut buffer);
        encoder.nest(CTA_HELP, |help| {
            help.text(CTA_HELP_NAME, "ftp");
            help.text(CTA_HELP_NAME, "sip+");
            help.u8(CTA_PROTO_NUM, 6);
        });
        let length = encoder.finish().unwrap();
        assert_eq!(length, 4 + 8 + 12 + 8);
        assert!(!buffer[..length].contains(&0xa5));
        assert!(buffer[length..].iter().all(|byte| *byte == 0xa5));
    }

    #[test]
    fn small_buffer_error_reports_the_size() {
        let write = |buffer: &mut [u8]| {
            let mut encoder = Encoder::new(buffer);
            encoder.message(MessageType::FLOW_NEW, Flags::REQUEST, 1, 2, |message| message.u32(CTA_MARK, 1));
            encoder.finish()
        };
        for size in 0..28 {
            assert_eq!(write(&mut vec![0; size]), Err(EncodeError::BufferTooSmall { needed: 28 }));
        }
        assert_eq!(write(&mut [0; 28]), Ok(28));
    }

    #[test]
    fn nest_of_65536_bytes_is_an_error() {
        let mut buffer = vec![0; 70_000];
        let mut encoder = Encoder::new(&mut buffer);
        encoder.nest(CTA_HELP, |help| help.attribute(2, &[7; 65_528]));
        assert_eq!(encoder.finish(), Err(EncodeError::AttributeTooLong { attribute: CTA_HELP, length: 65_536 }));
    }

    #[test]
    fn name_with_a_nul_is_refused() {
        let mut buffer = [0; 64];
        let mut encoder = Encoder::new(&mut buffer);
        encoder.text(CTA_HELP_NAME, "f\0tp");
        assert!(matches!(encoder.finish(), Err(EncodeError::Value(_))));
    }
}
