//! Linux connection tracking.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(all(target_os = "linux", feature = "client"))]
mod client;
mod error;
#[cfg_attr(not(all(target_os = "linux", feature = "client")), allow(dead_code, unused_imports))]
pub mod exchange;
pub mod filter;
pub mod format;
mod macros;
pub mod message;
pub mod model;
mod numbers;
#[cfg(feature = "packet-core")]
mod packet_core;
pub mod proc;
pub mod request;
pub mod wire;

#[cfg(all(target_os = "linux", feature = "client"))]
pub use client::*;
pub use error::{
    AttributePath, DecodeError, DecodeErrorKind, EncodeError, Errno, Error, KernelError, Operation, ParseNameError,
};
pub use filter::Filter;
pub use message::Message;
pub use model::*;
