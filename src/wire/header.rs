//! The header of an attribute, `struct nlattr`: two numbers in the byte order of the host.
//!
//! ```text
//!  0       2       4
//!  +-------+-------+----------------------+---------+
//!  | len   | type  | payload, to len      | padding |   aligned to 4
//!  +-------+-------+----------------------+---------+
//!            bit 15: nested   bit 14: network order   the rest: the number
//! ```

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
