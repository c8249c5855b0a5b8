//! A flow in the datagram it was received in.

use core::fmt;

use super::Flow;
use crate::{
    error::DecodeError,
    macros::read_attributes,
    model::{
        Counters, Family, HelperRef, Labels, Lifetime, ProtocolInfo, SequenceAdjustment, Status, Synproxy, Timestamp,
        Tuple, TupleRef,
    },
    wire::{
        Attribute, Attributes, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS, CTA_MARK,
        CTA_PROTOINFO, CTA_SECCTX, CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY,
        CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE,
        CTA_ZONE, Message, MessageType, Nest,
    },
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
    present: Present,
    family: Family,
}

/// One row an attribute: its number, its accessor, and the function that reads it. The same function checks the
/// attribute when the view is made, reads it for the accessor, and fills the field of that name in a [`Flow`].
macro_rules! flow_attributes {
    ($lifetime:lifetime; $( $(#[$meta:meta])* $number:ident => $name:ident: $type:ty = $read:expr; )*) => {
        impl<$lifetime> FlowRef<$lifetime> {
            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<$type> {
                    ($read)(self.attribute($number)?).ok()
                }
            )*
        }

        #[inline(always)]
        fn check<$lifetime>(present: &mut Present, attribute: Attribute<$lifetime>) -> Result<(), DecodeError> {
            match attribute.number() {
                CTA_TUPLE_ORIG | CTA_TUPLE_REPLY => drop(read_tuple(attribute)?),
                $( $number => { ($read)(attribute)?; } )*
                _ => return Ok(()),
            }
            present.note(attribute.number());
            Ok(())
        }

        #[inline(always)]
        fn store<$lifetime>(flow: &mut Flow, present: &mut Present, attribute: Attribute<$lifetime>) -> Result<(), DecodeError> {
            match attribute.number() {
                CTA_TUPLE_ORIG => flow.original = read_tuple(attribute)?,
                CTA_TUPLE_REPLY => flow.reply = read_tuple(attribute)?,
                $( $number => flow.$name = Some(($read)(attribute)?.into()), )*
                _ => return Ok(()),
            }
            present.note(attribute.number());
            Ok(())
        }
    };
}

flow_attributes! {
    'a;
    /// The zone of both directions.
    CTA_ZONE => zone: u16 = Attribute::u16;
    /// Status bits.
    CTA_STATUS => status: Status = |bits: Attribute<'a>| bits.u32().map(Status::from_bits_retain);
    /// Seconds until the flow ends unless a packet comes.
    CTA_TIMEOUT => timeout: u32 = Attribute::u32;
    /// The mark.
    CTA_MARK => mark: u32 = Attribute::u32;
    /// State and parameters of TCP, SCTP or DCCP.
    CTA_PROTOINFO => protocol_info: ProtocolInfo =
        |nest: Attribute<'a>| nest.within(ProtocolInfo::decode(nest.nested(Nest::ProtocolInfo)));
    /// Packets and bytes from the initiator.
    CTA_COUNTERS_ORIG => counters_original: Counters =
        |nest: Attribute<'a>| nest.within(Counters::decode(nest.nested(Nest::Counters)));
    /// Packets and bytes from the responder.
    CTA_COUNTERS_REPLY => counters_reply: Counters =
        |nest: Attribute<'a>| nest.within(Counters::decode(nest.nested(Nest::Counters)));
    /// When the flow began and ended.
    CTA_TIMESTAMP => lifetime: Lifetime = |nest: Attribute<'a>| nest.within(Lifetime::decode(nest.nested(Nest::Timestamp)));
    /// When the event happened.
    CTA_TIMESTAMP_EVENT => event_time: Timestamp = |time: Attribute<'a>| time.u64().map(Timestamp);
    /// The helper that looks into the flow.
    CTA_HELP => helper: HelperRef<'a> = |nest: Attribute<'a>| nest.within(HelperRef::decode(nest.nested(Nest::Help)));
    /// Label bits.
    CTA_LABELS => labels: Labels = |bits: Attribute<'a>| Ok::<_, DecodeError>(Labels::read(bits));
    /// The security context, as the security module prints it.
    CTA_SECCTX => security_context: &'a str =
        |nest: Attribute<'a>| nest.within(decode_security_context(nest.nested(Nest::SecurityContext)));
    /// The original tuple of the flow that expected this one.
    CTA_TUPLE_MASTER => master: TupleRef<'a> = |nest: Attribute<'a>| nest.within(TupleRef::parse(nest.nested(Nest::Tuple)));
    /// How sequence numbers from the initiator are shifted.
    CTA_SEQ_ADJ_ORIG => sequence_adjustment_original: SequenceAdjustment =
        |nest: Attribute<'a>| nest.within(SequenceAdjustment::decode(nest.nested(Nest::SequenceAdjustment)));
    /// How sequence numbers from the responder are shifted.
    CTA_SEQ_ADJ_REPLY => sequence_adjustment_reply: SequenceAdjustment =
        |nest: Attribute<'a>| nest.within(SequenceAdjustment::decode(nest.nested(Nest::SequenceAdjustment)));
    /// The SYN proxy's numbers.
    CTA_SYNPROXY => synproxy: Synproxy = |nest: Attribute<'a>| nest.within(Synproxy::decode(nest.nested(Nest::Synproxy)));
    /// An opaque identifier: the same as long as the flow lives.
    CTA_ID => id: u32 = Attribute::u32;
    /// How many references the kernel holds.
    CTA_USE => use_count: u32 = Attribute::u32;
}

impl<'a> FlowRef<'a> {
    /// Checks a message that holds a flow: an entry of a dump, the answer to a get, or an event.
    ///
    /// # Errors
    ///
    /// Where the message is of another type, an attribute is malformed, or a tuple is missing.
    #[inline]
    pub fn parse(message: &Message<'a>) -> Result<Self, DecodeError> {
        let (family, attributes) = flow_attributes(message)?;
        match Self::checked(family, attributes) {
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
        Self::checked(family, Attributes::new(bytes, Nest::Flow))
    }

    fn checked(family: Family, attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        let mut present = Present::default();
        let mut walk = attributes;
        while let Some(attribute) = walk.advance() {
            if !is_misnumbered_pad(attribute) {
                check(&mut present, attribute)?;
            }
        }
        walk.end()?;
        present.require_tuples(attributes)?;
        Ok(Self { bytes: attributes.as_bytes(), present, family })
    }

    /// The family in the header of the message.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The tuple of packets from the initiator.
    #[must_use]
    #[inline]
    pub fn original(&self) -> TupleRef<'a> {
        self.tuple(CTA_TUPLE_ORIG)
    }

    /// The tuple of the answers.
    #[must_use]
    #[inline]
    pub fn reply(&self) -> TupleRef<'a> {
        self.tuple(CTA_TUPLE_REPLY)
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
        let mut present = Present::default();
        let mut walk = self.attributes();
        while let Some(attribute) = walk.advance() {
            if !is_misnumbered_pad(attribute) {
                // `checked` has read this very attribute: it cannot fail now.
                let _ = store(&mut flow, &mut present, attribute);
            }
        }
        flow
    }

    /// The last attribute of that number.
    #[inline]
    fn attribute(&self, number: u16) -> Option<Attribute<'a>> {
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

    #[inline]
    fn tuple(&self, number: u16) -> TupleRef<'a> {
        let payload = self.attribute(number).map_or(&[] as &[u8], |attribute| attribute.payload());
        TupleRef::checked(Attributes::new(payload, Nest::Tuple))
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
        let (_, attributes) = flow_attributes(message)?;
        match Self::from_attributes(attributes) {
            Ok(flow) => Ok(flow),
            Err(error) => Err(error.moved(message.attributes_offset())),
        }
    }

    fn from_attributes(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        let mut flow = Self::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        let mut present = Present::default();
        let mut walk = attributes;
        while let Some(attribute) = walk.advance() {
            if !is_misnumbered_pad(attribute) {
                store(&mut flow, &mut present, attribute)?;
            }
        }
        walk.end()?;
        present.require_tuples(attributes)?;
        Ok(flow)
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

#[inline]
fn flow_attributes<'a>(message: &Message<'a>) -> Result<(Family, Attributes<'a>), DecodeError> {
    match message.header().message_type {
        MessageType::FLOW_NEW | MessageType::FLOW_DELETE => {
            let netfilter = message.netfilter()?;
            Ok((netfilter.family(), netfilter.attributes(Nest::Flow)))
        }
        _ => Err(message.unexpected_type()),
    }
}

#[inline(always)]
fn read_tuple(attribute: Attribute<'_>) -> Result<Tuple, DecodeError> {
    attribute.within(Tuple::decode(attribute.nested(Nest::Tuple)))
}

fn decode_security_context<'a>(attributes: Attributes<'a>) -> Result<&'a str, DecodeError> {
    read_attributes!(attributes; CTA_SECCTX_NAME => name = Attribute::<'a>::text);
    name.ok_or_else(|| attributes.missing(CTA_SECCTX_NAME))
}

/// On machines without unaligned access the kernel pads `CTA_TIMESTAMP_EVENT` with an empty attribute, to which it gives
/// by mistake the number of the status.
#[inline(always)]
fn is_misnumbered_pad(attribute: Attribute<'_>) -> bool {
    attribute.number() == CTA_STATUS && attribute.payload().is_empty()
}

/// Which attributes a message holds, and whether it holds one twice: numbers from 0 to 31, a bit each.
#[derive(Clone, Copy, Default)]
struct Present {
    once: u32,
    twice: u32,
}

impl Present {
    #[inline(always)]
    fn note(&mut self, number: u16) {
        let bit = Self::bit(number);
        self.twice |= self.once & bit;
        self.once |= bit;
    }

    #[inline(always)]
    fn has(self, number: u16) -> bool {
        self.once & Self::bit(number) != 0
    }

    #[inline(always)]
    fn each_once(self) -> bool {
        self.twice == 0
    }

    #[inline(always)]
    fn require_tuples(self, attributes: Attributes<'_>) -> Result<(), DecodeError> {
        if !self.has(CTA_TUPLE_ORIG) {
            return Err(attributes.missing(CTA_TUPLE_ORIG));
        }
        if !self.has(CTA_TUPLE_REPLY) {
            return Err(attributes.missing(CTA_TUPLE_REPLY));
        }
        Ok(())
    }

    /// The numbers that are noted and looked for are below 32.
    #[inline(always)]
    const fn bit(number: u16) -> u32 {
        1_u32.wrapping_shl(number as u32)
    }
}
