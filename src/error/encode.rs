//! Values that do not fit the wire.

use core::fmt;

/// Why a message could not be encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small; with this many bytes the same call succeeds.
    BufferTooSmall {
        /// Bytes that the whole of what was encoded takes.
        needed: usize,
    },
    /// An attribute or a nest would be longer than the 65,535 bytes that its header can say.
    AttributeTooLong {
        /// The number of the attribute in its nest.
        attribute: u16,
        /// The length that its header would have to hold.
        length: usize,
    },
    /// A value that the kernel refuses or misreads, caught before it is sent.
    Value(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => write!(f, "the buffer is too small: {needed} bytes are needed"),
            Self::AttributeTooLong { attribute, length } => {
                write!(f, "attribute {attribute} would be {length} bytes long: its header can say 65535 at most")
            }
            Self::Value(what) => f.write_str(what),
        }
    }
}

crate::macros::debug_as_display!(EncodeError);

impl core::error::Error for EncodeError {}
