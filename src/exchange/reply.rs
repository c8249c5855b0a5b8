//! The answer to one request, message by message, and the meaning of a refusal.

use crate::{
    error::{Errno, KernelError, Operation},
    wire::{
        Acknowledgement, AttributeSet, Attributes, CTA_TIMEOUT, MessageType, Messages, NETFILTER_HEADER_LENGTH,
        NETLINK_HEADER_LENGTH, RawMessage,
    },
};

/// The highest type that is netlink's own (`NLMSG_MIN_TYPE` is 16).
const LAST_CONTROL_TYPE: u16 = 15;
/// The most levels of nested attributes: more than any request of this crate has.
const DEPTH: usize = 6;

/// The progress of the answer to one request.
///
/// # Example
///
/// ```
/// use ctnetlink::{Operation, exchange::{Exchange, Received}, wire::Messages};
///
/// # let datagram = [20, 0, 0, 0, 3, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// let mut exchange = Exchange::new(Operation::DumpFlows, 7);
/// for message in Messages::new(&datagram) {
///     match exchange.receive(&message?) {
///         Received::Item => { /* decode it */ }
///         Received::End => assert!(exchange.is_finished()),
///         Received::Refused(refusal) => return Err(refusal.into_error(Operation::DumpFlows).into()),
///         Received::Foreign => {} // the answer to something else
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    operation: Operation,
    sequence: u32,
    finished: bool,
}

/// The meaning of a message for an exchange.
///
/// # Example
///
/// ```
/// use ctnetlink::{Operation, exchange::{Exchange, Received}, wire::Messages};
///
/// // The end of a dump: length, type DONE, NLM_F_MULTI, sequence number and port, then no error.
/// let datagram = [20_u32.to_ne_bytes(), [3, 0, 2, 0], 7_u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
/// let mut exchange = Exchange::new(Operation::DumpFlows, 7);
/// for message in Messages::new(&datagram) {
///     assert_eq!(exchange.receive(&message?), Received::End);
/// }
/// # Ok::<(), ctnetlink::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a message is one of these, whatever it holds")]
pub enum Received {
    /// Part of the answer.
    Item,
    /// The end of the answer.
    End,
    /// The end of the answer: the kernel refuses.
    Refused(Acknowledgement),
    /// A message of another exchange, an event, or a no-operation.
    Foreign,
}

/// The refusal in an `ERROR` or `DONE` message; `None` for a success. A message that is cut short is a refusal without a
/// number.
pub(super) fn refusal(message: &RawMessage<'_>) -> Option<Acknowledgement> {
    let answer = match Acknowledgement::parse(message) {
        Ok(answer) => answer,
        Err(_) => return Some(Acknowledgement::new(Errno(0))),
    };
    (!answer.is_success()).then_some(answer)
}

impl Exchange {
    /// An exchange for the request with that sequence number, before the first message of its answer.
    #[must_use]
    pub const fn new(operation: Operation, sequence: u32) -> Self {
        Self { operation, sequence, finished: false }
    }

    /// Returns the operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns true if the answer is complete.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes the next message and returns its meaning for this exchange. After the end every message is foreign.
    #[inline]
    pub fn receive(&mut self, message: &RawMessage<'_>) -> Received {
        let header = message.header();
        if header.sequence != self.sequence || self.finished {
            return Received::Foreign;
        }
        if header.message_type.0 > LAST_CONTROL_TYPE { Received::Item } else { self.receive_control(message) }
    }

    #[cold]
    fn receive_control(&mut self, message: &RawMessage<'_>) -> Received {
        let refusal = match message.header().message_type {
            MessageType::ERROR | MessageType::DONE => refusal(message),
            _ => return Received::Foreign,
        };
        self.finished = true;
        refusal.map_or(Received::End, Received::Refused)
    }
}

/// Converts a refusal into an error that names the attribute that the kernel refers to.
pub(super) fn describe(refusal: Acknowledgement, operation: Operation, request: &[u8]) -> KernelError {
    let attribute = refusal.offset.and_then(|offset| attribute_path(request, offset as usize));
    let sets_timeout = operation == Operation::UpdateFlow && has_timeout(request);
    KernelError::new(operation, refusal.errno).with_details(refusal.text.as_deref(), attribute).of_timeout(sets_timeout)
}

fn has_timeout(request: &[u8]) -> bool {
    let message = Messages::new(request).next().and_then(Result::ok);
    let netfilter = message.and_then(|message| message.netfilter().ok());
    netfilter.is_some_and(|message| message.attributes(AttributeSet::Flow).find(CTA_TIMEOUT).is_some())
}

/// Returns the names of the attributes from the outermost to the one whose header is at `offset` of the request.
fn attribute_path(request: &[u8], offset: usize) -> Option<String> {
    let message = Messages::new(request).next()?.ok()?;
    let nest = match message.header().message_type.0 >> 8 {
        1 => AttributeSet::Flow,
        2 => AttributeSet::Expectation,
        _ => return None,
    };
    let place = offset.checked_sub(NETLINK_HEADER_LENGTH + NETFILTER_HEADER_LENGTH)?;
    let mut path = String::new();
    descend(message.netfilter().ok()?.attributes(nest), place, DEPTH, &mut path).then_some(path)
}

/// Writes the path to the attribute at `place` of this nest; `false` if none starts there.
fn descend(attributes: Attributes<'_>, place: usize, depth: usize, path: &mut String) -> bool {
    for attribute in attributes.map_while(Result::ok) {
        let inside = attribute.position() + 4;
        let end = inside + attribute.payload().len();
        if place >= end {
            continue;
        }
        let separator = if path.is_empty() { "" } else { " > " };
        let Some(name) = attribute.name() else { return false };
        path.push_str(separator);
        path.push_str(name);
        return match (place.checked_sub(inside), attribute.nest().child(attribute.number())) {
            (None, _) => place == attribute.position(),
            (Some(place), Some(nest)) if depth > 0 => descend(attribute.nested(nest), place, depth - 1, path),
            (Some(_), _) => false,
        };
    }
    false
}
