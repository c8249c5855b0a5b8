//! A flow back to its attributes.

use super::Flow;
use crate::wire::{
    CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY, CTA_HELP, CTA_ID, CTA_LABELS, CTA_MARK, CTA_PROTOINFO, CTA_SECCTX,
    CTA_SECCTX_NAME, CTA_SEQ_ADJ_ORIG, CTA_SEQ_ADJ_REPLY, CTA_STATUS, CTA_SYNPROXY, CTA_TIMEOUT, CTA_TIMESTAMP,
    CTA_TIMESTAMP_EVENT, CTA_TUPLE_MASTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_USE, CTA_ZONE, Encoder,
};

impl Flow {
    /// Writes every attribute that is set, in the order in which Linux 6.18 dumps them.
    ///
    /// This is the inverse of decoding. It is not a request: for that see [`NewFlow`](crate::request::NewFlow) and
    /// [`FlowUpdate`](crate::request::FlowUpdate), which know what the kernel takes.
    pub fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.nested(CTA_TUPLE_ORIG, &self.original);
        encoder.nested(CTA_TUPLE_REPLY, &self.reply);
        encoder.optional_u16(CTA_ZONE, self.zone);
        encoder.optional_u32(CTA_STATUS, self.status.map(|status| status.bits()));
        encoder.optional_u32(CTA_MARK, self.mark);
        if let Some(context) = &self.security_context {
            encoder.nest(CTA_SECCTX, |nest| nest.text(CTA_SECCTX_NAME, context));
        }
        encoder.optional_u32(CTA_ID, self.id);
        encoder.optional_u32(CTA_USE, self.use_count);
        encoder.optional_nest(CTA_TUPLE_MASTER, self.master.as_ref());
        encoder.optional_u32(CTA_TIMEOUT, self.timeout);
        encoder.optional_nest(CTA_PROTOINFO, self.protocol_info.as_ref());
        encoder.optional_nest(CTA_COUNTERS_ORIG, self.counters_original.as_ref());
        encoder.optional_nest(CTA_COUNTERS_REPLY, self.counters_reply.as_ref());
        encoder.optional_nest(CTA_TIMESTAMP, self.lifetime.as_ref());
        encoder.optional_nest(CTA_HELP, self.helper.as_ref());
        if let Some(labels) = self.labels {
            labels.encode(encoder, CTA_LABELS);
        }
        encoder.optional_nest(CTA_SEQ_ADJ_ORIG, self.sequence_adjustment_original.as_ref());
        encoder.optional_nest(CTA_SEQ_ADJ_REPLY, self.sequence_adjustment_reply.as_ref());
        encoder.optional_nest(CTA_SYNPROXY, self.synproxy.as_ref());
        encoder.optional_u64(CTA_TIMESTAMP_EVENT, self.event_time.map(|time| time.0));
    }
}
