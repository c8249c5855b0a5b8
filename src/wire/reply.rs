//! Netlink's control messages: acknowledgement, error, end of a dump.

use super::{
    AttributeSet, Attributes, Encoder, Flags, MessageType, NETLINK_HEADER_LENGTH, NLMSGERR_ATTR_MISS_TYPE,
    NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS, RawMessage,
};
use crate::error::{DecodeError, DecodeErrorKind, Errno, KernelError, Operation};

const CODE_LENGTH: usize = 4;

/// The end of an answer: `NLMSG_ERROR`, for a request that failed or asked for an acknowledgement, or `NLMSG_DONE`, the end
/// of a dump.
///
/// # Examples
///
/// ```
/// use ctnetlink::{Errno, Operation, wire::Acknowledgement};
///
/// let refused = Acknowledgement::new(Errno::ENOENT);
/// assert!(!refused.is_success());
/// assert!(refused.into_error(Operation::DeleteFlow).to_string().contains("no such flow"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// The error number; 0 is success.
    pub errno: Errno,
    /// The kernel's text. Only violations of its attribute policy have one.
    pub text: Option<Box<str>>,
    /// The offset at which the offending attribute starts, in bytes from the netlink header of the request.
    pub offset: Option<u32>,
    /// The number of an attribute that the request lacks.
    pub missing: Option<u16>,
}

impl Acknowledgement {
    /// Creates an acknowledgement with this error number and without details.
    #[must_use]
    pub const fn new(errno: Errno) -> Self {
        Self { errno, text: None, offset: None, missing: None }
    }

    /// Decodes an `ERROR` or `DONE` message. A `DONE` without a code is a success.
    ///
    /// Malformed details are left out, so that the error number arrives.
    ///
    /// # Errors
    ///
    /// Fails if the message has another type, or is an `ERROR` without a code.
    pub fn parse(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
        let (code, echoed) = match (message.header().message_type, split_code(message)) {
            (MessageType::ERROR, split) => split?,
            (MessageType::DONE, split) => return Ok(Self::of_code(split.map_or(0, |(code, _)| code))),
            _ => return Err(message.unexpected_type()),
        };
        let mut acknowledgement = Self::of_code(code);
        for attribute in extended_attributes(message.header().flags, echoed).map_while(Result::ok) {
            match attribute.number() {
                NLMSGERR_ATTR_MSG => acknowledgement.text = attribute.text().ok().map(Into::into),
                NLMSGERR_ATTR_OFFS => acknowledgement.offset = attribute.u32_host().ok(),
                NLMSGERR_ATTR_MISS_TYPE => {
                    acknowledgement.missing = attribute.u32_host().ok().and_then(|number| number.try_into().ok());
                }
                _ => {}
            }
        }
        Ok(acknowledgement)
    }

    const fn of_code(code: i32) -> Self {
        Self::new(Errno(code.saturating_neg()))
    }

    /// Returns true if the request succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.errno.0 == 0
    }

    /// Converts a refusal into the error of that operation.
    #[must_use]
    pub fn into_error(self, operation: Operation) -> KernelError {
        KernelError::new(operation, self.errno).with_details(self.text.as_deref(), None)
    }

    /// The flags of an `ERROR` message that [`encode`](Self::encode) writes the payload of.
    pub(crate) fn flags(&self) -> Flags {
        let has_details = self.text.is_some() || self.offset.is_some() || self.missing.is_some();
        if has_details { Flags::CAPPED | Flags::ACKNOWLEDGEMENT_ATTRIBUTES } else { Flags::CAPPED }
    }

    /// Writes the code, an empty header in place of that of the request, and the details.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.raw(&self.errno.0.saturating_neg().to_ne_bytes());
        encoder.raw(&[0; NETLINK_HEADER_LENGTH]);
        if let Some(text) = &self.text {
            encoder.text(NLMSGERR_ATTR_MSG, text);
        }
        if let Some(offset) = self.offset {
            encoder.u32_host(NLMSGERR_ATTR_OFFS, offset);
        }
        if let Some(missing) = self.missing {
            encoder.u32_host(NLMSGERR_ATTR_MISS_TYPE, missing.into());
        }
    }
}

fn split_code<'a>(message: &RawMessage<'a>) -> Result<(i32, &'a [u8]), DecodeError> {
    let payload = message.payload();
    match payload.split_first_chunk::<CODE_LENGTH>() {
        Some((code, rest)) => Ok((i32::from_ne_bytes(*code), rest)),
        None => Err(DecodeError::new(
            DecodeErrorKind::Truncated { needed: CODE_LENGTH as u32, available: payload.len() as u32 },
            message.offset().saturating_add(NETLINK_HEADER_LENGTH),
        )),
    }
}

/// Returns the attributes after the echoed request, of which a capped answer echoes only the header.
fn extended_attributes(flags: Flags, echoed: &[u8]) -> Attributes<'_> {
    let mut rest: &[u8] = &[];
    if flags.contains(Flags::ACKNOWLEDGEMENT_ATTRIBUTES) {
        let echoed_length = match echoed.first_chunk::<4>() {
            Some(length) if !flags.contains(Flags::CAPPED) => u32::from_ne_bytes(*length) as usize,
            _ => NETLINK_HEADER_LENGTH,
        };
        let start = echoed_length.checked_next_multiple_of(super::attribute::ALIGNMENT);
        rest = start.and_then(|start| echoed.get(start..)).unwrap_or_default();
    }
    Attributes::new(rest, AttributeSet::Acknowledgement)
}
