//! What can go wrong, told so that a person knows what to do next.

mod client;
mod decode;
mod encode;
mod errno;
mod kernel;
mod name;

pub use client::Error;
#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) use client::{ATTACH_PROGRAM, ENTER_NAMESPACE, LISTEN_TO_ALL};
pub use decode::{AttributePath, DecodeError, DecodeErrorKind};
pub use encode::EncodeError;
pub use errno::Errno;
pub use kernel::{KernelError, Operation};
pub use name::ParseNameError;
