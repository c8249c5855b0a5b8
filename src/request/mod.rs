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
//! assert_eq!(encoder.finish()?, 80);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aim;
mod create;
mod delete;
mod dump;
mod expectation;
mod get;
mod header;
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
pub use header::RequestHeader;
pub use statistics::{DumpCpuStatistics, DumpExpectationStatistics, GetGlobalStatistics};
pub use update::{FlowUpdate, UpdateFlow};

pub(crate) use aim::{Aimed, UNUSED_ZONE, aimed, zone_of};
use header::creation;

use crate::{error::Operation, model::FlowKey, wire::Encoder};

/// Something that can be asked of the kernel.
pub trait Request {
    /// What is asked, for errors.
    fn operation(&self) -> Operation;

    /// What stands in its headers.
    fn header(&self) -> RequestHeader;

    /// Writes its attributes.
    fn encode_attributes(&self, encoder: &mut Encoder<'_>);

    /// The key of the flow that it names, if it names one.
    #[doc(hidden)]
    fn key(&self) -> Option<FlowKey> {
        None
    }

    /// Writes its attributes with another form of its key.
    #[doc(hidden)]
    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        let _ = key;
        self.encode_attributes(encoder);
    }

    /// Writes what stands behind the netlink header: `struct nfgenmsg` and the attributes.
    fn encode_payload(&self, encoder: &mut Encoder<'_>) {
        self.header().encode_netfilter(encoder);
        self.encode_attributes(encoder);
    }

    /// Writes the whole message with that sequence number.
    fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>) {
        let RequestHeader { message_type, flags, .. } = self.header();
        encoder.netlink_message(message_type, flags, sequence, |payload| self.encode_payload(payload));
    }
}

/// A request that is answered by an acknowledgement and nothing else: what [`Client::execute`](crate::Client::execute)
/// and [`Batch::push`](crate::Batch::push) take.
pub trait Command: Request {}

impl<T: Command + ?Sized> Command for &T {}

impl Command for NewFlow {}
impl Command for UpdateFlow<'_> {}
impl Command for DeleteFlow {}
impl Command for FlushFlows {}
impl Command for CreateExpectation<'_> {}
impl Command for DeleteExpectation {}
impl Command for DeleteExpectationsOf<'_> {}
impl Command for FlushExpectations {}

impl<T: Request + ?Sized> Request for &T {
    fn operation(&self) -> Operation {
        (**self).operation()
    }

    fn header(&self) -> RequestHeader {
        (**self).header()
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        (**self).encode_attributes(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        (**self).key()
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        (**self).encode_with_key(key, encoder);
    }
}
