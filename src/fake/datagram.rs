//! Messages of the kernel as bytes.

use crate::{
    error::Errno,
    wire::{Encoder, Flags, Header, MessageType, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS, NetfilterHeader},
};

/// The initial size of a message buffer, which grows if needed.
const USUAL_LENGTH: usize = 1024;

/// The fields of a netlink header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) message_type: MessageType,
    pub(super) flags: Flags,
    pub(super) sequence: u32,
    /// The port of the process that sent the request or caused the event.
    pub(super) port: u32,
}

/// The reason of a refusal (`NLMSG_ERROR` and `struct netlink_ext_ack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) errno: Errno,
    pub(super) text: Option<&'static str>,
    /// The byte of the request at which the offending attribute starts.
    pub(super) offset: Option<u32>,
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self { errno, text: None, offset: None }
    }
}

impl Refused {
    /// An attribute that violates the kernel's policy.
    pub(super) const fn by_policy(errno: Errno, text: &'static str, offset: u32) -> Self {
        Self { errno, text: Some(text), offset: Some(offset) }
    }
}

/// Encodes a message.
pub(super) fn message(head: Head, payload: impl Fn(&mut Encoder<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; USUAL_LENGTH];
    loop {
        let mut encoder = Encoder::new(&mut buffer);
        encoder.netlink_message(head.message_type, head.flags, head.sequence, &payload);
        let length = encoder.length();
        if length <= buffer.len() {
            buffer.truncate(length);
            break;
        }
        buffer.resize(length, 0);
    }
    if let Some(port) = buffer.get_mut(12..16) {
        port.copy_from_slice(&head.port.to_ne_bytes());
    }
    buffer
}

/// Encodes a netfilter message.
pub(super) fn netfilter(head: Head, header: NetfilterHeader, attributes: impl Fn(&mut Encoder<'_>)) -> Vec<u8> {
    message(head, |payload| {
        payload.netfilter_header(header);
        attributes(payload);
    })
}

/// Encodes the acknowledgement or refusal of a request.
pub(super) fn acknowledgement(request: &Header, port: u32, refused: Option<Refused>) -> Vec<u8> {
    let (text, offset) = refused.map_or((None, None), |refused| (refused.text, refused.offset));
    let mut flags = Flags::CAPPED;
    flags.set(Flags::ACKNOWLEDGEMENT_ATTRIBUTES, text.is_some() || offset.is_some());
    let head = Head { message_type: MessageType::ERROR, flags, sequence: request.sequence, port };
    message(head, |payload| {
        payload.raw(&refused.map_or(0, |refused| refused.errno.0.saturating_neg()).to_ne_bytes());
        payload.raw(&request.length.to_ne_bytes());
        payload.raw(&request.message_type.0.to_ne_bytes());
        payload.raw(&request.flags.bits().to_ne_bytes());
        payload.raw(&request.sequence.to_ne_bytes());
        payload.raw(&request.port.to_ne_bytes());
        if let Some(text) = text {
            payload.text(NLMSGERR_ATTR_MSG, text);
        }
        if let Some(offset) = offset {
            payload.u32_host(NLMSGERR_ATTR_OFFS, offset);
        }
    })
}

/// Encodes the end of a dump.
pub(super) fn done(sequence: u32, port: u32, errno: Errno) -> Vec<u8> {
    let head = Head { message_type: MessageType::DONE, flags: Flags::MULTI, sequence, port };
    message(head, |payload| payload.raw(&errno.0.saturating_neg().to_ne_bytes()))
}
