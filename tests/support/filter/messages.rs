//! Flows in messages, and the time at which filters look at them.

use ctnetlink::{
    Flow, Timestamp,
    wire::{Encoder, Flags, MessageType, Messages, RawMessage},
};

pub(crate) const NOW: Timestamp = Timestamp(100_000_000_000);

/// Encodes the flow in a message.
pub(crate) fn encoded(flow: &Flow, message_type: MessageType, flags: Flags) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(message_type, flags, 0, flow.family(), |body| flow.encode(body));
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}

pub(crate) fn message(bytes: &[u8]) -> RawMessage<'_> {
    Messages::new(bytes).next().unwrap().unwrap()
}
