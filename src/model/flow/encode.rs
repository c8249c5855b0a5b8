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
        encoder.nest(CTA_TUPLE_ORIG, |nest| self.original.encode(nest));
        encoder.nest(CTA_TUPLE_REPLY, |nest| self.reply.encode(nest));
        if let Some(zone) = self.zone {
            encoder.u16(CTA_ZONE, zone);
        }
        if let Some(status) = self.status {
            encoder.u32(CTA_STATUS, status.bits());
        }
        if let Some(mark) = self.mark {
            encoder.u32(CTA_MARK, mark);
        }
        if let Some(context) = &self.security_context {
            encoder.nest(CTA_SECCTX, |nest| nest.text(CTA_SECCTX_NAME, context));
        }
        if let Some(id) = self.id {
            encoder.u32(CTA_ID, id);
        }
        if let Some(count) = self.use_count {
            encoder.u32(CTA_USE, count);
        }
        if let Some(master) = &self.master {
            encoder.nest(CTA_TUPLE_MASTER, |nest| master.encode(nest));
        }
        if let Some(timeout) = self.timeout {
            encoder.u32(CTA_TIMEOUT, timeout);
        }
        if let Some(info) = &self.protocol_info {
            encoder.nest(CTA_PROTOINFO, |nest| info.encode(nest));
        }
        if let Some(counters) = &self.counters_original {
            encoder.nest(CTA_COUNTERS_ORIG, |nest| counters.encode(nest));
        }
        if let Some(counters) = &self.counters_reply {
            encoder.nest(CTA_COUNTERS_REPLY, |nest| counters.encode(nest));
        }
        if let Some(lifetime) = &self.lifetime {
            encoder.nest(CTA_TIMESTAMP, |nest| lifetime.encode(nest));
        }
        if let Some(helper) = &self.helper {
            encoder.nest(CTA_HELP, |nest| helper.encode(nest));
        }
        if let Some(labels) = self.labels {
            labels.encode(encoder, CTA_LABELS);
        }
        if let Some(adjustment) = &self.sequence_adjustment_original {
            encoder.nest(CTA_SEQ_ADJ_ORIG, |nest| adjustment.encode(nest));
        }
        if let Some(adjustment) = &self.sequence_adjustment_reply {
            encoder.nest(CTA_SEQ_ADJ_REPLY, |nest| adjustment.encode(nest));
        }
        if let Some(synproxy) = &self.synproxy {
            encoder.nest(CTA_SYNPROXY, |nest| synproxy.encode(nest));
        }
        if let Some(time) = self.event_time {
            encoder.u64(CTA_TIMESTAMP_EVENT, time.0);
        }
    }
}
