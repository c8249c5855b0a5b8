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

    /// Which flow.
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

/// The request to delete every flow, every flow of a family, or those that the kernel finds by a filter.
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

    /// Deletes every flow of that family (Linux 5.2 and later; before it, all).
    #[must_use]
    pub const fn of_family(family: Family) -> Self {
        Self { filter: KernelFilter::of_family(family) }
    }

    /// Which flows.
    #[must_use]
    pub const fn filter(&self) -> KernelFilter {
        self.filter
    }

    /// Deletes the flows that the kernel finds by that filter.
    ///
    /// A kernel that does not know a part of the filter passes over it and deletes more, up to everything: send it only
    /// what [`Plan::flush`](crate::filter::Plan::flush) gave for capabilities that were probed.
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
        // In version 0 the kernel does not look at the family and deletes them all.
        RequestHeader::acknowledged(MessageType::FLOW_DELETE, self.filter.family()).with_version(1)
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.filter.encode(encoder);
    }
}
