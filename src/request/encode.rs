//! How a request is written: the part of [`Request`](super::Request) that only this crate calls.

use crate::{
    error::Operation,
    model::FlowKey,
    wire::{Encoder, Family, Flags, MessageType, NetfilterHeader},
};

/// The private part of [`Request`].
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

/// The contents of the headers of a request: netlink's and netfilter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unnameable_types, reason = "sealed: only `EncodeRequest` uses it")]
pub struct RequestHeader {
    /// The type of the message.
    pub message_type: MessageType,
    /// The flags. They request an acknowledgement if nothing else marks the end of the answer.
    pub flags: Flags,
    /// The family.
    pub family: Family,
    /// The version in netfilter's header, which matters in a flush only.
    pub version: u8,
}

impl RequestHeader {
    /// The headers of a request whose answer ends with an acknowledgement.
    #[must_use]
    pub const fn acknowledged(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::ACK, family)
    }

    /// The headers of a request whose answer is a dump, which ends with DONE.
    #[must_use]
    pub const fn dump(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::DUMP, family)
    }

    const fn new(message_type: MessageType, flags: Flags, family: Family) -> Self {
        Self { message_type, flags: Flags::REQUEST.union(flags), family, version: 0 }
    }

    /// Adds flags.
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { flags: self.flags.union(flags), ..self }
    }

    /// Sets the version.
    #[must_use]
    pub const fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    fn encode_netfilter(self, encoder: &mut Encoder<'_>) {
        encoder.netfilter_header(NetfilterHeader::new(self.family).with_version(self.version));
    }
}
