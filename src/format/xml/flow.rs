//! Flows as XML.

use super::{
    Xml,
    element::{addresses, layer3, layer4, number, numbers, text},
};
use crate::{
    Counters, Flow, Labels, Lifetime, Status, Tuple,
    format::{LabelMap, line::Line, vocabulary::state_name},
};

impl Xml<'_> {
    pub(in crate::format) fn print_flow(&self, flow: &Flow, line: &mut Line<'_>) {
        self.begin(line);
        line.text("<meta direction=\"original\">");
        direction(&flow.original, flow.counters_original, line);
        line.text("<meta direction=\"reply\">");
        direction(&flow.reply, flow.counters_reply, line);
        if has_meta(flow) {
            line.text("<meta direction=\"independent\">");
            self.meta(flow, line);
            line.text("</meta>");
        }
        self.when(line);
        if let Some(helper) = &flow.helper {
            text("<helper>", &helper.name, "</helper>", line);
        }
        line.text("</flow>");
    }

    #[inline(always)]
    fn meta(&self, flow: &Flow, line: &mut Line<'_>) {
        if let Some(state) = flow.protocol_info.as_ref().and_then(state_name) {
            line.text("<state>");
            line.text(state);
            line.text("</state>");
        }
        if let Some(timeout) = flow.timeout {
            number("<timeout>", timeout, "</timeout>", line);
        }
        if let Some(mark) = flow.mark {
            number("<mark>", mark, "</mark>", line);
        }
        if let (Some(map), Some(labels)) = (self.options.labels, flow.labels) {
            label_names(map, labels, line);
        }
        if let Some(context) = &flow.security_context {
            text("<secctx>", context, "</secctx>", line);
        }
        if let Some(zone) = flow.zone {
            number("<zone>", zone, "</zone>", line);
        }
        if let Some(count) = flow.use_count {
            number("<use>", count, "</use>", line);
        }
        if let Some(id) = flow.id {
            number("<id>", id, "</id>", line);
        }
        if let Some(status) = flow.status {
            flags(status, line);
        }
        if let Some(lifetime) = flow.lifetime {
            self.lifetime(lifetime, line);
        }
    }

    fn lifetime(&self, lifetime: Lifetime, line: &mut Line<'_>) {
        let Some(start) = lifetime.start else { return };
        if self.options.kernel_timestamps {
            number("<timestamp><start>", start.0, "</start>", line);
            if let Some(stop) = lifetime.stop {
                number("<stop>", stop.0, "</stop>", line);
            }
            line.text("</timestamp>");
        }
        // As conntrack(8): of an ended flow the whole seconds of the difference, of others, as in text, the difference
        // of whole seconds.
        let age = match lifetime.stop {
            Some(stop) => stop.since(start).as_secs(),
            None => self.options.now().seconds().saturating_sub(start.seconds()),
        };
        number("<deltatime>", age, "</deltatime>", line);
    }
}

/// The rest of a `<meta>` of one direction.
#[inline(always)]
fn direction(tuple: &Tuple, counters: Option<Counters>, line: &mut Line<'_>) {
    line.text(layer3(tuple.family()));
    addresses(tuple, line);
    line.text("</layer3>");
    layer4(tuple.protocol, line);
    numbers(tuple, line);
    line.text("</layer4>");
    if let Some(zone) = tuple.zone {
        number("<zone>", zone, "</zone>", line);
    }
    if let Some(counters) = counters {
        number("<counters><packets>", counters.packets, "</packets>", line);
        number("<bytes>", counters.bytes, "</bytes></counters>", line);
    }
    line.text("</meta>");
}

/// Whether anything is known of a flow that is a matter of neither direction.
const fn has_meta(flow: &Flow) -> bool {
    flow.status.is_some()
        || flow.id.is_some()
        || flow.timeout.is_some()
        || flow.protocol_info.is_some()
        || flow.mark.is_some()
        || flow.labels.is_some()
        || flow.security_context.is_some()
        || flow.zone.is_some()
        || flow.use_count.is_some()
        || flow.lifetime.is_some()
}

fn label_names(map: &LabelMap, labels: Labels, line: &mut Line<'_>) {
    line.text("<labels>");
    for name in map.names(labels) {
        text("<label>", name, "</label>", line);
    }
    line.text("</labels>");
}

#[inline]
fn flags(status: Status, line: &mut Line<'_>) {
    if status.contains(Status::ASSURED) {
        line.text("<assured/>");
    }
    if !status.contains(Status::SEEN_REPLY) {
        line.text("<unreplied/>");
    }
    if status.contains(Status::OFFLOAD) {
        line.text("<offload/>");
    }
    if status.contains(Status::HW_OFFLOAD) {
        line.text("<hw-offload/>");
    }
}
