//! Events, owned and borrowed, and the groups that they are sent to.

use crate::{
    error::DecodeError,
    model::{EventKind, Expectation, ExpectationRef, Flow, FlowRef},
    wire::{Flags, Header, MessageType, RawMessage},
};

bitflags::bitflags! {
    /// The multicast groups of events (`enum nfnetlink_groups`), as the bits of a netlink address.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::EventGroups;
    ///
    /// let groups = EventGroups::NEW | EventGroups::DESTROY;
    /// assert!(EventGroups::FLOWS.contains(groups));
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EventGroups: u32 {
        /// New flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_NEW")]
        const NEW = 1 << 0;
        /// Changes of flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_UPDATE")]
        const UPDATE = 1 << 1;
        /// Ends of flows.
        #[doc(alias = "NFNLGRP_CONNTRACK_DESTROY")]
        const DESTROY = 1 << 2;
        /// New expectations.
        #[doc(alias = "NFNLGRP_CONNTRACK_EXP_NEW")]
        const EXPECTATION_NEW = 1 << 3;
        /// Ends of expectations. (The kernel defines a group for changes of expectations but never sends to it.)
        #[doc(alias = "NFNLGRP_CONNTRACK_EXP_DESTROY")]
        const EXPECTATION_DESTROY = 1 << 5;
        /// All events of flows.
        const FLOWS = Self::NEW.bits() | Self::UPDATE.bits() | Self::DESTROY.bits();
        /// All events of expectations.
        const EXPECTATIONS = Self::EXPECTATION_NEW.bits() | Self::EXPECTATION_DESTROY.bits();
    }
}

/// An event, as a value.
///
/// [`EventRef`] is the same as a view of the receive buffer.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Event, EventGroups, EventSocket};
///
/// for event in EventSocket::open(EventGroups::FLOWS)? {
///     match event? {
///         Event::New(new) => println!("new: {}", new.flow),
///         Event::Overrun => println!("events are missing here"),
///         _ => {}
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[allow(clippy::large_enum_variant, reason = "nearly all events are of flows: a box would cost an allocation for each")]
#[non_exhaustive]
pub enum Event {
    /// A flow entered the table.
    New(FlowEvent),
    /// A flow changed, or a program asked for a change.
    Update(FlowEvent),
    /// A flow left the table.
    Destroy(FlowEvent),
    /// An expectation was created.
    ExpectationNew(ExpectationEvent),
    /// An expectation ended: it was met, timed out, or was deleted.
    ExpectationDestroy(ExpectationEvent),
    /// Events are missing here: see [`EventRef::Overrun`].
    Overrun,
}

/// An event, as a view of the receive buffer.
///
/// [`Event`] is the same as a value: [`to_event`](Self::to_event) converts.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{EventGroups, EventRef, EventSocket};
///
/// let mut events = EventSocket::open(EventGroups::FLOWS)?;
/// while let Some(event) = events.next_view()? {
///     match event {
///         EventRef::Destroy(end) => println!("{:?}", end.flow.total_counters()),
///         EventRef::Overrun => println!("events are missing here"),
///         _ => {}
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EventRef<'a> {
    /// A flow entered the table.
    New(FlowEventRef<'a>),
    /// A flow changed, or a program asked for a change.
    Update(FlowEventRef<'a>),
    /// A flow left the table.
    Destroy(FlowEventRef<'a>),
    /// An expectation was created.
    ExpectationNew(ExpectationEventRef<'a>),
    /// An expectation ended: it was met, timed out, or was deleted.
    ExpectationDestroy(ExpectationEventRef<'a>),
    /// Events are missing here.
    ///
    /// It follows the last event that is older than the loss. If new events arrive faster than they are read, a few of
    /// them may come before it. It never comes too early, except before an event that another processor was about to
    /// queue at that moment.
    Overrun,
}

/// An event of a flow, as a value.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Event, EventGroups, EventSocket};
///
/// for event in EventSocket::open(EventGroups::DESTROY)? {
///     if let Event::Destroy(end) = event? {
///         match end.port_id {
///             Some(port) => println!("deleted by the process with port {port}: {}", end.flow),
///             None => println!("ended: {}", end.flow),
///         }
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FlowEvent {
    /// The flow. Its documentation says which event carries which attribute.
    pub flow: Flow,
    /// The netlink port of the process that caused the event by a request. `None` if a packet or a timer caused it.
    pub port_id: Option<u32>,
    /// The network namespace of the flow, as the number by which the listener's namespace knows it. `None` for the
    /// listener's own namespace. See [`all_namespaces`](crate::EventSocketBuilder::all_namespaces).
    pub namespace_id: Option<i32>,
}

/// An event of a flow, as a view of the receive buffer. See [`FlowEvent`] for the fields.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{EventGroups, EventRef, EventSocket, events::FlowEventRef};
///
/// let mut events = EventSocket::open(EventGroups::NEW)?;
/// while let Some(event) = events.next_view()? {
///     if let EventRef::New(FlowEventRef { flow, .. }) = event {
///         println!("{} begins a flow", flow.original().source());
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FlowEventRef<'a> {
    /// The flow.
    pub flow: FlowRef<'a>,
    /// The netlink port of the process that caused the event by a request.
    pub port_id: Option<u32>,
    /// The network namespace of the flow; `None` for the listener's own.
    pub namespace_id: Option<i32>,
}

/// An event of an expectation, as a value.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Event, EventGroups, EventSocket};
///
/// for event in EventSocket::open(EventGroups::EXPECTATIONS)? {
///     if let Event::ExpectationNew(new) = event? {
///         println!("expected: {}", new.expectation);
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ExpectationEvent {
    /// The expectation.
    pub expectation: Expectation,
    /// The netlink port of the process that caused the event by a request. `None` if a packet or a timer caused it.
    pub port_id: Option<u32>,
    /// The network namespace of the expectation, as the number by which the listener's namespace knows it. `None` for
    /// the listener's own namespace.
    pub namespace_id: Option<i32>,
}

/// An event of an expectation, as a view of the receive buffer. See
/// [`ExpectationEvent`] for the fields.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{EventGroups, EventRef, EventSocket};
///
/// let mut events = EventSocket::open(EventGroups::EXPECTATIONS)?;
/// while let Some(event) = events.next_view()? {
///     if let EventRef::ExpectationNew(new) = event {
///         println!("expected: {:?}", new.expectation.tuple());
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ExpectationEventRef<'a> {
    /// The expectation.
    pub expectation: ExpectationRef<'a>,
    /// The netlink port of the process that caused the event by a request.
    pub port_id: Option<u32>,
    /// The network namespace of the expectation; `None` for the listener's own.
    pub namespace_id: Option<i32>,
}

impl FlowEvent {
    /// Returns the event of a flow in the listener's own namespace, caused by a packet or a timer.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Event, Flow, FlowTable, Tuple, events::FlowEvent};
    ///
    /// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
    /// let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
    /// let mut table = FlowTable::new();
    /// table.apply(&Event::New(FlowEvent::new(flow)), &mut Vec::new());
    /// assert_eq!(table.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn new(flow: Flow) -> Self {
        Self { flow, port_id: None, namespace_id: None }
    }
}

impl FlowEventRef<'_> {
    /// Returns the event as a value.
    #[must_use]
    pub fn to_flow_event(&self) -> FlowEvent {
        FlowEvent { flow: self.flow.to_flow(), port_id: self.port_id, namespace_id: self.namespace_id }
    }
}

impl ExpectationEventRef<'_> {
    /// Returns the event as a value.
    #[must_use]
    pub fn to_expectation_event(&self) -> ExpectationEvent {
        let expectation = self.expectation.to_expectation();
        ExpectationEvent { expectation, port_id: self.port_id, namespace_id: self.namespace_id }
    }
}

/// The accessors that values and views have in common.
macro_rules! event_accessors {
    () => {
        /// Returns the kind of the event; `None` for an overrun.
        #[must_use]
        pub const fn kind(&self) -> Option<EventKind> {
            match self {
                Self::New(_) | Self::ExpectationNew(_) => Some(EventKind::New),
                Self::Update(_) => Some(EventKind::Update),
                Self::Destroy(_) | Self::ExpectationDestroy(_) => Some(EventKind::Destroy),
                Self::Overrun => None,
            }
        }

        /// Returns the number of the network namespace of the flow or expectation; `None` for the listener's own, and
        /// for an overrun.
        #[must_use]
        pub const fn namespace_id(&self) -> Option<i32> {
            match self {
                Self::New(event) | Self::Update(event) | Self::Destroy(event) => event.namespace_id,
                Self::ExpectationNew(event) | Self::ExpectationDestroy(event) => event.namespace_id,
                Self::Overrun => None,
            }
        }
    };
}

impl Event {
    event_accessors!();

    /// Returns the kind and the flow of the event; `None` if this is not an event of a flow.
    #[must_use]
    pub const fn flow(&self) -> Option<(EventKind, &FlowEvent)> {
        match self {
            Self::New(event) => Some((EventKind::New, event)),
            Self::Update(event) => Some((EventKind::Update, event)),
            Self::Destroy(event) => Some((EventKind::Destroy, event)),
            _ => None,
        }
    }
}

impl<'a> EventRef<'a> {
    event_accessors!();

    /// Parses an event. New and changed flows have the same type of message; its flags distinguish them.
    ///
    /// # Errors
    ///
    /// Fails if the message has another type, or if its attributes are malformed.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{EventKind, EventRef, Flow, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
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
    ///     let event = EventRef::parse(&message?)?;
    ///     assert_eq!(event.kind(), Some(EventKind::New));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn parse(message: &RawMessage<'a>) -> Result<Self, DecodeError> {
        let header = message.header();
        let port_id = (header.port != 0).then_some(header.port);
        match header.message_type {
            MessageType::FLOW_NEW | MessageType::FLOW_DELETE => {
                let event = FlowEventRef { flow: FlowRef::parse(message)?, port_id, namespace_id: None };
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

    /// Returns the kind and the flow of the event; `None` if this is not an event of a flow.
    #[must_use]
    pub const fn flow(&self) -> Option<(EventKind, FlowEventRef<'a>)> {
        match *self {
            Self::New(event) => Some((EventKind::New, event)),
            Self::Update(event) => Some((EventKind::Update, event)),
            Self::Destroy(event) => Some((EventKind::Destroy, event)),
            _ => None,
        }
    }

    /// Returns the event as a value.
    #[must_use]
    pub fn to_event(&self) -> Event {
        match self {
            Self::New(event) => Event::New(event.to_flow_event()),
            Self::Update(event) => Event::Update(event.to_flow_event()),
            Self::Destroy(event) => Event::Destroy(event.to_flow_event()),
            Self::ExpectationNew(event) => Event::ExpectationNew(event.to_expectation_event()),
            Self::ExpectationDestroy(event) => Event::ExpectationDestroy(event.to_expectation_event()),
            Self::Overrun => Event::Overrun,
        }
    }

    /// Returns the event as one of another namespace.
    #[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
    #[cold]
    pub(super) const fn in_namespace(mut self, id: i32) -> Self {
        match &mut self {
            Self::New(event) | Self::Update(event) | Self::Destroy(event) => event.namespace_id = Some(id),
            Self::ExpectationNew(event) | Self::ExpectationDestroy(event) => event.namespace_id = Some(id),
            Self::Overrun => {}
        }
        self
    }
}

fn expectation_event<'a>(
    message: &RawMessage<'a>,
    port_id: Option<u32>,
) -> Result<ExpectationEventRef<'a>, DecodeError> {
    Ok(ExpectationEventRef { expectation: ExpectationRef::parse(message)?, port_id, namespace_id: None })
}

/// The kind of an event of a flow.
#[inline]
pub(super) fn flow_event_kind(header: Header) -> EventKind {
    if header.message_type == MessageType::FLOW_DELETE {
        EventKind::Destroy
    } else if header.flags.intersects(Flags::CREATE | Flags::EXCLUSIVE) {
        EventKind::New
    } else {
        EventKind::Update
    }
}
