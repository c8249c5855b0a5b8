//! Requests: what can be asked of the kernel, as bytes.
//!
//! Each request knows what the kernel demands of it, so that what is missing does not compile and what the kernel
//! misreads is never sent. Nothing here does I/O: a [`Client`](crate::Client) sends them, and so can any other socket.
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Tuple, FlowKey, request::{DeleteFlow, Request}, wire::Encoder};
//!
//! let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
//! let mut buffer = [0; 256];
//! let mut encoder = Encoder::new(&mut buffer);
//! DeleteFlow::new(FlowKey::original(tuple).with_id(7)).encode(1, &mut encoder);
//! assert_eq!(encoder.finish()?, 84);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod create;
mod delete;
mod dump;
mod expectation;
mod get;
mod statistics;
mod update;

pub use create::NewFlow;
pub use delete::{DeleteFlow, FlushFlows};
pub use dump::{DumpFlows, Table};
pub use expectation::{
    CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DumpExpectations, ExpectationKey, FlushExpectations,
    GetExpectation,
};
pub use get::GetFlow;
pub use statistics::{DumpCpuStatistics, DumpExpectationStatistics, GetGlobalStatistics};
pub use update::{FlowUpdate, UpdateFlow};

use crate::{error::Operation, wire::Encoder};

/// Something that can be asked of the kernel.
pub trait Request {
    /// What is asked, for errors.
    fn operation(&self) -> Operation;

    /// Writes the whole message with that sequence number. It asks for an acknowledgement wherever it would end without
    /// a sign otherwise.
    fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>);
}

impl<T: Request + ?Sized> Request for &T {
    fn operation(&self) -> Operation {
        (**self).operation()
    }

    fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>) {
        (**self).encode(sequence, encoder);
    }
}
