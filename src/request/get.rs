//! Get one flow.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::Operation,
    model::FlowKey,
    wire::{Encoder, MessageType},
};

/// The request for one flow, by either tuple and the zone. The kernel does not look at the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetFlow {
    key: FlowKey,
    zero_counters: bool,
}

impl GetFlow {
    /// Gets the flow of that key.
    #[must_use]
    pub const fn new(key: FlowKey) -> Self {
        Self { key, zero_counters: false }
    }

    /// Sets its counters to zero in the same moment. For one flow nothing is lost.
    #[must_use]
    pub const fn and_zero_counters(self) -> Self {
        Self { zero_counters: true, ..self }
    }

    /// Which flow.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }

    /// Whether its counters are set to zero.
    #[must_use]
    pub const fn zeroes_counters(&self) -> bool {
        self.zero_counters
    }
}

impl EncodeRequest for GetFlow {
    fn operation(&self) -> Operation {
        Operation::GetFlow
    }

    fn header(&self) -> RequestHeader {
        let message_type = if self.zero_counters { MessageType::FLOW_GET_ZERO_COUNTERS } else { MessageType::FLOW_GET };
        // The answer carries MULTI, but no DONE follows: the acknowledgement is the end.
        RequestHeader::acknowledged(message_type, self.key.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.key.encode(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        Some(self.key)
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        key.encode(encoder);
    }
}
