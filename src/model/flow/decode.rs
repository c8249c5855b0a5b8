//! The attributes of a flow: which there are, in which order they come, and the walk over them.

use super::{Flow, FlowRef};
use crate::{
    error::DecodeError,
    macros::read_attributes,
    model::{
        Counters, HelperRef, Labels, Lifetime, ProtocolInfo, SequenceAdjustment, Status, Synproxy, Timestamp, TupleRef,
    },
    wire::{
        Attribute, Attributes, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS, CTA_MARK,
        CTA_PROTOINFO, CTA_SECCTX, CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY,
        CTA_TIMEOUT, CTA_TIMESTAMP, CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE,
        CTA_ZONE, Nest, Walk,
    },
};

/// One row an attribute, in the order of a dump: its number, its usual length, its accessor, and the function that
/// reads it. The same function checks the attribute when a view is made, reads it for the accessor, and gives the field
/// of that name in a [`Flow`].
macro_rules! flow_attributes {
    ($lifetime:lifetime; $( $(#[$meta:meta])* $number:ident [$length:expr] => $name:ident: $type:ty = $read:expr; )*) => {
        impl<$lifetime> FlowRef<$lifetime> {
            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<$type> {
                    $read(self.attribute($number)?).ok()
                }
            )*
        }

        /// What is made of the attributes: a flow, or of a view only its tuples.
        pub(super) trait Target<$lifetime> {
            fn original(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError>;
            fn reply(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError>;
            $(
                #[inline(always)]
                fn $name(&mut self, _: $type) {}
            )*
        }

        impl<$lifetime> Target<$lifetime> for &mut Flow {
            #[inline(always)]
            fn original(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError> {
                self.original.read_in_place(tuple)
            }

            #[inline(always)]
            fn reply(&mut self, tuple: Attribute<$lifetime>) -> Result<(), DecodeError> {
                self.reply.read_in_place(tuple)
            }

            $(
                #[inline(always)]
                fn $name(&mut self, value: $type) {
                    self.$name = Some(value.into());
                }
            )*
        }

        impl<$lifetime, T: Target<$lifetime>> Decoder<$lifetime, T> {
            /// Decodes the attributes that come next, as far as they come in the order of a dump and, if `USUAL`, are
            /// of their usual lengths.
            #[inline(always)]
            fn in_order<const USUAL: bool>(mut self) -> Result<Self, DecodeError> {
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

flow_attributes! {
    'a;
    /// The zone of both directions.
    CTA_ZONE [6] => zone: u16 = Attribute::u16;
    /// Status bits.
    CTA_STATUS [8] => status: Status = Status::read;
    /// The mark.
    CTA_MARK [8] => mark: u32 = Attribute::u32;
    /// The security context, as the security module prints it.
    CTA_SECCTX [ANY] => security_context: &'a str = read_security_context;
    /// An opaque identifier: the same as long as the flow lives.
    CTA_ID [8] => id: u32 = Attribute::u32;
    /// How many references the kernel holds.
    CTA_USE [8] => use_count: u32 = Attribute::u32;
    /// The original tuple of the flow that expected this one.
    CTA_TUPLE_MASTER [52] => master: TupleRef<'a> = TupleRef::read;
    /// Seconds until the flow ends unless a packet comes.
    CTA_TIMEOUT [8] => timeout: u32 = Attribute::u32;
    /// State and parameters of TCP, SCTP or DCCP.
    CTA_PROTOINFO [48] => protocol_info: ProtocolInfo = ProtocolInfo::read;
    /// Packets and bytes from the initiator.
    CTA_COUNTERS_ORIG [28] => counters_original: Counters = Counters::read;
    /// Packets and bytes from the responder.
    CTA_COUNTERS_REPLY [28] => counters_reply: Counters = Counters::read;
    /// When the flow began and ended.
    CTA_TIMESTAMP [16] => lifetime: Lifetime = Lifetime::read;
    /// The helper that looks into the flow.
    CTA_HELP [12] => helper: HelperRef<'a> = HelperRef::read;
    /// Label bits.
    CTA_LABELS [20] => labels: Labels = Labels::read;
    /// How sequence numbers from the initiator are shifted.
    CTA_SEQ_ADJ_ORIG [28] => sequence_adjustment_original: SequenceAdjustment = SequenceAdjustment::read;
    /// How sequence numbers from the responder are shifted.
    CTA_SEQ_ADJ_REPLY [28] => sequence_adjustment_reply: SequenceAdjustment = SequenceAdjustment::read;
    /// The SYN proxy's numbers.
    CTA_SYNPROXY [28] => synproxy: Synproxy = Synproxy::read;
    /// When the event happened.
    CTA_TIMESTAMP_EVENT [12] => event_time: Timestamp = Timestamp::read;
}

/// No length is usual.
const ANY: u16 = 0;

fn read_security_context(attribute: Attribute<'_>) -> Result<&str, DecodeError> {
    attribute.walk(Nest::SecurityContext, |attributes| {
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

impl<'a> Target<'a> for Tuples<'a> {
    #[inline(always)]
    fn original(&mut self, tuple: Attribute<'a>) -> Result<(), DecodeError> {
        self.original = Some(TupleRef::read(tuple)?);
        Ok(())
    }

    #[inline(always)]
    fn reply(&mut self, tuple: Attribute<'a>) -> Result<(), DecodeError> {
        self.reply = Some(TupleRef::read(tuple)?);
        Ok(())
    }
}

/// A walk over the attributes of a flow. It is handed on by value: so it stays in registers.
pub(super) struct Decoder<'a, T> {
    walk: Walk<'a>,
    pub(super) target: T,
    pub(super) present: Present,
}

impl<'a, T: Target<'a>> Decoder<'a, T> {
    /// Decodes every attribute.
    ///
    /// A dump takes one round through the table, an event two or three.
    #[inline(always)]
    pub(super) fn run(target: T, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let walk = Walk::new(Attributes::new(bytes, Nest::Flow));
        let mut decoder = Self { walk, target, present: Present::default() };
        while !decoder.walk.is_at_end() {
            let before = decoder.walk;
            decoder = decoder.in_order::<true>()?;
            if decoder.walk.is_at(before) {
                decoder = decoder.unusual()?;
            }
        }
        Ok(decoder)
    }

    /// Decodes an attribute of another length than usual, or passes over one that is not known.
    #[inline(never)]
    fn unusual(self) -> Result<Self, DecodeError> {
        let before = self.walk;
        let mut decoder = self.in_order::<false>()?;
        if decoder.walk.is_at(before) {
            decoder.walk.skip()?;
        }
        Ok(decoder)
    }

    #[inline(always)]
    fn next<const USUAL: bool>(&mut self, number: u16, length: u16) -> Option<Attribute<'a>> {
        if USUAL { self.walk.advance_if_usual(number, length) } else { self.walk.advance_if(number) }
    }
}

/// On machines without unaligned access the kernel pads `CTA_TIMESTAMP_EVENT` with an empty attribute, to which it gives
/// by mistake the number of the status.
#[inline(always)]
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
    #[inline(always)]
    fn note(&mut self, number: u16) {
        let bit = Self::bit(number);
        self.twice |= self.once & bit;
        self.once |= bit;
    }

    #[inline(always)]
    pub(super) fn has(self, number: u16) -> bool {
        self.once & Self::bit(number) != 0
    }

    #[inline(always)]
    pub(super) fn each_once(self) -> bool {
        self.twice == 0
    }

    /// The numbers that are noted and looked for are below 32.
    #[inline(always)]
    const fn bit(number: u16) -> u32 {
        1_u32.wrapping_shl(number as u32)
    }
}
