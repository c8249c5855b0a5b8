//! A flow as attributes.

use super::{Flow, flow_attributes};
use crate::{
    model::{Labels, Status, Timestamp},
    wire::{
        CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS, CTA_MARK, CTA_PROTOINFO, CTA_SECCTX,
        CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT, CTA_TIMESTAMP,
        CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE, CTA_ZONE, Encode, Encoder,
    },
};

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
