//! What can go wrong, told so that a person knows what to do next.

mod decode;
mod encode;
mod name;

pub use decode::{AttributePath, DecodeError, DecodeErrorKind};
pub use encode::EncodeError;
pub use name::ParseNameError;
