//! Delete one flow; delete them all.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::Operation,
    filter::KernelFilter,
    model::{Family, FlowKey},
    wire::{Encoder, MessageType},
};

/// The request to delete one flow, by tuple, zone and, if the key has one, identifier.
///
/// It always carries a tuple: for the kernel, a delete without one empties the table.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Message, Tuple, request::DeleteFlow};
///
/// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?));
/// assert_eq!(Message::from(DeleteFlow::new(key)), Message::DeleteFlow(DeleteFlow::new(key)));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteFlow {
    key: FlowKey,
}

impl DeleteFlow {
    /// Deletes the flow of that key.
    #[must_use]
    pub const fn new(key: FlowKey) -> Self {
        Self { key }
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }
}

impl EncodeRequest for DeleteFlow {
    fn operation(&self) -> Operation {
        Operation::DeleteFlow
    }

    fn header(&self) -> RequestHeader {
        RequestHeader::acknowledged(MessageType::FLOW_DELETE, self.key.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.key.encode_with_id(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        Some(self.key)
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        key.encode_with_id(encoder);
    }
}

/// The request to delete every flow, every flow of a family, or every flow that a kernel filter selects.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{Family, request::FlushFlows};
///
/// client.execute(&FlushFlows::of_family(Family::IPV6))?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushFlows {
    filter: KernelFilter,
}

impl FlushFlows {
    /// Deletes every flow of the namespace.
    #[must_use]
    pub const fn all() -> Self {
        Self::of_family(Family::UNSPEC)
    }

    /// Deletes every flow of that family (before Linux 5.2: of both).
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        Self { filter: KernelFilter::of_family(family) }
    }

    /// Returns the filter.
    #[must_use]
    pub const fn filter(&self) -> KernelFilter {
        self.filter
    }

    /// Deletes the flows that the kernel selects with that filter.
    ///
    /// A kernel ignores parts of a filter that it does not know, and deletes more, up to everything. Use only the
    /// filters that [`Plan::flush`](crate::filter::Plan::flush) returns for probed capabilities.
    #[must_use]
    pub(crate) const fn matching(filter: KernelFilter) -> Self {
        Self { filter }
    }
}

impl EncodeRequest for FlushFlows {
    fn operation(&self) -> Operation {
        Operation::FlushFlows
    }

    fn header(&self) -> RequestHeader {
        // With version 0 the kernel ignores the family and deletes the flows of both.
        RequestHeader::acknowledged(MessageType::FLOW_DELETE, self.filter.family()).with_version(1)
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.filter.encode(encoder);
    }
}
