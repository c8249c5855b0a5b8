//! Linux connection tracking.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod macros;
pub mod model;
mod numbers;
pub mod wire;

pub use error::{AttributePath, DecodeError, DecodeErrorKind, EncodeError, ParseNameError};
pub use model::*;
