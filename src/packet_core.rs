//! The traits of netlink-packet-core (feature `packet-core`), to transport messages through netlink-proto and the rest of
//! rust-netlink.
//!
//! netlink-packet-utils, which held some of these traits once, was merged into netlink-packet-core.

use netlink_packet_core::{
    DecodeError as CoreError, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, Parseable,
};

use crate::{
    error::{DecodeError, EncodeError},
    message::Message,
    model::{Expectation, Flow},
    wire::{self, CTA_EXPECT_TIMEOUT, Encoder, Flags, Header, MessageType, Messages},
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
        Self::decode(&wire::RawMessage::from_parts(header, payload))
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.message_type().0
    }

    fn buffer_len(&self) -> usize {
        if is_encodable(self) { measure(|encoder| self.encode_payload(encoder)) } else { REFUSED.len() }
    }

    /// Writes the payload. A message that cannot be encoded (a name with a NUL, a range without a begin) becomes one
    /// that the kernel refuses as out of range, because the trait cannot return an error. Without the attribute, a delete
    /// could become a flush.
    fn serialize(&self, buffer: &mut [u8]) {
        if is_encodable(self) {
            self.encode_payload(&mut Encoder::new(buffer));
        } else {
            buffer.iter_mut().zip(REFUSED).for_each(|(target, byte)| *target = byte);
        }
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

/// `struct nfgenmsg`, and an attribute 4 of one byte: neither `CTA_PROTOINFO` nor `CTA_EXPECT_TIMEOUT` may be so short.
const REFUSED: [u8; 12] = {
    let ([l0, l1], [n0, n1]) = (5_u16.to_ne_bytes(), CTA_EXPECT_TIMEOUT.to_ne_bytes());
    [0, 0, 0, 0, l0, l1, n0, n1, 0, 0, 0, 0]
};

/// Returns true if only the buffer is too small.
fn is_encodable(message: &Message) -> bool {
    let mut encoder = Encoder::new(&mut []);
    message.encode_payload(&mut encoder);
    matches!(encoder.finish(), Ok(_) | Err(EncodeError::BufferTooSmall { .. }))
}

/// Returns the size that an encoder without a buffer counts.
fn measure(encode: impl FnOnce(&mut Encoder<'_>)) -> usize {
    let mut encoder = Encoder::new(&mut []);
    encode(&mut encoder);
    encoder.length()
}
