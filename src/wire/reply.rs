//! Netlink's control messages: acknowledgement, error, end of a dump.

use super::{
    AttributeSet, Attributes, Flags, Message, MessageType, NETLINK_HEADER_LENGTH, NLMSGERR_ATTR_MISS_TYPE,
    NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
};
use crate::error::{DecodeError, DecodeErrorKind};

const CODE_LENGTH: usize = 4;

/// `NLMSG_ERROR`: the answer to a request that failed, or asked to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement<'a> {
    /// The errno, positive; 0 is success.
    pub errno: i32,
    /// What the kernel says of it. Only violations of its attribute policy have a text.
    pub text: Option<&'a str>,
    /// The byte of the request, from its netlink header on, at which the offending attribute starts.
    pub offset: Option<u32>,
    /// The number of an attribute that the request lacks.
    pub missing: Option<u16>,
}

impl<'a> Acknowledgement<'a> {
    /// Reads an `ERROR` message.
    ///
    /// The extended part is only help for a person: where it is malformed it is left out, so that the errno arrives.
    ///
    /// # Errors
    ///
    /// Where the message is of another type, or has no code.
    pub fn parse(message: &Message<'a>) -> Result<Self, DecodeError> {
        if message.header().message_type != MessageType::ERROR {
            return Err(message.unexpected_type());
        }
        let (code, echoed) = split_code(message)?;
        let mut acknowledgement = Self { errno: code.saturating_neg(), text: None, offset: None, missing: None };
        for attribute in extended_attributes(message.header().flags, echoed).map_while(Result::ok) {
            match attribute.number() {
                NLMSGERR_ATTR_MSG => acknowledgement.text = attribute.text().ok(),
                NLMSGERR_ATTR_OFFS => acknowledgement.offset = attribute.u32_host().ok(),
                NLMSGERR_ATTR_MISS_TYPE => {
                    acknowledgement.missing = attribute.u32_host().ok().and_then(|number| number.try_into().ok());
                }
                _ => {}
            }
        }
        Ok(acknowledgement)
    }
}

/// `NLMSG_DONE`: the end of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// The errno with which the dump ended, positive; 0 is success.
    pub errno: i32,
}

impl Done {
    /// Reads a `DONE` message. One without a code is a success.
    ///
    /// # Errors
    ///
    /// Where the message is of another type.
    pub fn parse(message: &Message<'_>) -> Result<Self, DecodeError> {
        if message.header().message_type != MessageType::DONE {
            return Err(message.unexpected_type());
        }
        Ok(Self { errno: split_code(message).map_or(0, |(code, _)| code.saturating_neg()) })
    }
}

fn split_code<'a>(message: &Message<'a>) -> Result<(i32, &'a [u8]), DecodeError> {
    let payload = message.payload();
    match payload.split_first_chunk::<CODE_LENGTH>() {
        Some((code, rest)) => Ok((i32::from_ne_bytes(*code), rest)),
        None => Err(DecodeError::new(
            DecodeErrorKind::Truncated { needed: CODE_LENGTH as u32, available: payload.len() as u32 },
            message.offset().saturating_add(NETLINK_HEADER_LENGTH),
        )),
    }
}

/// What follows the echoed request: all of it, or its header alone where the answer is capped.
fn extended_attributes(flags: Flags, echoed: &[u8]) -> Attributes<'_> {
    let mut rest: &[u8] = &[];
    if flags.contains(Flags::ACKNOWLEDGEMENT_ATTRIBUTES) {
        let echoed_length = match echoed.first_chunk::<4>() {
            Some(length) if !flags.contains(Flags::CAPPED) => u32::from_ne_bytes(*length) as usize,
            _ => NETLINK_HEADER_LENGTH,
        };
        let start = echoed_length.checked_next_multiple_of(super::header::ALIGNMENT);
        rest = start.and_then(|start| echoed.get(start..)).unwrap_or_default();
    }
    Attributes::new(rest, AttributeSet::Acknowledgement)
}
