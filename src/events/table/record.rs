//! A flow in little space.

use core::num::NonZeroU64;

use super::key::Key;
use crate::model::{
    Counters, Flow, FlowTimes, Helper, Labels, ProtocolInfo, SequenceAdjustment, Status, Synproxy, TcpInfo, Timestamp,
    Tuple,
};

/// What is kept of a flow: all that a dump tells but the use count.
///
/// What few flows have stands apart.
#[derive(Debug)]
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
    /// The dump during or after which the flow was last heard of.
    pub(super) generation: u32,
    /// What of it events have told since then; nothing where the dump alone did.
    pub(super) told: Told,
    /// An event has told of the flow at some time, so that its end will be told too.
    pub(super) has_events: bool,
    /// A SYN proxy's numbers that are all zero, as every flow has that a user created.
    blank_synproxy: bool,
}

bitflags::bitflags! {
    /// What events have told of a flow. They leave out what did not change; a dump tells everything.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Told: u8 {
        /// What every event tells: status, mark and helper.
        const FLOW = 1 << 0;
        /// What the protocol knows: the state.
        const PROTOCOL_INFO = 1 << 1;
        const LABELS = 1 << 2;
    }
}

impl Told {
    pub(super) fn by(event: &Flow) -> Self {
        let mut told = Self::FLOW;
        told.set(Self::PROTOCOL_INFO, event.protocol_info.is_some());
        told.set(Self::LABELS, event.labels.is_some());
        told
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Of another protocol than TCP.
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
    pub(super) fn new(flow: Flow, generation: u32, told: Told) -> Self {
        let tcp = flow.protocol_info.and_then(|info| info.tcp().copied());
        let blank = Synproxy::default();
        let rest = Rest {
            protocol_info: flow.protocol_info.filter(|info| info.tcp().is_none()),
            helper: flow.helper,
            labels: flow.labels,
            security_context: flow.security_context,
            master: flow.master,
            sequence_adjustment_original: flow.sequence_adjustment_original,
            sequence_adjustment_reply: flow.sequence_adjustment_reply,
            synproxy: flow.synproxy.filter(|synproxy| *synproxy != blank),
        };
        Self {
            original: flow.original,
            reply: flow.reply,
            zone: flow.zone,
            id: flow.id,
            status: flow.status,
            timeout: flow.timeout,
            mark: flow.mark,
            tcp,
            counters_original: flow.counters_original,
            counters_reply: flow.counters_reply,
            start: flow.times.and_then(|times| NonZeroU64::new(times.start?.0)),
            rest: (rest != Rest::default()).then(|| Box::new(rest)),
            generation,
            told,
            has_events: !told.is_empty(),
            blank_synproxy: flow.synproxy == Some(blank),
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

    /// Whether that may be the same flow, its original tuple and zone being the same.
    ///
    /// Identifiers that differ are those of different flows; equal ones prove nothing, since the next flow of a tuple
    /// has the same one if it is put in the same place.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpState;

    /// With three indexes of eight bytes a slot, at worst 55 bytes a flow, this stays below 300.
    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 224, "{}", size_of::<Record>());
    }

    #[test]
    fn a_flow_comes_out_as_it_went_in() {
        let tuple = Tuple::tcp(([10, 0, 0, 1], 5).into(), ([10, 0, 0, 2], 80).into());
        let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
        let assert_kept = |flow: &Flow| assert_eq!(Record::new(flow.clone(), 1, Told::FLOW).to_flow(), *flow);
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
