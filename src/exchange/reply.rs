//! The answer to one request, message by message.

use crate::{
    error::{Errno, KernelError, Operation},
    wire::{Acknowledgement, Done, Message, MessageType},
};

/// The highest type that is netlink's own (`NLMSG_MIN_TYPE` is 16).
const LAST_CONTROL_TYPE: u16 = 15;

/// The answer to one request, as far as it has come.
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

/// What a message is to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a message is one of these, whatever it holds")]
pub enum Received {
    /// Part of the answer.
    Item,
    /// The end of the answer.
    End,
    /// The end of the answer: the kernel refuses.
    Refused(Refusal),
    /// Nothing to do with this request: an answer to an earlier one, an event, a no-operation.
    Foreign,
}

/// What the kernel said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's text, if it has one.
    pub text: Option<Box<str>>,
    /// The byte of the request at which the offending attribute starts.
    pub offset: Option<u32>,
}

impl Refusal {
    /// As the error of that operation.
    #[must_use]
    pub fn into_error(self, operation: Operation) -> KernelError {
        KernelError::new(operation, self.errno).with_details(self.text.as_deref(), None)
    }

    /// Reads an `ERROR` message; `None` for an acknowledgement. One that is cut short is a refusal without a number.
    pub(super) fn read(message: &Message<'_>) -> Option<Self> {
        let acknowledgement = match Acknowledgement::parse(message) {
            Ok(acknowledgement) => acknowledgement,
            Err(_) => return Some(Self { errno: Errno(0), text: None, offset: None }),
        };
        (acknowledgement.errno != 0).then(|| Self {
            errno: Errno(acknowledgement.errno),
            text: acknowledgement.text.map(Into::into),
            offset: acknowledgement.offset,
        })
    }
}

impl Exchange {
    /// The answer to the request of that sequence number, of which nothing has come yet.
    #[must_use]
    pub const fn new(operation: Operation, sequence: u32) -> Self {
        Self { operation, sequence, finished: false }
    }

    /// What was asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether the answer is complete.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes the next message, and tells what it is to this exchange. After the end every message is foreign.
    #[inline]
    pub fn receive(&mut self, message: &Message<'_>) -> Received {
        let header = message.header();
        if header.sequence != self.sequence || self.finished {
            return Received::Foreign;
        }
        if header.message_type.0 > LAST_CONTROL_TYPE { Received::Item } else { self.receive_control(message) }
    }

    #[cold]
    fn receive_control(&mut self, message: &Message<'_>) -> Received {
        let refusal = match message.header().message_type {
            MessageType::ERROR => Refusal::read(message),
            MessageType::DONE => match Done::parse(message) {
                Ok(Done { errno: 0 }) | Err(_) => None,
                Ok(Done { errno }) => Some(Refusal { errno: Errno(errno), text: None, offset: None }),
            },
            _ => return Received::Foreign,
        };
        self.finished = true;
        refusal.map_or(Received::End, Received::Refused)
    }
}
