//! What is known of a flow, and what a message adds.

use super::record::Told;
use crate::model::{DccpInfo, EventKind, Flow, FlowTimes, Labels, ProtocolInfo, SctpInfo, TcpInfo};

/// Takes over what an event tells of a flow. What it leaves out is as it was, with two exceptions: an event leaves out a
/// mark of 0, and, unless it is the last, the helper of a flow that has none.
pub(super) fn take_event(known: &mut Flow, kind: EventKind, event: Flow) {
    let mark = event.mark.or(known.mark.map(|_| 0));
    let helper = if kind == EventKind::Destroy { known.helper.take() } else { event.helper.clone() };
    let before = core::mem::replace(known, event);
    fill(known, before);
    known.mark = mark;
    known.helper = helper;
}

/// Takes over what an entry of a dump tells of a flow that events have told of since the dump began: what they told
/// stands, and all else is older than the entry.
pub(super) fn take_entry(known: &mut Flow, told: Told, entry: Flow) {
    if !told.contains(Told::PROTOCOL_INFO) {
        known.protocol_info = entry.protocol_info;
    }
    if !told.contains(Told::LABELS) {
        known.labels = entry.labels;
    }
    fill(known, entry);
}

/// Adds from `other` what `known` lacks.
pub(super) fn fill(known: &mut Flow, other: Flow) {
    known.id = known.id.or(other.id);
    known.status = known.status.or(other.status);
    known.timeout = known.timeout.or(other.timeout);
    known.mark = known.mark.or(other.mark);
    known.protocol_info = fill_info(known.protocol_info, other.protocol_info);
    known.counters_original = known.counters_original.or(other.counters_original);
    known.counters_reply = known.counters_reply.or(other.counters_reply);
    known.times = match (known.times, other.times) {
        (Some(one), Some(two)) => Some(FlowTimes { start: one.start.or(two.start), stop: one.stop.or(two.stop) }),
        (one, two) => one.or(two),
    };
    known.helper = known.helper.take().or(other.helper);
    known.labels = known.labels.or(other.labels);
    known.security_context = known.security_context.take().or(other.security_context);
    known.master = known.master.or(other.master);
    known.sequence_adjustment_original = known.sequence_adjustment_original.or(other.sequence_adjustment_original);
    known.sequence_adjustment_reply = known.sequence_adjustment_reply.or(other.sequence_adjustment_reply);
    known.synproxy = known.synproxy.or(other.synproxy);
}

/// The end of a flow tells its state alone.
fn fill_info(known: Option<ProtocolInfo>, other: Option<ProtocolInfo>) -> Option<ProtocolInfo> {
    match (known, other) {
        (Some(ProtocolInfo::Tcp(one)), Some(ProtocolInfo::Tcp(two))) => Some(ProtocolInfo::Tcp(TcpInfo {
            state: one.state.or(two.state),
            window_scale_original: one.window_scale_original.or(two.window_scale_original),
            window_scale_reply: one.window_scale_reply.or(two.window_scale_reply),
            flags_original: one.flags_original.or(two.flags_original),
            flags_reply: one.flags_reply.or(two.flags_reply),
        })),
        (Some(ProtocolInfo::Sctp(one)), Some(ProtocolInfo::Sctp(two))) => Some(ProtocolInfo::Sctp(SctpInfo {
            state: one.state.or(two.state),
            verification_tag_original: one.verification_tag_original.or(two.verification_tag_original),
            verification_tag_reply: one.verification_tag_reply.or(two.verification_tag_reply),
        })),
        (Some(ProtocolInfo::Dccp(one)), Some(ProtocolInfo::Dccp(two))) => Some(ProtocolInfo::Dccp(DccpInfo {
            state: one.state.or(two.state),
            role: one.role.or(two.role),
            handshake_sequence: one.handshake_sequence.or(two.handshake_sequence),
        })),
        (one, two) => one.or(two),
    }
}

/// Whether one differs from the other in something that an event would tell: status, mark, state, helper, labels. What
/// changes with every packet (timeout, counters, window) does not count.
pub(super) fn differs(one: &Flow, other: &Flow) -> bool {
    let state = |flow: &Flow| (flow.tcp_state(), flow.sctp_state(), flow.dccp_state());
    let labels = |flow: &Flow| flow.labels.unwrap_or(Labels(0));
    let helper = |flow: &Flow| flow.helper.as_ref().map(|helper| helper.name.clone());
    one.status != other.status
        || one.mark.unwrap_or(0) != other.mark.unwrap_or(0)
        || state(one) != state(other)
        || labels(one) != labels(other)
        || helper(one) != helper(other)
}
