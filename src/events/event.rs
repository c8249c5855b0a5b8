//! One event.

use crate::{
    error::DecodeError,
    model::{EventKind, ExpectationRef, FlowRef},
    wire::{Flags, Header, Message, MessageType},
};

/// What a listener is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A flow entered the table.
    New(FlowEvent<'a>),
    /// Something of a flow changed, or a user asked for a change.
    Update(FlowEvent<'a>),
    /// A flow left the table.
    Destroy(FlowEvent<'a>),
    /// An expectation was made.
    ExpectationNew(ExpectationEvent<'a>),
    /// An expectation ended: it was met, ran out, or was deleted.
    ExpectationDestroy(ExpectationEvent<'a>),
    /// Events are missing here.
    ///
    /// It comes after the last event that is older than the loss: at once where the buffer is found empty then, and some
    /// events late where new ones come in faster than that can be seen. It does not come early, but for an event that
    /// another processor was about to queue in that moment.
    Overrun,
    /// The kernel sent something that is no event, or does not decode.
    Malformed(Malformed<'a>),
}

/// An event of a flow.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FlowEvent<'a> {
    /// The flow: see [`Flow`](crate::Flow) for what which event tells of it.
    pub flow: FlowRef<'a>,
    /// The netlink port of the process whose request caused the event; `None` where a packet or a timer did.
    pub port_id: Option<u32>,
    /// The network namespace that it happened in, by the number that the listener's own namespace knows it by; `None`
    /// for the listener's own. See [`all_namespaces`](crate::EventSocketBuilder::all_namespaces).
    pub namespace_id: Option<i32>,
}

/// An event of an expectation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ExpectationEvent<'a> {
    /// The expectation.
    pub expectation: ExpectationRef<'a>,
    /// The netlink port of the process whose request caused the event; `None` where a packet or a timer did.
    pub port_id: Option<u32>,
    /// The network namespace that it happened in, by the number that the listener's own namespace knows it by; `None`
    /// for the listener's own. See [`all_namespaces`](crate::EventSocketBuilder::all_namespaces).
    pub namespace_id: Option<i32>,
}

/// A message of the kernel that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed<'a> {
    /// What is wrong, at which byte of the datagram.
    pub error: DecodeError,
    /// The message, or where its length cannot be, the rest of the datagram.
    pub bytes: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads an event.
    ///
    /// A new and a changed flow have the same type of message, and are told apart by its flags.
    ///
    /// # Errors
    ///
    /// Where the message is of another type, or its attributes are malformed.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Event, EventKind, Flow, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
    ///
    /// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
    /// # let sent = Flow::new(original, original.inverted().unwrap());
    /// # let mut buffer = [0; 256];
    /// # let mut encoder = Encoder::new(&mut buffer);
    /// # let flags = Flags::CREATE | Flags::EXCLUSIVE;
    /// # encoder.message(MessageType::FLOW_NEW, flags, 0, sent.family(), |body| sent.encode(body));
    /// # let length = encoder.finish()?;
    /// # let datagram = &buffer[..length];
    /// for message in Messages::new(datagram) {
    ///     let event = Event::parse(&message?)?;
    ///     assert_eq!(event.kind(), Some(EventKind::New));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn parse(message: &Message<'a>) -> Result<Self, DecodeError> {
        let header = message.header();
        let port_id = (header.port != 0).then_some(header.port);
        match header.message_type {
            MessageType::FLOW_NEW | MessageType::FLOW_DELETE => {
                let event = FlowEvent { flow: FlowRef::parse(message)?, port_id, namespace_id: None };
                Ok(match flow_event_kind(header) {
                    EventKind::New => Self::New(event),
                    EventKind::Update => Self::Update(event),
                    EventKind::Destroy => Self::Destroy(event),
                })
            }
            MessageType::EXPECTATION_NEW => Ok(Self::ExpectationNew(expectation_event(message, port_id)?)),
            MessageType::EXPECTATION_DELETE => Ok(Self::ExpectationDestroy(expectation_event(message, port_id)?)),
            _ => Err(message.unexpected_type()),
        }
    }

    /// What happened to the flow or expectation; `None` for what is no event of one.
    #[must_use]
    pub const fn kind(&self) -> Option<EventKind> {
        match self {
            Self::New(_) | Self::ExpectationNew(_) => Some(EventKind::New),
            Self::Update(_) => Some(EventKind::Update),
            Self::Destroy(_) | Self::ExpectationDestroy(_) => Some(EventKind::Destroy),
            Self::Overrun | Self::Malformed(_) => None,
        }
    }

    /// The network namespace that it happened in; `None` for the listener's own, and for what is no event of a flow or
    /// expectation.
    #[must_use]
    pub const fn namespace_id(&self) -> Option<i32> {
        match self {
            Self::New(event) | Self::Update(event) | Self::Destroy(event) => event.namespace_id,
            Self::ExpectationNew(event) | Self::ExpectationDestroy(event) => event.namespace_id,
            Self::Overrun | Self::Malformed(_) => None,
        }
    }

    /// The event as one of another namespace.
    #[cfg(any(test, all(target_os = "linux", feature = "client")))]
    #[cold]
    pub(crate) const fn in_namespace(mut self, id: i32) -> Self {
        match &mut self {
            Self::New(event) | Self::Update(event) | Self::Destroy(event) => event.namespace_id = Some(id),
            Self::ExpectationNew(event) | Self::ExpectationDestroy(event) => event.namespace_id = Some(id),
            Self::Overrun | Self::Malformed(_) => {}
        }
        self
    }

    /// What happened to which flow; `None` for what is no event of a flow.
    #[must_use]
    pub const fn flow(&self) -> Option<(EventKind, FlowEvent<'a>)> {
        match *self {
            Self::New(event) => Some((EventKind::New, event)),
            Self::Update(event) => Some((EventKind::Update, event)),
            Self::Destroy(event) => Some((EventKind::Destroy, event)),
            _ => None,
        }
    }
}

fn expectation_event<'a>(message: &Message<'a>, port_id: Option<u32>) -> Result<ExpectationEvent<'a>, DecodeError> {
    Ok(ExpectationEvent { expectation: ExpectationRef::parse(message)?, port_id, namespace_id: None })
}

#[inline]
fn flow_event_kind(header: Header) -> EventKind {
    if header.message_type == MessageType::FLOW_DELETE {
        EventKind::Destroy
    } else if header.flags.intersects(Flags::CREATE | Flags::EXCLUSIVE) {
        EventKind::New
    } else {
        EventKind::Update
    }
}
