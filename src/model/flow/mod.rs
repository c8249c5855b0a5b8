//! A flow, which is one entry of the connection tracking table, and its key.

mod getters;
mod view;

use super::{
    Counters, Direction, Family, FlowTimes, Helper, HelperRef, Labels, Protocol, ProtocolInfo, SequenceAdjustment,
    Status, Synproxy, Timestamp, Tuple,
};
use crate::{
    error::{DecodeError, EncodeError},
    macros::read_attributes,
    wire::{
        Attribute, Attributes, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS, CTA_MARK,
        CTA_PROTOINFO, CTA_SECCTX, CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY,
        CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE,
        CTA_ZONE, Encode, Encoder,
    },
};

pub use getters::AnyFlow;
pub(crate) use getters::{Sealed, Shape, flow_getters, inherent_attributes, inherent_getters};
pub use view::FlowRef;

/// Passes the table of attributes to the macro `$emit`, with the arguments in brackets before it.
///
/// This table is the single source of truth. From it come the fields of [`Flow`], their serde attributes,
/// `Flow::new`, the encoder, the decoder, and the accessors of `Flow`, [`FlowRef`] and
/// [`AnyFlow`]. Rows are in the order of a dump by Linux 6.18, because the decoder relies on it for
/// speed (not for correctness).
///
/// A row reads:
///
/// ```text
/// NUMBER[usual length] name: type of the field [as type in the view as type of the accessor]
///     = function that reads the view's type, function that writes the field [, conversion of field to accessor];
/// ```
///
/// The parts in brackets are for types that are not `Copy`, or that the view reads later.
macro_rules! flow_attributes {
    ($emit:ident $(, $($argument:tt)+)?) => { $emit! { [$($($argument)+)?] 'a;
        /// The zone of both directions. `None` in the default zone, or if only one direction has a zone.
        CTA_ZONE[6] zone: u16 = Attribute::u16, write_u16;
        /// Status bits.
        CTA_STATUS[8] status: Status = Status::read, write_status;
        /// The mark that rules and users set on flows (`ct mark` in nft).
        CTA_MARK[8] mark: u32 = Attribute::u32, write_u32;
        /// The security context, as the security module prints it.
        CTA_SECCTX[ANY] security_context: Box<str> as &'a str as &str
            = read_security_context, write_security_context, |context| &**context;
        /// An opaque identifier, the same for as long as the flow lives.
        ///
        /// The kernel derives it from the tuple and the flow's place in memory. Identifiers are reused: of 20,000 flows
        /// that were deleted and at once created again, 19,999 received the same identifier.
        CTA_ID[8] id: u32 = Attribute::u32, write_u32;
        /// The number of references that the kernel holds: one less than `/proc/net/nf_conntrack` prints.
        CTA_USE[8] use_count: u32 = Attribute::u32, write_u32;
        /// The original tuple of the flow that expected this one.
        CTA_TUPLE_MASTER[52] master: Tuple as TupleRef<'a> as Tuple
            = TupleRef::read, write_nest, |tuple| *tuple;
        /// Seconds until the flow ends unless a packet arrives.
        CTA_TIMEOUT[8] timeout: u32 = Attribute::u32, write_u32;
        /// State and parameters of TCP, SCTP or DCCP.
        CTA_PROTOINFO[48] protocol_info: ProtocolInfo = ProtocolInfo::read, write_nest;
        /// Packets and bytes from the initiator.
        CTA_COUNTERS_ORIG[28] counters_original: Counters = Counters::read, write_nest;
        /// Packets and bytes from the responder.
        CTA_COUNTERS_REPLY[28] counters_reply: Counters = Counters::read, write_nest;
        /// The times when the flow began and ended.
        CTA_TIMESTAMP[16] times: FlowTimes = FlowTimes::read, write_nest;
        /// The helper that inspects the flow.
        CTA_HELP[12] helper: Helper as HelperRef<'a> as HelperRef<'_>
            = HelperRef::read, write_nest, HelperRef::from;
        /// Label bits.
        CTA_LABELS[20] labels: Labels = Labels::read, write_labels;
        /// The shift of sequence numbers from the initiator.
        CTA_SEQ_ADJ_ORIG[28] sequence_adjustment_original: SequenceAdjustment
            = SequenceAdjustment::read, write_nest;
        /// The shift of sequence numbers from the responder.
        CTA_SEQ_ADJ_REPLY[28] sequence_adjustment_reply: SequenceAdjustment
            = SequenceAdjustment::read, write_nest;
        /// The SYN proxy's numbers.
        CTA_SYNPROXY[28] synproxy: Synproxy = Synproxy::read, write_nest;
        /// The time of the event.
        CTA_TIMESTAMP_EVENT[12] event_time: Timestamp = Timestamp::read, write_timestamp;
    } };
}

/// The last of its arguments: a row's own choice, or the default before it.
macro_rules! last {
    (value $default:expr) => {
        $default
    };
    (value $default:expr, $choice:expr) => {
        $choice
    };
    ($default:ty) => {
        $default
    };
    ($default:ty, $choice:ty) => {
        $choice
    };
}

pub(crate) use {flow_attributes, last};

/// Emits the struct, its constructor and its accessors.
macro_rules! define_flow {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        /// One entry of the connection tracking table, or the part of it that an event contains.
        ///
        /// A field is `None` if the message did not carry the attribute. The kernel sends them as follows:
        ///
        /// | | dump, get | new | update | destroy |
        /// |---|---|---|---|---|
        /// | tuples, zone, status, id | ✓ | ✓ | ✓ | ✓ |
        /// | timeout | ✓ unless offloaded | ✓ | ✓ | if not 0 |
        /// | mark | ✓ | if not 0 | if not 0 or changed | if not 0 |
        /// | protocol information | ✓ unless offloaded | ✓ | if changed | state only |
        /// | counters | if accounting is on | | | if accounting is on |
        /// | times, if timestamps are on | start | | | start and stop |
        /// | event time, if timestamps are on | | Linux 6.14 | Linux 6.14 | Linux 6.14 |
        /// | helper | ✓ | ✓ | ✓ | |
        /// | labels | if not empty | if changed | if changed | |
        /// | security context | ✓ | if there is a secmark | if there is a secmark or it changed | |
        /// | master | of an expected flow | of an expected flow | | |
        /// | sequence adjustment | if adjusted | | if changed | |
        /// | SYN proxy | ✓ | | if changed | |
        /// | use count | ✓ | | | |
        ///
        /// Source: `net/netfilter/nf_conntrack_netlink.c` of Linux 6.18, `ctnetlink_fill_info` and
        /// `ctnetlink_conntrack_event`.
        ///
        /// # Example
        ///
        /// ```
        /// use ctnetlink::{Flow, Status, Tuple};
        ///
        /// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
        /// let mut flow = Flow::new(original, Tuple::udp("10.0.0.2:53".parse()?, "192.0.2.1:1024".parse()?));
        /// flow.status = Some(Status::SEEN_REPLY);
        /// let seen_as = flow.snat().expect("replies are sent to another address");
        /// assert_eq!(seen_as.to_string(), "192.0.2.1:1024");
        /// assert_eq!(flow.timeout(), None); // unknown, which is not 0
        /// # Ok::<(), std::net::AddrParseError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize))]
        #[non_exhaustive]
        pub struct Flow {
            /// The tuple of packets from the initiator, as they arrive (`CTA_TUPLE_ORIG`).
            pub original: Tuple,
            /// The tuple of packets from the responder, as they arrive (`CTA_TUPLE_REPLY`). If it is not the inverse of
            /// [`original`](Self::original), the flow is translated.
            pub reply: Tuple,
            $(
                $(#[$meta])*
                #[doc = concat!("\n\nAttribute `", stringify!($number), "`.")]
                #[cfg_attr(feature = "serde", serde(default))]
                pub $name: Option<$owned>,
            )*
        }

        #[cfg(feature = "serde")]
        crate::macros::serialize_present!(Flow { original, reply; $( $name ),* });

        impl Flow {
            /// Creates a flow of two tuples without any other attribute.
            #[must_use]
            pub const fn new(original: Tuple, reply: Tuple) -> Self {
                Self { original, reply, $( $name: None, )* }
            }
        }

        /// # Attributes
        ///
        /// Each has the name of its field. [`FlowRef`] and [`AnyFlow`] have the same methods.
        impl Flow {
            /// Returns the tuple of packets from the initiator.
            #[must_use]
            pub const fn original(&self) -> Tuple {
                self.original
            }

            /// Returns the tuple of packets from the responder.
            #[must_use]
            pub const fn reply(&self) -> Tuple {
                self.reply
            }

            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<last!($owned $(, $lent)?)> {
                    self.$name.as_ref().map(last!(value |value| *value $(, $lend)?))
                }
            )*
        }
    };
}

flow_attributes!(define_flow);

impl Flow {
    /// Returns the layer 3 family of the original tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.original.family()
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.original.protocol
    }
}

macro_rules! encode_attributes {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        impl Flow {
            /// Writes every attribute that is set, in the order of a dump by Linux 6.18.
            ///
            /// This is the inverse of decoding. It is not a request: see [`NewFlow`](crate::request::NewFlow) and
            /// [`FlowUpdate`](crate::request::FlowUpdate), which write only what the kernel accepts.
            pub fn encode(&self, encoder: &mut Encoder<'_>) {
                // Exhaustive: an attribute that is not written does not compile.
                let Self { original, reply, $( $name, )* } = self;
                encoder.nested(CTA_TUPLE_ORIG, original);
                encoder.nested(CTA_TUPLE_REPLY, reply);
                $(
                    if let Some(value) = $name {
                        $write(encoder, $number, value);
                    }
                )*
            }
        }
    };
}

flow_attributes!(encode_attributes);

fn write_u16(encoder: &mut Encoder<'_>, number: u16, value: &u16) {
    encoder.u16(number, *value);
}

fn write_u32(encoder: &mut Encoder<'_>, number: u16, value: &u32) {
    encoder.u32(number, *value);
}

fn write_status(encoder: &mut Encoder<'_>, number: u16, value: &Status) {
    encoder.u32(number, value.bits());
}

fn write_timestamp(encoder: &mut Encoder<'_>, number: u16, value: &Timestamp) {
    encoder.u64(number, value.0);
}

fn write_labels(encoder: &mut Encoder<'_>, number: u16, value: &Labels) {
    value.encode(encoder, number);
}

fn write_security_context(encoder: &mut Encoder<'_>, number: u16, value: &str) {
    encoder.nest(number, |nest| nest.text(CTA_SECCTX_NAME, value));
}

fn write_nest(encoder: &mut Encoder<'_>, number: u16, value: &impl Encode) {
    encoder.nested(number, value);
}

/// The name of one flow in a request: a tuple of either direction, the zone, and the identifier if it is known.
///
/// A flow from a dump or an event converts into its key: `FlowKey::from(&flow)`. If the key has an identifier and the
/// tuple now belongs to another flow, a delete fails with "not found". The kernel compares the identifier only in
/// deletes.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Tuple};
///
/// let tuple = Tuple::udp("10.0.0.1:5353".parse()?, "10.0.0.2:53".parse()?);
/// let key = FlowKey::original(tuple).in_zone(7);
/// assert_eq!(key.zone, Some(7));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FlowKey {
    /// The tuple.
    pub tuple: Tuple,
    /// The direction that the tuple belongs to. The kernel finds a flow by either.
    pub direction: Direction,
    /// The zone of both directions (`CTA_ZONE`); `None` means the default zone, or the zone in the tuple.
    pub zone: Option<u16>,
    /// The identifier (`CTA_ID`).
    pub id: Option<u32>,
}

impl FlowKey {
    /// Creates the key of the flow whose first packet had this tuple.
    #[must_use]
    pub const fn original(tuple: Tuple) -> Self {
        Self { tuple, direction: Direction::Original, zone: None, id: None }
    }

    /// Creates the key of the flow whose replies have this tuple.
    #[must_use]
    pub const fn reply(tuple: Tuple) -> Self {
        Self { direction: Direction::Reply, ..Self::original(tuple) }
    }

    /// Sets the zone of both directions.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// Sets the identifier.
    #[must_use]
    pub const fn with_id(self, id: u32) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Returns the layer 3 family of the tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.tuple.family()
    }

    /// Reads tuple, zone and identifier. Takes the original tuple if there are two, and returns `None` if there is none.
    pub(crate) fn decode(attributes: Attributes<'_>) -> Result<Option<Self>, DecodeError> {
        let tuple = Tuple::read;
        read_attributes!(attributes;
            CTA_TUPLE_ORIG => original = tuple,
            CTA_TUPLE_REPLY => reply = tuple,
            CTA_ZONE => zone = Attribute::u16,
            CTA_ID => id = Attribute::u32,
        );
        let key = original.map(Self::original).or(reply.map(Self::reply));
        Ok(key.map(|key| Self { zone, id, ..key }))
    }

    /// Writes tuple and zone, which every request with a key contains.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        if self.zone.is_some_and(|zone| zone != 0) && self.tuple.zone.is_some() {
            encoder.fail(EncodeError::Value("a key has a zone of both directions and one of its tuple's"));
        }
        let number = match self.direction {
            Direction::Original => CTA_TUPLE_ORIG,
            Direction::Reply => CTA_TUPLE_REPLY,
        };
        encoder.nested(number, &self.tuple);
        encoder.optional_u16(CTA_ZONE, self.zone);
    }

    pub(crate) fn encode_with_id(&self, encoder: &mut Encoder<'_>) {
        self.encode(encoder);
        encoder.optional_u32(CTA_ID, self.id);
    }
}

impl From<&Flow> for FlowKey {
    fn from(flow: &Flow) -> Self {
        Self { tuple: flow.original, direction: Direction::Original, zone: flow.zone, id: flow.id }
    }
}
