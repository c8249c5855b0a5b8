//! Flows from the wire: as views and as values.

use core::fmt;

use super::{Flow, FlowKey, flow_attributes, last};
use crate::{
    error::DecodeError,
    macros::read_attributes,
    model::{
        Counters, Direction, Family, FlowTimes, HelperRef, Labels, Protocol, ProtocolInfo, SequenceAdjustment, Status,
        Synproxy, Timestamp, Tuple, TupleRef,
    },
    wire::{
        Attribute, AttributeSet, Attributes, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS,
        CTA_MARK, CTA_PROTOINFO, CTA_SECCTX, CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS,
        CTA_SYNPROXY, CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG,
        CTA_TUPLE_REPLY, CTA_USE, CTA_ZONE, MessageType, NetfilterMessage, RawMessage, Walk,
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

impl From<&FlowRef<'_>> for FlowKey {
    fn from(flow: &FlowRef<'_>) -> Self {
        Self { tuple: flow.original().to_tuple(), direction: Direction::Original, zone: flow.zone(), id: flow.id() }
    }
}

/// No length is usual.
const ANY: u16 = 0;

macro_rules! decode_attributes {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        /// The target that the decoder fills: all of a flow, or only the two tuples of a view.
        pub(super) trait FlowSink<$lifetime> {
            fn original(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError>;
            fn reply(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError>;
            $(
                #[inline]
                fn $name(&mut self, _: last!($owned $(, $view)?)) {}
            )*
        }

        impl<$lifetime> FlowSink<$lifetime> for &mut Flow {
            #[inline]
            fn original(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError> {
                self.original.read_in_place(tuple)
            }

            #[inline]
            fn reply(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError> {
                self.reply.read_in_place(tuple)
            }

            $(
                #[inline]
                fn $name(&mut self, value: last!($owned $(, $view)?)) {
                    self.$name = Some(value.into());
                }
            )*
        }

        impl<$lifetime, T: FlowSink<$lifetime>> Decoder<$lifetime, T> {
            /// Decodes the attributes that come next, as far as they come in the order of a dump and, if `USUAL`, are
            /// of their usual lengths.
            #[inline]
            fn decode_expected_order<const USUAL: bool>(mut self) -> Result<Self, DecodeError> {
                if let Some(attribute) = self.walk.advance_if(CTA_TUPLE_ORIG) {
                    self.target.original(attribute)?;
                    self.present.note(CTA_TUPLE_ORIG);
                }
                if let Some(attribute) = self.walk.advance_if(CTA_TUPLE_REPLY) {
                    self.target.reply(attribute)?;
                    self.present.note(CTA_TUPLE_REPLY);
                }
                $(
                    if let Some(attribute) = self.next::<USUAL>($number, $length) {
                        if !is_misnumbered_pad(attribute) {
                            self.target.$name($read(attribute)?);
                            self.present.note($number);
                        }
                    }
                )*
                Ok(self)
            }
        }
    };
}

flow_attributes!(decode_attributes);

pub(super) fn read_security_context(attribute: Attribute<'_>) -> Result<&str, DecodeError> {
    attribute.walk(AttributeSet::SecurityContext, |attributes| {
        read_attributes!(attributes; CTA_SECCTX_NAME => name = Attribute::text);
        name.ok_or_else(|| attributes.missing(CTA_SECCTX_NAME))
    })
}

/// The two tuples of a view: all that is kept of its attributes, the others are read when they are asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Tuples<'a> {
    pub(super) original: Option<TupleRef<'a>>,
    pub(super) reply: Option<TupleRef<'a>>,
}

impl<'a> FlowSink<'a> for Tuples<'a> {
    #[inline]
    fn original(&mut self, tuple: Attribute<'a>) -> Result<(), DecodeError> {
        self.original = Some(TupleRef::read(tuple)?);
        Ok(())
    }

    #[inline]
    fn reply(&mut self, tuple: Attribute<'a>) -> Result<(), DecodeError> {
        self.reply = Some(TupleRef::read(tuple)?);
        Ok(())
    }
}

/// Decodes the attributes of a flow. It is passed by value, so that it stays in registers.
///
/// The plain version would be a loop that jumps on the number of each attribute. Its result defines the meaning: the last
/// attribute of a number counts, unknown attributes are skipped, and the order does not matter.
///
/// The kernel writes the attributes in one order, most of them with one length. So [`run`](Self::run) goes through the
/// table of attributes once and takes each one that comes next ([`Walk::advance_if_usual`]). A dump needs one round; an
/// event, whose order differs, two or three. A round that takes nothing has met an unknown attribute or an unusual
/// length: `decode_slow` makes a round without the lengths, and skips the attribute if that takes nothing either.
///
/// Measured with callgrind on an IPv4 TCP flow with accounting: 819 instructions for a value and 480 for a view; with
/// slow rounds only, 1,142 and 844.
///
/// Invariant: every round advances the walk by at least one attribute or fails, so the loop ends. Whether an attribute is
/// taken in a fast round or a slow one does not change the result, which the properties in `tests/codec` check with
/// attributes in any order, repeated, longer and unknown.
pub(super) struct Decoder<'a, T> {
    walk: Walk<'a>,
    pub(super) target: T,
    pub(super) present: Present,
}

impl<'a, T: FlowSink<'a>> Decoder<'a, T> {
    /// Decodes every attribute.
    ///
    /// A dump takes one round through the table, an event two or three.
    #[inline]
    pub(super) fn run(target: T, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let walk = Walk::new(Attributes::new(bytes, AttributeSet::Flow));
        let mut decoder = Self { walk, target, present: Present::default() };
        while !decoder.walk.is_at_end() {
            let before = decoder.walk;
            decoder = decoder.decode_expected_order::<true>()?;
            if decoder.walk.is_at(before) {
                decoder = decoder.decode_slow()?;
            }
        }
        Ok(decoder)
    }

    /// Decodes an attribute of an unusual length, or skips an unknown one.
    #[inline(never)]
    fn decode_slow(self) -> Result<Self, DecodeError> {
        let before = self.walk;
        let mut decoder = self.decode_expected_order::<false>()?;
        if decoder.walk.is_at(before) {
            decoder.walk.skip()?;
        }
        Ok(decoder)
    }

    #[inline]
    fn next<const USUAL: bool>(&mut self, number: u16, length: u16) -> Option<Attribute<'a>> {
        if USUAL { self.walk.advance_if_usual(number, length) } else { self.walk.advance_if(number) }
    }
}

/// On machines without unaligned access the kernel pads `CTA_TIMESTAMP_EVENT` with an empty attribute, to which it gives
/// by mistake the number of the status.
#[inline]
pub(super) fn is_misnumbered_pad(attribute: Attribute<'_>) -> bool {
    attribute.number() == CTA_STATUS && attribute.payload().is_empty()
}

/// Which attributes a message holds, and whether it holds one twice: numbers from 0 to 31, a bit each.
#[derive(Clone, Copy, Default)]
pub(super) struct Present {
    once: u32,
    twice: u32,
}

impl Present {
    #[inline]
    fn note(&mut self, number: u16) {
        let bit = Self::bit(number);
        self.twice |= self.once & bit;
        self.once |= bit;
    }

    #[inline]
    pub(super) fn has(self, number: u16) -> bool {
        self.once & Self::bit(number) != 0
    }

    #[inline]
    pub(super) fn each_once(self) -> bool {
        self.twice == 0
    }

    /// The numbers that are noted and looked for are below 32.
    #[inline]
    const fn bit(number: u16) -> u32 {
        1_u32.wrapping_shl(number as u32)
    }
}

impl Flow {
    /// Decodes a message that holds a flow: an entry of a dump, the answer to a get, or an event.
    ///
    /// # Errors
    ///
    /// Fails like [`FlowRef::parse`](crate::FlowRef::parse).
    #[inline]
    pub fn decode(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
        let mut flow = Self::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        match flow.fill(message) {
            Ok(()) => Ok(flow),
            Err(error) => Err(error),
        }
    }

    /// Fills a flow in place: returning it would copy its 448 bytes.
    #[inline]
    pub(crate) fn fill(&mut self, message: &RawMessage<'_>) -> Result<(), DecodeError> {
        let attributes = flow_message(message)?.attributes(AttributeSet::Flow);
        match self.fill_from_attributes(attributes.as_bytes()) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.moved(message.attributes_offset())),
        }
    }

    /// Not inlined: its callers then keep the message in registers.
    #[inline(never)]
    pub(super) fn fill_from_attributes(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let present = Decoder::run(self, bytes)?.present;
        for number in [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY] {
            if !present.has(number) {
                return Err(Attributes::new(bytes, AttributeSet::Flow).missing(number));
            }
        }
        Ok(())
    }
}

#[inline]
pub(super) fn flow_message<'a>(message: &RawMessage<'a>) -> Result<NetfilterMessage<'a>, DecodeError> {
    match message.header().message_type {
        MessageType::FLOW_NEW | MessageType::FLOW_DELETE => message.netfilter(),
        _ => Err(message.unexpected_type()),
    }
}
