//! Get one flow.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::Operation,
    model::FlowKey,
    wire::{Encoder, MessageType},
};

/// The request for one flow, by tuple and zone. The kernel compares neither direction nor identifier;
/// [`Client::get`](crate::Client::get) does.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Tuple, request::GetFlow};
///
/// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?));
/// assert!(GetFlow::new(key).and_zero_counters().zeroes_counters());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
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

    /// Sets the counters of the flow to zero in the same step. Unlike in a dump, no count is lost.
    #[must_use]
    pub const fn and_zero_counters(self) -> Self {
        Self { zero_counters: true, ..self }
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }

    /// Returns true if the counters of the flow are set to zero.
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
        // The answer has the flag MULTI, but no DONE follows: the acknowledgement ends it.
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
