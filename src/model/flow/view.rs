//! Views of flows in the receive buffer.

use core::fmt;

use super::{
    Flow,
    decode::{Decoder, Present, Tuples, flow_message, is_misnumbered_pad, read_security_context},
    flow_attributes, last,
};
use crate::{
    error::DecodeError,
    model::{
        Counters, Family, FlowTimes, HelperRef, Labels, Protocol, ProtocolInfo, SequenceAdjustment, Status, Synproxy,
        Timestamp, Tuple, TupleRef,
    },
    wire::{
        Attribute, AttributeSet, Attributes, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS,
        CTA_MARK, CTA_PROTOINFO, CTA_SECCTX, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY,
        CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE,
        CTA_ZONE, RawMessage,
    },
};

/// A view of a flow in the receive buffer: small and `Copy`. Attributes are read on demand, in place.
///
/// [`parse`](Self::parse) checks every known attribute once, down to the innermost, and records which are present. After
/// that, reading cannot fail. Unknown attributes are skipped; [`attributes`](Self::attributes) returns them.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, FlowRef, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// # let mut sent = Flow::new(original, original.inverted().unwrap());
/// # sent.mark = Some(7);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 1, sent.family(), |body| sent.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// for message in Messages::new(datagram) {
///     let flow = FlowRef::parse(&message?)?;
///     assert_eq!(flow.original().destination_port(), Some(22));
///     assert_eq!(flow.mark(), Some(7));
///     assert_eq!(flow.timeout(), None);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct FlowRef<'a> {
    bytes: &'a [u8],
    original: TupleRef<'a>,
    reply: TupleRef<'a>,
    present: Present,
    family: Family,
}

impl<'a> FlowRef<'a> {
    /// Checks a message that holds a flow: an entry of a dump, the answer to a get, or an event.
    ///
    /// # Errors
    ///
    /// Fails if the message has another type, an attribute is malformed, or a tuple is missing.
    #[inline]
    pub fn parse(message: &RawMessage<'a>) -> Result<Self, DecodeError> {
        let netfilter = flow_message(message)?;
        match Self::checked(netfilter.family(), netfilter.attributes(AttributeSet::Flow).as_bytes()) {
            Ok(flow) => Ok(flow),
            Err(error) => Err(error.moved(message.attributes_offset())),
        }
    }

    /// Checks the attributes of a flow that another subsystem sent: the payload of `NFQA_CT` of nfnetlink_queue or of
    /// `NFULA_CT` of nfnetlink_log. [`ConntrackInfo`](crate::ConntrackInfo) is the value beside it.
    ///
    /// # Errors
    ///
    /// Fails if [`parse`](Self::parse) would. Offsets count from the first attribute.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Family, Flow, FlowRef, Tuple, wire::{AttributeSet, Attributes, Encoder}};
    ///
    /// const NFQA_CT: u16 = 11; // linux/netfilter/nfnetlink_queue.h
    ///
    /// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
    /// # let sent = Flow::new(original, original.inverted().ok_or("no reply")?);
    /// # let mut buffer = [0; 256];
    /// # let mut encoder = Encoder::new(&mut buffer);
    /// # encoder.nest(NFQA_CT, |nest| sent.encode(nest));
    /// # let length = encoder.finish()?;
    /// # let packet = &buffer[..length]; // the attributes of a queued packet
    /// let nest = Attributes::new(packet, AttributeSet::Flow).find(NFQA_CT).ok_or("the packet has no flow")?;
    /// let flow = FlowRef::from_attributes(Family::IPV4, nest.payload())?;
    /// assert_eq!(flow.original().source_port(), Some(40000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_attributes(family: Family, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::checked(family, bytes)
    }

    #[inline]
    fn checked(family: Family, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Decoder { target: tuples, present, .. } = Decoder::run(Tuples::default(), bytes)?;
        match (tuples.original, tuples.reply) {
            (Some(original), Some(reply)) => Ok(Self { bytes, original, reply, present, family }),
            (None, _) => Err(Attributes::new(bytes, AttributeSet::Flow).missing(CTA_TUPLE_ORIG)),
            (_, None) => Err(Attributes::new(bytes, AttributeSet::Flow).missing(CTA_TUPLE_REPLY)),
        }
    }

    /// Returns the family in the header of the message.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.original.protocol()
    }

    /// Returns a view of the tuple of packets from the initiator.
    #[must_use]
    #[inline]
    pub const fn original(&self) -> TupleRef<'a> {
        self.original
    }

    /// Returns a view of the tuple of packets from the responder.
    #[must_use]
    #[inline]
    pub const fn reply(&self) -> TupleRef<'a> {
        self.reply
    }

    /// Returns all attributes in the order of the message, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, AttributeSet::Flow)
    }

    /// Copies the flow into a value, in one pass. Allocates only for a helper and a security context.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        let mut flow = Flow::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        // `parse` has checked these bytes, so this cannot fail.
        let _ = flow.fill_from_attributes(self.bytes);
        flow
    }

    /// The last attribute of that number.
    #[inline]
    pub(super) fn attribute(&self, number: u16) -> Option<Attribute<'a>> {
        if !self.present.has(number) {
            return None;
        }
        let mut found = None;
        let mut walk = self.attributes();
        while let Some(attribute) = walk.advance() {
            if attribute.number() == number && !is_misnumbered_pad(attribute) {
                if self.present.each_once() {
                    return Some(attribute);
                }
                found = Some(attribute);
            }
        }
        found
    }
}

macro_rules! view_attributes {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        /// # Attributes
        ///
        /// Each call searches the message for the attribute and reads it.
        impl<$lifetime> FlowRef<$lifetime> {
            $(
                $(#[$meta])*
                #[doc = concat!("\n\nAttribute `", stringify!($number), "`.")]
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<last!($owned $(, $view)?)> {
                    $read(self.attribute($number)?).ok()
                }
            )*
        }
    };
}

flow_attributes!(view_attributes);

impl fmt::Debug for FlowRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_flow().fmt(f)
    }
}

impl From<FlowRef<'_>> for Flow {
    fn from(flow: FlowRef<'_>) -> Self {
        flow.to_flow()
    }
}
