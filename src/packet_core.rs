//! The traits of netlink-packet-core (feature `packet-core`), so that our messages travel through netlink-proto and the
//! rest of rust-netlink.
//!
//! netlink-packet-utils, which held some of these traits once, was merged into netlink-packet-core.

use netlink_packet_core::{
    DecodeError as CoreError, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, Parseable,
};

use crate::{
    error::DecodeError,
    message::Message,
    model::{Expectation, Flow},
    wire::{self, Encoder, Flags, Header, MessageType, Messages},
};

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let header = Header {
            length: header.length,
            message_type: MessageType(header.message_type),
            flags: Flags::from_bits_retain(header.flags),
            sequence: header.sequence_number,
            port: header.port_number,
        };
        Self::decode(&wire::Message::from_parts(header, payload))
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.message_type().0
    }

    fn buffer_len(&self) -> usize {
        measure(|encoder| self.encode_payload(encoder))
    }

    fn serialize(&self, buffer: &mut [u8]) {
        self.encode_payload(&mut Encoder::new(buffer));
    }
}

impl From<Message> for NetlinkMessage<Message> {
    /// The message with the type and flags that it has to have; sequence number and length are for the sender to fill
    /// in.
    fn from(message: Message) -> Self {
        let mut header = NetlinkHeader::default();
        header.flags = message.flags().bits();
        header.message_type = message.message_type().0;
        Self::new(header, NetlinkPayload::InnerMessage(message))
    }
}

impl Emitable for Flow {
    fn buffer_len(&self) -> usize {
        measure(|encoder| self.encode(encoder))
    }

    /// Writes the attributes.
    fn emit(&self, buffer: &mut [u8]) {
        self.encode(&mut Encoder::new(buffer));
    }
}

impl Emitable for Expectation {
    fn buffer_len(&self) -> usize {
        measure(|encoder| self.encode(encoder))
    }

    /// Writes the attributes.
    fn emit(&self, buffer: &mut [u8]) {
        self.encode(&mut Encoder::new(buffer));
    }
}

impl Parseable<[u8]> for Message {
    /// Reads one message with its netlink header.
    fn parse(bytes: &[u8]) -> Result<Self, CoreError> {
        let message = Messages::new(bytes).next().ok_or_else(|| CoreError::from("no message in an empty buffer"))?;
        message.and_then(|message| Self::decode(&message)).map_err(|error| CoreError::from(error.to_string()))
    }
}

/// What an encoder without a buffer counts.
fn measure(encode: impl FnOnce(&mut Encoder<'_>)) -> usize {
    let mut encoder = Encoder::new(&mut []);
    encode(&mut encoder);
    encoder.length()
}
