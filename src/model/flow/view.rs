//! A flow in the datagram it was received in.

use core::fmt;

use super::{
    Flow,
    decode::{Decoder, Present, Tuples, is_misnumbered_pad},
};
use crate::{
    error::DecodeError,
    model::{Family, Tuple, TupleRef},
    wire::{Attribute, Attributes, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, Message, MessageType, Nest, Netfilter},
};

/// A flow in the datagram it was received in: small, `Copy`, and read where it lies.
///
/// [`parse`](Self::parse) walks every attribute that is known once, down to the innermost, and notes which there are.
/// After it reading cannot fail. Attributes that are not known are passed over, and reachable through
/// [`attributes`](Self::attributes).
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, FlowRef, Tuple, wire::{Encoder, Flags, Message, MessageType, Messages}};
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
    /// Where the message is of another type, an attribute is malformed, or a tuple is missing.
    #[inline]
    pub fn parse(message: &Message<'a>) -> Result<Self, DecodeError> {
        let netfilter = flow_message(message)?;
        match Self::checked(netfilter.family(), netfilter.attributes(Nest::Flow).as_bytes()) {
            Ok(flow) => Ok(flow),
            Err(error) => Err(error.moved(message.attributes_offset())),
        }
    }

    /// Checks the attributes of a flow that came in another message: `NFQA_CT` of nfnetlink_queue, `NFULA_CT` of
    /// nfnetlink_log.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); offsets count from the first attribute.
    pub fn from_attributes(family: Family, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::checked(family, bytes)
    }

    #[inline]
    fn checked(family: Family, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Decoder { target: tuples, present, .. } = Decoder::run(Tuples::default(), bytes)?;
        match (tuples.original, tuples.reply) {
            (Some(original), Some(reply)) => Ok(Self { bytes, original, reply, present, family }),
            (None, _) => Err(Attributes::new(bytes, Nest::Flow).missing(CTA_TUPLE_ORIG)),
            (_, None) => Err(Attributes::new(bytes, Nest::Flow).missing(CTA_TUPLE_REPLY)),
        }
    }

    /// The family in the header of the message.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The tuple of packets from the initiator.
    #[must_use]
    #[inline]
    pub const fn original(&self) -> TupleRef<'a> {
        self.original
    }

    /// The tuple of the answers.
    #[must_use]
    #[inline]
    pub const fn reply(&self) -> TupleRef<'a> {
        self.reply
    }

    /// All attributes in the order in which they came, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, Nest::Flow)
    }

    /// The flow as a value, in one pass. Allocates only for a helper and a security context.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        let mut flow = Flow::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        // `parse` has read these very bytes: it cannot fail now.
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

impl Flow {
    /// Decodes a message that holds a flow: an entry of a dump, the answer to a get, or an event.
    ///
    /// # Errors
    ///
    /// As [`FlowRef::parse`].
    #[inline]
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let mut flow = Self::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        match flow.fill(message) {
            Ok(()) => Ok(flow),
            Err(error) => Err(error),
        }
    }

    /// Fills a flow where it stands: returned from here, its 448 bytes would be copied.
    #[inline(never)]
    fn fill(&mut self, message: &Message<'_>) -> Result<(), DecodeError> {
        let attributes = flow_message(message)?.attributes(Nest::Flow);
        match self.fill_from_attributes(attributes.as_bytes()) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.moved(message.attributes_offset())),
        }
    }

    #[inline(always)]
    fn fill_from_attributes(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let present = Decoder::run(self, bytes)?.present;
        for number in [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY] {
            if !present.has(number) {
                return Err(Attributes::new(bytes, Nest::Flow).missing(number));
            }
        }
        Ok(())
    }
}

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

#[inline(always)]
fn flow_message<'a>(message: &Message<'a>) -> Result<Netfilter<'a>, DecodeError> {
    match message.header().message_type {
        MessageType::FLOW_NEW | MessageType::FLOW_DELETE => message.netfilter(),
        _ => Err(message.unexpected_type()),
    }
}
