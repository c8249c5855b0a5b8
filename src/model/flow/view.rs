//! A flow in the datagram it was received in.

use core::fmt;

use super::Flow;
use crate::{
    error::{DecodeError, DecodeErrorKind},
    macros::read_attributes,
    model::{
        Counters, Family, Helper, Labels, Lifetime, ProtocolInfo, SequenceAdjustment, Status, Synproxy, Timestamp,
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
/// [`parse`](Self::parse) walks every attribute that is known once, down to the innermost, and notes where each stands.
/// After it reading cannot fail, and finds an attribute without searching. Attributes that are not known are passed
/// over, and reachable through [`attributes`](Self::attributes).
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
    places: Places,
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
        if !matches!(message.header().message_type, MessageType::FLOW_NEW | MessageType::FLOW_DELETE) {
            return Err(message.unexpected_type());
        }
        let netfilter = message.netfilter()?;
        match Self::from_attributes(netfilter.family(), netfilter.attributes(Nest::Flow).as_bytes()) {
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
        let attributes = Attributes::new(bytes, Nest::Flow);
        let mut places = Places::default();
        let mut walk = attributes;
        while let Some(attribute) = walk.advance() {
            if check(&attribute)? {
                places.note(&attribute)?;
            }
        }
        walk.end()?;
        for number in [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY] {
            if places.of(number).is_none() {
                return Err(attributes.missing(number));
            }
        }
        Ok(Self { bytes, places, family })
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

    /// The zone of both directions.
    #[must_use]
    #[inline]
    pub fn zone(&self) -> Option<u16> {
        self.attribute(CTA_ZONE)?.u16().ok()
    }

    /// Status bits.
    #[must_use]
    #[inline]
    pub fn status(&self) -> Option<Status> {
        self.u32(CTA_STATUS).map(Status::from_bits_retain)
    }

    /// Seconds until the flow ends unless a packet comes.
    #[must_use]
    #[inline]
    pub fn timeout(&self) -> Option<u32> {
        self.u32(CTA_TIMEOUT)
    }

    /// The mark.
    #[must_use]
    #[inline]
    pub fn mark(&self) -> Option<u32> {
        self.u32(CTA_MARK)
    }

    /// State and parameters of TCP, SCTP or DCCP.
    #[must_use]
    #[inline]
    pub fn protocol_info(&self) -> Option<ProtocolInfo> {
        ProtocolInfo::decode(self.attribute(CTA_PROTOINFO)?.nested(Nest::ProtocolInfo)).ok()?
    }

    /// Packets and bytes from the initiator.
    #[must_use]
    #[inline]
    pub fn counters_original(&self) -> Option<Counters> {
        Counters::decode(self.attribute(CTA_COUNTERS_ORIG)?.nested(Nest::Counters)).ok()
    }

    /// Packets and bytes from the responder.
    #[must_use]
    #[inline]
    pub fn counters_reply(&self) -> Option<Counters> {
        Counters::decode(self.attribute(CTA_COUNTERS_REPLY)?.nested(Nest::Counters)).ok()
    }

    /// When the flow began and ended.
    #[must_use]
    #[inline]
    pub fn lifetime(&self) -> Option<Lifetime> {
        Lifetime::decode(self.attribute(CTA_TIMESTAMP)?.nested(Nest::Timestamp)).ok()
    }

    /// When the event happened.
    #[must_use]
    #[inline]
    pub fn event_time(&self) -> Option<Timestamp> {
        self.attribute(CTA_TIMESTAMP_EVENT)?.u64().ok().map(Timestamp)
    }

    /// The name of the helper that looks into the flow.
    #[must_use]
    pub fn helper_name(&self) -> Option<&'a str> {
        self.helper().map(|(name, _)| name)
    }

    /// What the helper keeps of the flow: opaque, and private to it.
    #[must_use]
    pub fn helper_info(&self) -> Option<&'a [u8]> {
        self.helper()?.1
    }

    /// Label bits.
    #[must_use]
    #[inline]
    pub fn labels(&self) -> Option<Labels> {
        self.attribute(CTA_LABELS).map(|labels| Labels::read(&labels))
    }

    /// The security context, as the security module prints it.
    #[must_use]
    #[inline]
    pub fn security_context(&self) -> Option<&'a str> {
        self.attribute(CTA_SECCTX)?.nested(Nest::SecurityContext).find(CTA_SECCTX_NAME)?.text().ok()
    }

    /// The original tuple of the flow that expected this one.
    #[must_use]
    #[inline]
    pub fn master(&self) -> Option<TupleRef<'a>> {
        TupleRef::parse(self.attribute(CTA_TUPLE_MASTER)?.nested(Nest::Tuple)).ok()
    }

    /// How sequence numbers from the initiator are shifted.
    #[must_use]
    #[inline]
    pub fn sequence_adjustment_original(&self) -> Option<SequenceAdjustment> {
        SequenceAdjustment::decode(self.attribute(CTA_SEQ_ADJ_ORIG)?.nested(Nest::SequenceAdjustment)).ok()
    }

    /// How sequence numbers from the responder are shifted.
    #[must_use]
    #[inline]
    pub fn sequence_adjustment_reply(&self) -> Option<SequenceAdjustment> {
        SequenceAdjustment::decode(self.attribute(CTA_SEQ_ADJ_REPLY)?.nested(Nest::SequenceAdjustment)).ok()
    }

    /// The SYN proxy's numbers.
    #[must_use]
    #[inline]
    pub fn synproxy(&self) -> Option<Synproxy> {
        Synproxy::decode(self.attribute(CTA_SYNPROXY)?.nested(Nest::Synproxy)).ok()
    }

    /// An opaque identifier: the same as long as the flow lives.
    #[must_use]
    #[inline]
    pub fn id(&self) -> Option<u32> {
        self.u32(CTA_ID)
    }

    /// How many references the kernel holds.
    #[must_use]
    #[inline]
    pub fn use_count(&self) -> Option<u32> {
        self.u32(CTA_USE)
    }

    /// All attributes in the order in which they came, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, Nest::Flow)
    }

    /// The flow as a value, in one pass. Allocates only for a helper's name and a security context.
    #[must_use]
    #[inline]
    pub fn to_flow(&self) -> Flow {
        Flow {
            original: self.original().to_tuple(),
            reply: self.reply().to_tuple(),
            zone: self.zone(),
            status: self.status(),
            timeout: self.timeout(),
            mark: self.mark(),
            protocol_info: self.protocol_info(),
            counters_original: self.counters_original(),
            counters_reply: self.counters_reply(),
            lifetime: self.lifetime(),
            event_time: self.event_time(),
            helper: self.helper().map(|(name, info)| Helper { name: name.into(), info: info.map(Into::into) }),
            labels: self.labels(),
            security_context: self.security_context().map(Into::into),
            master: self.master().map(|master| master.to_tuple()),
            sequence_adjustment_original: self.sequence_adjustment_original(),
            sequence_adjustment_reply: self.sequence_adjustment_reply(),
            synproxy: self.synproxy(),
            id: self.id(),
            use_count: self.use_count(),
        }
    }

    #[inline]
    fn attribute(&self, number: u16) -> Option<Attribute<'a>> {
        let place = self.places.of(number)?;
        Attributes::new(self.bytes.get(place..)?, Nest::Flow).next()?.ok()
    }

    #[inline]
    fn u32(&self, number: u16) -> Option<u32> {
        self.attribute(number)?.u32().ok()
    }

    #[inline]
    fn helper(&self) -> Option<(&'a str, Option<&'a [u8]>)> {
        Helper::decode(self.attribute(CTA_HELP)?.nested(Nest::Help)).ok()
    }

    #[inline]
    fn tuple(&self, number: u16) -> TupleRef<'a> {
        let attributes = self.attribute(number).map(|attribute| attribute.nested(Nest::Tuple));
        TupleRef::checked(attributes.unwrap_or(Attributes::new(&[], Nest::Tuple)))
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

/// Runs over an attribute the very function that will read it, and tells whether it is one to remember.
#[inline]
fn check(attribute: &Attribute<'_>) -> Result<bool, DecodeError> {
    match attribute.number() {
        // On machines without unaligned access the kernel pads CTA_TIMESTAMP_EVENT with an empty attribute, to which it
        // gives by mistake the number of the status.
        CTA_STATUS if attribute.payload().is_empty() => return Ok(false),
        CTA_TUPLE_ORIG | CTA_TUPLE_REPLY | CTA_TUPLE_MASTER => {
            attribute.decode_nest(Nest::Tuple, Tuple::decode)?;
        }
        CTA_STATUS | CTA_TIMEOUT | CTA_MARK | CTA_USE | CTA_ID => {
            attribute.u32()?;
        }
        CTA_PROTOINFO => {
            attribute.decode_nest(Nest::ProtocolInfo, ProtocolInfo::decode)?;
        }
        CTA_COUNTERS_ORIG | CTA_COUNTERS_REPLY => {
            attribute.decode_nest(Nest::Counters, Counters::decode)?;
        }
        CTA_TIMESTAMP => {
            attribute.decode_nest(Nest::Timestamp, Lifetime::decode)?;
        }
        CTA_TIMESTAMP_EVENT => {
            attribute.u64()?;
        }
        CTA_ZONE => {
            attribute.u16()?;
        }
        CTA_HELP => {
            attribute.decode_nest(Nest::Help, |nest| Helper::decode(nest).map(drop))?;
        }
        CTA_SECCTX => attribute.decode_nest(Nest::SecurityContext, check_security_context)?,
        CTA_SEQ_ADJ_ORIG | CTA_SEQ_ADJ_REPLY => {
            attribute.decode_nest(Nest::SequenceAdjustment, SequenceAdjustment::decode)?;
        }
        CTA_SYNPROXY => {
            attribute.decode_nest(Nest::Synproxy, Synproxy::decode)?;
        }
        CTA_LABELS => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn check_security_context(attributes: Attributes<'_>) -> Result<(), DecodeError> {
    read_attributes!(attributes; CTA_SECCTX_NAME => name = Attribute::text);
    name.map(drop).ok_or_else(|| attributes.missing(CTA_SECCTX_NAME))
}

/// Where each top-level attribute stands, in units of four bytes and from 1 on: attributes are aligned to four, and 0
/// is nowhere.
#[derive(Clone, Copy, Default)]
struct Places([u16; Self::LENGTH]);

impl Places {
    /// One past `CTA_TIMESTAMP_EVENT`, the highest number that is remembered.
    const LENGTH: usize = 28;

    #[inline]
    fn note(&mut self, attribute: &Attribute<'_>) -> Result<(), DecodeError> {
        let place = attribute.position() / 4 + 1;
        match (self.0.get_mut(usize::from(attribute.number())), u16::try_from(place)) {
            (Some(slot), Ok(place)) => *slot = place,
            (_, Err(_)) => return Err(attribute.error(DecodeErrorKind::TooLong)),
            (None, _) => {}
        }
        Ok(())
    }

    #[inline]
    fn of(&self, number: u16) -> Option<usize> {
        let place = *self.0.get(usize::from(number))?;
        Some(usize::from(place.checked_sub(1)?) * 4)
    }
}
