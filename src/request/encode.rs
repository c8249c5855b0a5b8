//! How a request is written.

use super::RequestHeader;
use crate::{error::Operation, model::FlowKey, wire::Encoder};

/// What [`Request`](super::Request) hides.
#[allow(unnameable_types, reason = "sealed: no other crate implements or calls it")]
pub trait EncodeRequest {
    /// The operation, for errors.
    fn operation(&self) -> Operation;

    /// The contents of its headers.
    fn header(&self) -> RequestHeader;

    /// Writes its attributes.
    fn encode_attributes(&self, encoder: &mut Encoder<'_>);

    /// The key of the flow that it names, if it names one.
    fn key(&self) -> Option<FlowKey> {
        None
    }

    /// Writes its attributes with another form of its key.
    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        let _ = key;
        self.encode_attributes(encoder);
    }

    /// Writes everything after the netlink header: `struct nfgenmsg` and the attributes.
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

impl<T: EncodeRequest + ?Sized> EncodeRequest for &T {
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
