//! A flow in little space, and how messages change it.

use core::num::NonZeroU64;

use super::index::Key;
use crate::model::{
    Counters, DccpInfo, EventKind, Flow, FlowTimes, Helper, Labels, ProtocolInfo, SctpInfo, SequenceAdjustment, Status,
    Synproxy, TcpInfo, Timestamp, Tuple,
};

/// A flow as the table keeps it: everything in an entry of a dump except the use count.
///
/// Attributes that few flows have are kept apart, in a box.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
    pub(super) zone: Option<u16>,
    pub(super) id: Option<u32>,
    pub(super) status: Option<Status>,
    pub(super) timeout: Option<u32>,
    pub(super) mark: Option<u32>,
    tcp: Option<TcpInfo>,
    pub(super) counters_original: Option<Counters>,
    pub(super) counters_reply: Option<Counters>,
    start: Option<NonZeroU64>,
    rest: Option<Box<Rest>>,
    /// The number of the dump during or after which the flow was last seen, in an entry or an event.
    pub(super) generation: u32,
    /// What events carried of it since then; empty if only the dump did.
    pub(super) seen: SeenInEvents,
    /// Whether some event was about this flow. Then its end will have an event too.
    pub(super) has_events: bool,
    /// Whether it has SYN proxy numbers that are all zero, as every flow has that a program created.
    blank_synproxy: bool,
}

bitflags::bitflags! {
    /// The parts of a flow that events have carried. An event leaves out unchanged attributes; a dump carries all.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct SeenInEvents: u8 {
        /// Status, mark and helper: every event carries them.
        const FLOW = 1 << 0;
        /// The state of the protocol.
        const PROTOCOL_INFO = 1 << 1;
        const LABELS = 1 << 2;
    }
}

impl SeenInEvents {
    pub(super) fn of(event: &Flow) -> Self {
        let mut seen = Self::FLOW;
        seen.set(Self::PROTOCOL_INFO, event.protocol_info.is_some());
        seen.set(Self::LABELS, event.labels.is_some());
        seen
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// That of other protocols than TCP.
    protocol_info: Option<ProtocolInfo>,
    pub(super) helper: Option<Helper>,
    labels: Option<Labels>,
    pub(super) security_context: Option<Box<str>>,
    pub(super) master: Option<Tuple>,
    pub(super) sequence_adjustment_original: Option<SequenceAdjustment>,
    pub(super) sequence_adjustment_reply: Option<SequenceAdjustment>,
    synproxy: Option<Synproxy>,
}

impl Record {
    pub(super) fn new(flow: Flow, generation: u32, seen: SeenInEvents) -> Self {
        // Every attribute is named: with a new one, this does not compile until it is kept or left out on purpose.
        let Flow {
            original,
            reply,
            zone,
            status,
            mark,
            security_context,
            id,
            use_count: _,
            master,
            timeout,
            protocol_info,
            counters_original,
            counters_reply,
            times,
            helper,
            labels,
            sequence_adjustment_original,
            sequence_adjustment_reply,
            synproxy,
            event_time: _,
        } = flow;
        let blank = Synproxy::default();
        let rest = Rest {
            protocol_info: protocol_info.filter(|info| info.tcp().is_none()),
            helper,
            labels,
            security_context,
            master,
            sequence_adjustment_original,
            sequence_adjustment_reply,
            synproxy: synproxy.filter(|synproxy| *synproxy != blank),
        };
        Self {
            original,
            reply,
            zone,
            id,
            status,
            timeout,
            mark,
            tcp: protocol_info.and_then(|info| info.tcp().copied()),
            counters_original,
            counters_reply,
            start: times.and_then(|times| NonZeroU64::new(times.start?.0)),
            rest: (rest != Rest::default()).then(|| Box::new(rest)),
            generation,
            seen,
            has_events: !seen.is_empty(),
            blank_synproxy: synproxy == Some(blank),
        }
    }

    pub(super) fn to_flow(&self) -> Flow {
        let mut flow = Flow::new(self.original, self.reply);
        flow.zone = self.zone;
        flow.id = self.id;
        flow.status = self.status;
        flow.timeout = self.timeout;
        flow.mark = self.mark;
        flow.protocol_info = self.protocol_info();
        flow.counters_original = self.counters_original;
        flow.counters_reply = self.counters_reply;
        flow.times = self.times();
        flow.synproxy = self.synproxy();
        if let Some(rest) = &self.rest {
            flow.helper = rest.helper.clone();
            flow.labels = rest.labels;
            flow.security_context = rest.security_context.clone();
            flow.master = rest.master;
            flow.sequence_adjustment_original = rest.sequence_adjustment_original;
            flow.sequence_adjustment_reply = rest.sequence_adjustment_reply;
        }
        flow
    }

    pub(super) fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.tcp.map(ProtocolInfo::Tcp).or_else(|| self.rest.as_ref()?.protocol_info)
    }

    /// The attributes that few flows have.
    pub(super) fn rest(&self) -> Option<&Rest> {
        self.rest.as_deref()
    }

    pub(super) fn times(&self) -> Option<FlowTimes> {
        self.start.map(|start| FlowTimes { start: Some(Timestamp(start.get())), stop: None })
    }

    pub(super) fn synproxy(&self) -> Option<Synproxy> {
        self.blank_synproxy.then(Synproxy::default).or_else(|| self.rest()?.synproxy)
    }

    pub(super) fn labels(&self) -> Option<Labels> {
        self.rest.as_ref()?.labels
    }

    pub(super) fn original_key(&self) -> Key {
        Key::new(&self.original, self.zone)
    }

    pub(super) fn reply_key(&self) -> Key {
        Key::new(&self.reply, self.zone)
    }

    /// Whether `flow`, which has the same original tuple and zone, may be this flow.
    ///
    /// Different identifiers prove that it is another flow. Equal identifiers prove nothing: the next flow of a tuple has
    /// the same identifier if the kernel stores it in the same place.
    pub(super) fn may_be(&self, flow: &Flow) -> bool {
        let start = flow.times.and_then(|times| times.start);
        self.reply_key() == Key::new(&flow.reply, flow.zone)
            && agree(self.id, flow.id)
            && agree(self.start.map(NonZeroU64::get), start.map(|start| start.0))
    }
}

fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Updates a flow from an event. Attributes that the event leaves out are unchanged, with two exceptions: an event leaves
/// out a mark of 0, and, unless it is a DESTROY, the helper of a flow that has none.
pub(super) fn merge_event(known: &mut Flow, kind: EventKind, event: Flow) {
    let mark = event.mark.or(known.mark.map(|_| 0));
    let helper = if kind == EventKind::Destroy { known.helper.take() } else { event.helper.clone() };
    let before = core::mem::replace(known, event);
    fill(known, before);
    known.mark = mark;
    known.helper = helper;
}

/// Updates a flow from an entry of a dump, if events were about the flow since the dump began. Attributes that the
/// events carried stay, and everything else is older than the entry.
pub(super) fn merge_entry(known: &mut Flow, seen: SeenInEvents, entry: Flow) {
    if !seen.contains(SeenInEvents::PROTOCOL_INFO) {
        known.protocol_info = entry.protocol_info;
    }
    if !seen.contains(SeenInEvents::LABELS) {
        known.labels = entry.labels;
    }
    fill(known, entry);
}

/// Adds from `other` the attributes that `known` lacks.
fn fill(known: &mut Flow, other: Flow) {
    // Every attribute is named: with a new one, this does not compile until it is merged.
    let Flow {
        original: _,
        reply: _,
        zone,
        status,
        mark,
        security_context,
        id,
        use_count,
        master,
        timeout,
        protocol_info,
        counters_original,
        counters_reply,
        times,
        helper,
        labels,
        sequence_adjustment_original,
        sequence_adjustment_reply,
        synproxy,
        event_time,
    } = other;
    known.zone = known.zone.or(zone);
    known.status = known.status.or(status);
    known.mark = known.mark.or(mark);
    known.security_context = known.security_context.take().or(security_context);
    known.id = known.id.or(id);
    known.use_count = known.use_count.or(use_count);
    known.master = known.master.or(master);
    known.timeout = known.timeout.or(timeout);
    known.protocol_info = fill_info(known.protocol_info, protocol_info);
    known.counters_original = known.counters_original.or(counters_original);
    known.counters_reply = known.counters_reply.or(counters_reply);
    known.times = match (known.times, times) {
        (Some(one), Some(two)) => Some(FlowTimes { start: one.start.or(two.start), stop: one.stop.or(two.stop) }),
        (one, two) => one.or(two),
    };
    known.helper = known.helper.take().or(helper);
    known.labels = known.labels.or(labels);
    known.sequence_adjustment_original = known.sequence_adjustment_original.or(sequence_adjustment_original);
    known.sequence_adjustment_reply = known.sequence_adjustment_reply.or(sequence_adjustment_reply);
    known.synproxy = known.synproxy.or(synproxy);
    known.event_time = known.event_time.or(event_time);
}

/// A DESTROY carries only the state.
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

/// Whether two versions of a flow differ in something that an event carries: status, mark, state, helper or labels. What
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpState;

    /// With three indexes of eight bytes a slot, at worst 55 bytes a flow, this stays below 300.
    #[test]
    fn record_is_small() {
        assert!(size_of::<Record>() <= 224, "{}", size_of::<Record>());
    }

    #[test]
    fn record_keeps_the_flow() {
        let tuple = Tuple::tcp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 80).into());
        let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
        let assert_kept = |flow: &Flow| assert_eq!(Record::new(flow.clone(), 1, SeenInEvents::FLOW).to_flow(), *flow);
        assert_kept(&flow);
        flow.zone = Some(3);
        flow.id = Some(0);
        flow.status = Some(Status::ASSURED);
        flow.timeout = Some(0);
        flow.mark = Some(0);
        flow.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo { state: Some(TcpState::CLOSE), ..TcpInfo::default() }));
        flow.counters_original = Some(Counters::new(1, 2));
        flow.counters_reply = Some(Counters::new(3, 4));
        flow.times = Some(FlowTimes { start: Some(Timestamp(9)), stop: None });
        flow.synproxy = Some(Synproxy::default());
        assert_kept(&flow);
        flow.helper = Some(Helper::new("ftp"));
        flow.labels = Some(Labels(5));
        flow.security_context = Some("context".into());
        flow.master = Some(tuple);
        flow.sequence_adjustment_original = Some(SequenceAdjustment::default());
        flow.sequence_adjustment_reply = Some(SequenceAdjustment::default());
        assert_kept(&flow);
        flow.protocol_info = Some(ProtocolInfo::Unknown);
        flow.synproxy = Some(Synproxy { initial_sequence: 1, ..Synproxy::default() });
        assert_kept(&flow);
    }
}
