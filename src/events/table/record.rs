//! A flow in little space, and the view of it.
//!
//! # The layout
//!
//! ```text
//! Record, 128 bytes in this order                             only for flows that need it
//! ┌───────────────────────────────────────────────────────┐
//! │ tuples      32   IPv4: 4 addresses, 2 x 4 bytes of    │
//! │                  ports, protocol                      │
//! │                  IPv6: the same with a pointer ───────┼──▶ 4 addresses           64
//! │                  or a pointer ────────────────────────┼──▶ 2 whole tuples        92
//! │ hashes       8   of the keys of both tuples           │
//! │ zone         2                                        │
//! │ present      2   bits: which attributes it has        │
//! │ numbers     16   id, status, mark, timeout            │
//! │ dump, seen   4   the dump and events that showed it   │
//! ├───────────────────────────────────────────────────────┤ 64
//! │ tcp          7   state, window scales, flags          │
//! │ start        8   and 1 unused byte before it          │
//! │ rest         8   a pointer ───────────────────────────┼──▶ helper, labels, …    208
//! │ counters    32   packets and bytes of each direction  │
//! │ unused       8                                        │
//! └───────────────────────────────────────────────────────┘
//! ```
//!
//! A search reads the first line of the cache only. A processor often fetches the second line of 128 bytes with the first.
//!
//! An `Option` for each attribute would take twice as much: the bits of `present` replace them.

use core::{fmt, num::NonZeroU64, time::Duration};

use super::{key::Key, tuples::PackedTuples};
use crate::model::{
    AnyFlow, Counters, DccpState, Direction, Endpoint, Family, Flow, FlowKey, FlowTimes, Helper, HelperRef, Labels,
    MaskedTcpFlags, Protocol, ProtocolInfo, SctpState, Sealed, SequenceAdjustment, Shape, Status, Synproxy, TcpInfo,
    TcpState, Timestamp, Tuple, inherent_attributes, inherent_getters,
};

/// A view of one flow of a [`FlowTable`](super::FlowTable).
///
/// Timeout, counters and window are as the last message that carried them said.
///
/// # Example
///
/// ```
/// use ctnetlink::{Event, Flow, FlowTable, Tuple, events::FlowEvent};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// let mut table = FlowTable::new();
/// table.apply(&Event::New(FlowEvent::new(flow.clone())), &mut Vec::new());
/// for entry in &table {
///     assert_eq!((entry.original(), entry.to_flow()), (original, flow.clone()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct TableEntry<'a>(pub(super) &'a Record);

impl Sealed for TableEntry<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape::Other(self)
    }
}

impl AnyFlow for TableEntry<'_> {
    fn original(&self) -> Tuple {
        self.0.tuples.get(Direction::Original)
    }

    fn reply(&self) -> Tuple {
        self.0.tuples.get(Direction::Reply)
    }

    fn zone(&self) -> Option<u16> {
        self.0.zone()
    }

    fn status(&self) -> Option<Status> {
        self.0.status()
    }

    fn mark(&self) -> Option<u32> {
        self.0.mark()
    }

    fn security_context(&self) -> Option<&str> {
        self.0.rest.as_ref()?.security_context.as_deref()
    }

    fn id(&self) -> Option<u32> {
        self.0.id()
    }

    fn use_count(&self) -> Option<u32> {
        None
    }

    fn master(&self) -> Option<Tuple> {
        self.0.rest.as_ref()?.master
    }

    fn timeout(&self) -> Option<u32> {
        self.0.timeout()
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        self.0.protocol_info()
    }

    fn counters_original(&self) -> Option<Counters> {
        self.0.counters_original()
    }

    fn counters_reply(&self) -> Option<Counters> {
        self.0.counters_reply()
    }

    fn times(&self) -> Option<FlowTimes> {
        self.0.times()
    }

    fn helper(&self) -> Option<HelperRef<'_>> {
        self.0.rest.as_ref()?.helper.as_ref().map(HelperRef::from)
    }

    fn labels(&self) -> Option<Labels> {
        self.0.labels()
    }

    fn sequence_adjustment_original(&self) -> Option<SequenceAdjustment> {
        self.0.rest.as_ref()?.sequence_adjustment_original
    }

    fn sequence_adjustment_reply(&self) -> Option<SequenceAdjustment> {
        self.0.rest.as_ref()?.sequence_adjustment_reply
    }

    fn synproxy(&self) -> Option<Synproxy> {
        self.0.synproxy()
    }

    fn event_time(&self) -> Option<Timestamp> {
        None
    }

    fn to_flow(&self) -> Flow {
        self.0.to_flow()
    }
}

inherent_attributes!(TableEntry<'_>);
inherent_getters!(TableEntry<'_>);

impl TableEntry<'_> {
    /// Returns the flow as a value, with everything known of it.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        self.0.to_flow()
    }
}

impl fmt::Debug for TableEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_flow().fmt(f)
    }
}

impl From<TableEntry<'_>> for FlowKey {
    fn from(entry: TableEntry<'_>) -> Self {
        let key = Self::original(entry.original());
        Self { zone: entry.zone(), id: entry.id(), ..key }
    }
}

/// A flow as the table keeps it: everything in an entry of a dump except the use count.
///
/// The fields are in this order in memory.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(super) struct Record {
    tuples: PackedTuples,
    /// Of the keys of both tuples.
    hashes: [u32; 2],
    zone: u16,
    present: PresentParts,
    id: u32,
    status: Status,
    mark: u32,
    timeout: u32,
    generation: Generation,
    /// The parts that events carried since that dump began; empty if only the dump showed the flow.
    seen: SeenInEvents,
    /// Whether some event was about this flow. Then its end will have an event too.
    has_events: bool,
    tcp: PackedTcp,
    start: Option<NonZeroU64>,
    rest: Option<Box<Rest>>,
    counters: [Counters; 2],
}

/// The number of a dump. A record keeps that of the dump during or after which the flow was last seen.
///
/// It wraps. For a mistake, 65,536 dumps in a row would have to fail before they reach the flow: the next dump would then
/// count as having shown it.
pub(super) type Generation = u16;

/// The window scales and flags of the initiator come first, then the responder's.
#[derive(Clone, Copy, Debug, Default)]
struct PackedTcp {
    state: u8,
    window_scales: [u8; 2],
    flags: [MaskedTcpFlags; 2],
}

bitflags::bitflags! {
    /// The attributes that a record has.
    #[derive(Clone, Copy, Debug)]
    struct PresentParts: u16 {
        const ZONE = 1 << 0;
        const ID = 1 << 1;
        const STATUS = 1 << 2;
        const MARK = 1 << 3;
        const TIMEOUT = 1 << 4;
        const COUNTERS_ORIGINAL = 1 << 5;
        const COUNTERS_REPLY = 1 << 6;
        const TCP = 1 << 7;
        const TCP_STATE = 1 << 8;
        const WINDOW_SCALE_ORIGINAL = 1 << 9;
        const WINDOW_SCALE_REPLY = 1 << 10;
        const TCP_FLAGS_ORIGINAL = 1 << 11;
        const TCP_FLAGS_REPLY = 1 << 12;
        /// SYN proxy numbers that are all zero, as every flow has that a program created.
        const BLANK_SYNPROXY = 1 << 13;
    }
}

impl PresentParts {
    /// Notes whether there is a value, and returns the number to keep.
    #[inline]
    fn pack<T: Default>(&mut self, attribute: Self, value: Option<T>) -> T {
        self.set(attribute, value.is_some());
        value.unwrap_or_default()
    }

    #[inline]
    fn unpack<T>(self, attribute: Self, value: T) -> Option<T> {
        self.contains(attribute).then_some(value)
    }
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

/// The attributes that few flows have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    /// That of other protocols than TCP.
    protocol_info: Option<ProtocolInfo>,
    helper: Option<Helper>,
    labels: Option<Labels>,
    security_context: Option<Box<str>>,
    master: Option<Tuple>,
    sequence_adjustment_original: Option<SequenceAdjustment>,
    sequence_adjustment_reply: Option<SequenceAdjustment>,
    synproxy: Option<Synproxy>,
}

impl Record {
    /// `hashes` belong to the keys of both tuples.
    pub(super) fn new(hashes: [u32; 2], flow: &Flow, generation: Generation, seen: SeenInEvents) -> Self {
        let mut record = Self::of_tuples(PackedTuples::new(&flow.original, &flow.reply), hashes);
        record.set_attributes(flow, generation, seen);
        record
    }

    #[inline]
    fn of_tuples(tuples: PackedTuples, hashes: [u32; 2]) -> Self {
        Self {
            tuples,
            hashes,
            zone: 0,
            present: PresentParts::empty(),
            id: 0,
            status: Status::empty(),
            mark: 0,
            timeout: 0,
            generation: 0,
            seen: SeenInEvents::empty(),
            has_events: false,
            tcp: PackedTcp::default(),
            start: None,
            rest: None,
            counters: [Counters::default(); 2],
        }
    }

    /// Replaces everything by what is known now of the same flow, which has the same keys.
    pub(super) fn update(&mut self, flow: &Flow, generation: Generation, seen: SeenInEvents) {
        let has_zone = flow.original.zone.is_some() || flow.reply.zone.is_some();
        // Otherwise the same keys are of the same tuples.
        if has_zone || matches!(self.tuples, PackedTuples::Odd(_)) {
            self.tuples = PackedTuples::new(&flow.original, &flow.reply);
        }
        self.set_attributes(flow, generation, seen);
    }

    #[inline]
    fn set_attributes(&mut self, flow: &Flow, generation: Generation, seen: SeenInEvents) {
        // Every attribute is named: with a new one, this does not compile until it is kept or left out on purpose.
        let Flow {
            original: _,
            reply: _,
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
        let protocol_info_of_rest = protocol_info.filter(|info| info.tcp().is_none());
        let synproxy_of_rest = synproxy.filter(|synproxy| *synproxy != blank);
        let has_rest = protocol_info_of_rest.is_some()
            || helper.is_some()
            || labels.is_some()
            || security_context.is_some()
            || master.is_some()
            || sequence_adjustment_original.is_some()
            || sequence_adjustment_reply.is_some()
            || synproxy_of_rest.is_some();
        let rest = || Rest {
            protocol_info: protocol_info_of_rest,
            helper: helper.clone(),
            labels: *labels,
            security_context: security_context.clone(),
            master: *master,
            sequence_adjustment_original: *sequence_adjustment_original,
            sequence_adjustment_reply: *sequence_adjustment_reply,
            synproxy: synproxy_of_rest,
        };
        let mut present = PresentParts::empty();
        present.set(PresentParts::BLANK_SYNPROXY, *synproxy == Some(blank));
        self.zone = present.pack(PresentParts::ZONE, *zone);
        self.id = present.pack(PresentParts::ID, *id);
        self.status = present.pack(PresentParts::STATUS, *status);
        self.mark = present.pack(PresentParts::MARK, *mark);
        self.timeout = present.pack(PresentParts::TIMEOUT, *timeout);
        self.tcp = PackedTcp::new(&mut present, protocol_info.and_then(|info| info.tcp().copied()));
        self.start = times.and_then(|times| NonZeroU64::new(times.start?.0));
        if has_rest || self.rest.is_some() {
            self.rest = has_rest.then(|| Box::new(rest()));
        }
        self.counters = [
            present.pack(PresentParts::COUNTERS_ORIGINAL, *counters_original),
            present.pack(PresentParts::COUNTERS_REPLY, *counters_reply),
        ];
        self.present = present;
        self.generation = generation;
        self.seen = seen;
        self.has_events |= !seen.is_empty();
    }

    pub(super) fn to_flow(&self) -> Flow {
        let mut flow = Flow::new(self.tuples.get(Direction::Original), self.tuples.get(Direction::Reply));
        flow.zone = self.zone();
        flow.id = self.id();
        flow.status = self.status();
        flow.timeout = self.timeout();
        flow.mark = self.mark();
        flow.protocol_info = self.protocol_info();
        flow.counters_original = self.counters_original();
        flow.counters_reply = self.counters_reply();
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

    /// The hashes of the keys of both tuples.
    #[inline]
    pub(super) const fn hashes(&self) -> [u32; 2] {
        self.hashes
    }

    /// Returns a part of each line of the cache that holds the record: reading them brings both lines into the cache.
    #[inline]
    pub(super) const fn parts_of_each_line(&self) -> (u32, u64) {
        (self.id, self.counters[1].bytes)
    }

    /// The key of the tuple of a direction.
    #[cfg(test)]
    pub(super) fn key(&self, direction: Direction) -> Key {
        self.tuples.key(direction, self.zone)
    }

    /// Whether that is the key of the tuple of a direction.
    #[inline]
    pub(super) fn has_key(&self, direction: Direction, key: &Key) -> bool {
        self.tuples.has_key(direction, self.zone, key)
    }

    #[inline]
    pub(super) fn id(&self) -> Option<u32> {
        self.present.unpack(PresentParts::ID, self.id)
    }

    fn zone(&self) -> Option<u16> {
        self.present.unpack(PresentParts::ZONE, self.zone)
    }

    fn status(&self) -> Option<Status> {
        self.present.unpack(PresentParts::STATUS, self.status)
    }

    fn mark(&self) -> Option<u32> {
        self.present.unpack(PresentParts::MARK, self.mark)
    }

    fn timeout(&self) -> Option<u32> {
        self.present.unpack(PresentParts::TIMEOUT, self.timeout)
    }

    fn counters_original(&self) -> Option<Counters> {
        self.present.unpack(PresentParts::COUNTERS_ORIGINAL, self.counters[0])
    }

    fn counters_reply(&self) -> Option<Counters> {
        self.present.unpack(PresentParts::COUNTERS_REPLY, self.counters[1])
    }

    fn times(&self) -> Option<FlowTimes> {
        self.start.map(|start| FlowTimes { start: Some(Timestamp(start.get())), stop: None })
    }

    fn protocol_info(&self) -> Option<ProtocolInfo> {
        match self.tcp.unpack(self.present) {
            Some(info) => Some(ProtocolInfo::Tcp(info)),
            None => self.rest.as_ref()?.protocol_info,
        }
    }

    fn synproxy(&self) -> Option<Synproxy> {
        match self.present.contains(PresentParts::BLANK_SYNPROXY) {
            true => Some(Synproxy::default()),
            false => self.rest.as_ref()?.synproxy,
        }
    }

    fn labels(&self) -> Option<Labels> {
        self.rest.as_ref()?.labels
    }

    /// Whether `flow`, which has the same original tuple and zone, may be this flow.
    ///
    /// Different identifiers prove that it is another flow. Equal identifiers prove nothing: the next flow of a tuple has
    /// the same identifier if the kernel stores it in the same place.
    pub(super) fn may_be(&self, flow: &Flow) -> bool {
        let start = flow.times.and_then(|times| times.start);
        self.has_key(Direction::Reply, &Key::new(&flow.reply, flow.zone))
            && agree(self.id(), flow.id)
            && agree(self.start.map(NonZeroU64::get), start.map(|start| start.0))
    }

    /// Whether some event was about this flow. Then its end will have an event too.
    pub(super) const fn has_events(&self) -> bool {
        self.has_events
    }

    /// The parts that events have carried since that dump began; `None` if nothing has shown the flow since.
    pub(super) fn seen_since(&self, generation: Generation) -> Option<SeenInEvents> {
        (self.generation == generation).then_some(self.seen)
    }
}

impl PackedTcp {
    #[inline]
    fn new(present: &mut PresentParts, info: Option<TcpInfo>) -> Self {
        present.set(PresentParts::TCP, info.is_some());
        let TcpInfo { state, window_scale_original, window_scale_reply, flags_original, flags_reply } =
            info.unwrap_or_default();
        Self {
            state: present.pack(PresentParts::TCP_STATE, state.map(|state| state.0)),
            window_scales: [
                present.pack(PresentParts::WINDOW_SCALE_ORIGINAL, window_scale_original),
                present.pack(PresentParts::WINDOW_SCALE_REPLY, window_scale_reply),
            ],
            flags: [
                present.pack(PresentParts::TCP_FLAGS_ORIGINAL, flags_original),
                present.pack(PresentParts::TCP_FLAGS_REPLY, flags_reply),
            ],
        }
    }

    #[inline]
    fn unpack(self, present: PresentParts) -> Option<TcpInfo> {
        let Self { state, window_scales: [scale_original, scale_reply], flags: [flags_original, flags_reply] } = self;
        present.contains(PresentParts::TCP).then(|| TcpInfo {
            state: present.unpack(PresentParts::TCP_STATE, TcpState(state)),
            window_scale_original: present.unpack(PresentParts::WINDOW_SCALE_ORIGINAL, scale_original),
            window_scale_reply: present.unpack(PresentParts::WINDOW_SCALE_REPLY, scale_reply),
            flags_original: present.unpack(PresentParts::TCP_FLAGS_ORIGINAL, flags_original),
            flags_reply: present.unpack(PresentParts::TCP_FLAGS_REPLY, flags_reply),
        })
    }
}

fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

#[cfg(test)]
mod tests;
