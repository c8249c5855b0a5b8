//! Creation and change of flows, by requests and by packets that pass the tracker.
//!
//! Follows `ctnetlink_create_conntrack` and `ctnetlink_change_conntrack` in `net/netfilter/nf_conntrack_netlink.c`, and
//! the trackers in `net/netfilter/nf_conntrack_proto_*.c` for the course of a healthy flow.

use core::time::Duration;

use super::{
    flow::{EventBits, FlowEntry, Master, RawTuple, Tcp, Zone},
    release::{KnownHelper, Release},
    state::Kernel,
    table::{Place, set_up_translation},
};
use crate::{
    error::Errno,
    model::{
        Counters, Direction, MaskedLabels, MaskedMark, Protocol, ProtocolInfo, SctpInfo, SequenceAdjustment, Status,
        Synproxy, TcpState, Tuple,
    },
    request::{FlowUpdate, NewFlow},
};

/// The longest timeout: `INT_MAX` ticks, of which a second has 250 on most machines.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64 / 250);

/// The attributes that a create or an update sets.
#[derive(Debug)]
struct RequestedChange<'a> {
    helper: Option<&'a str>,
    timeout: Option<u32>,
    status: Option<Status>,
    protocol_info: Option<&'a ProtocolInfo>,
    mark: Option<MaskedMark>,
    sequence_adjustments: [Option<SequenceAdjustment>; 2],
    synproxy: Option<Synproxy>,
    labels: Option<MaskedLabels>,
    /// The request has a translation or a master, which only a new flow accepts.
    only_for_creation: bool,
}

impl<'a> From<&'a FlowUpdate> for RequestedChange<'a> {
    fn from(update: &'a FlowUpdate) -> Self {
        Self {
            helper: update.helper.as_ref().map(|helper| &*helper.name),
            timeout: update.timeout,
            status: update.status,
            protocol_info: update.protocol_info.as_ref(),
            mark: update.mark,
            sequence_adjustments: [update.sequence_adjustment_original, update.sequence_adjustment_reply],
            synproxy: update.synproxy,
            labels: update.labels,
            only_for_creation: false,
        }
    }
}

impl<'a> From<&'a NewFlow> for RequestedChange<'a> {
    fn from(flow: &'a NewFlow) -> Self {
        let labels = flow.labels.map(|labels| MaskedLabels { labels, mask: crate::model::Labels::ALL });
        Self {
            helper: flow.helper.as_ref().map(|helper| &*helper.name),
            timeout: Some(flow.timeout),
            // The encoder adds `CONFIRMED`, and decoding removed it.
            status: Some(flow.status | Status::CONFIRMED).filter(|_| !flow.status.is_empty()),
            protocol_info: flow.protocol_info.as_ref(),
            mark: flow.mark.map(MaskedMark::exactly),
            sequence_adjustments: [flow.sequence_adjustment_original, flow.sequence_adjustment_reply],
            synproxy: flow.synproxy,
            labels,
            only_for_creation: flow.snat.is_some() || flow.dnat.is_some() || flow.master.is_some(),
        }
    }
}

impl Kernel {
    /// Creates a flow, or changes it if it exists and the request allows that.
    pub(super) fn create(&mut self, request: &NewFlow, port: u32) -> Result<(), Errno> {
        let release = self.settings.release;
        let zone = Zone::of_both(request.zone);
        let original = RawTuple::of(&request.original, release)?;
        let zone = zone.with_tuple(Direction::Original, request.original.zone)?;
        let reply = RawTuple::of(&request.reply, release)?;
        let zone = zone.with_tuple(Direction::Reply, request.reply.zone)?;
        match self.find(&original, zone) {
            Some(_) if !request.or_update => Err(Errno::EEXIST),
            Some(place) => self.change(place, &request.into(), port),
            None => {
                let place = self.insert([original, reply], zone, request)?;
                let begins = if request.master.is_some() { EventBits::RELATED } else { EventBits::NEW };
                let labels = if self.set_labels(place, request.labels) { EventBits::LABEL } else { begins };
                self.tell_of(place, EventBits::REQUESTED.and(begins).and(labels), port);
                Ok(())
            }
        }
    }

    /// Changes a flow that exists.
    pub(super) fn update(
        &mut self,
        tuple: &Tuple,
        direction: Direction,
        zone: Option<u16>,
        update: &FlowUpdate,
        port: u32,
    ) -> Result<(), Errno> {
        let place = self.find_key(tuple, direction, zone)?.ok_or(Errno::ENOENT)?;
        self.change(place, &update.into(), port)
    }

    /// Finds the flow of a key.
    pub(super) fn find_key(
        &mut self,
        tuple: &Tuple,
        direction: Direction,
        zone: Option<u16>,
    ) -> Result<Option<Place>, Errno> {
        let raw = RawTuple::of(tuple, self.settings.release)?;
        let zone = Zone::of_both(zone).with_tuple(direction, tuple.zone)?;
        Ok(self.find(&raw, zone))
    }

    /// Builds a flow and adds it to the table.
    fn insert(&mut self, [original, reply]: [RawTuple; 2], zone: Zone, request: &NewFlow) -> Result<Place, Errno> {
        if self.flows.len() >= self.settings.max {
            self.counts.drop = self.counts.drop.wrapping_add(1);
            return Err(Errno::ENOMEM);
        }
        let release = self.settings.release;
        let mut entry = self.blank([original, reply], zone);
        if let Some(helper) = &request.helper {
            let found = KnownHelper::find(&helper.name, entry.family(), original.protocol);
            entry.helper = Some(Some(found.ok_or(Errno::EOPNOTSUPP)?));
            if release >= Release::FIXED_TIMEOUT {
                entry.status |= Status::HELPER;
            }
        }
        set_up_translation(&mut entry, request.dnat.as_ref(), request.snat.as_ref(), &self.flows);
        entry.status |= Status::CONFIRMED;
        let attributes = RequestedChange::from(request);
        entry.expires = self.deadline(request.timeout);
        if let Some(status) = attributes.status {
            entry.set_status(status)?;
        }
        entry.synproxy = Some(request.synproxy.unwrap_or_default());
        entry.set_sequence_adjustments(attributes.sequence_adjustments);
        if let Some(info) = attributes.protocol_info {
            entry.set_protocol_info(info, release)?;
        }
        entry.mark = request.mark.unwrap_or(0);
        if let Some(master) = &request.master {
            let tuple = RawTuple::of_family(master, entry.family(), release)?;
            let place = self.find(&tuple, zone).ok_or(Errno::ENOENT)?;
            let master = self.flows.get(place).ok_or(Errno::ENOENT)?;
            entry.master = Some(Master { tuple: master.original, slot: master.slot });
            entry.status |= Status::EXPECTED;
        }
        let added = self.add(entry);
        // The kernel counts neither failures nor the flows that packets begin.
        self.counts.insert = self.counts.insert.wrapping_add(added.is_ok().into());
        added
    }

    /// A flow with nothing but its tuples.
    pub(super) fn blank(&self, [original, reply]: [RawTuple; 2], zone: Zone) -> FlowEntry {
        let Self { settings, .. } = self;
        FlowEntry {
            original,
            reply,
            zone,
            status: Status::empty(),
            mark: 0,
            expires: self.now,
            began: Duration::ZERO,
            tcp: Tcp::default(),
            sctp: SctpInfo::default(),
            helper: None,
            labels: settings.labels.then_some(0),
            counters: settings.accounting.then_some([Counters::default(); 2]),
            start: settings.timestamps.then(|| self.time()),
            stop: None,
            has_events: self.begins_with_events(),
            sequence_adjustments: [SequenceAdjustment::default(); 2],
            synproxy: None,
            master: None,
            id: 0,
            slot: 0,
        }
    }

    /// Adds a flow to the table, unless one of its tuples is taken.
    pub(super) fn add(&mut self, entry: FlowEntry) -> Result<Place, Errno> {
        let is_taken = self.flows.clashes(&entry.original, entry.zone, Direction::Original)
            || self.flows.clashes(&entry.reply, entry.zone, Direction::Reply);
        if is_taken { Err(Errno::EEXIST) } else { Ok(self.flows.insert(entry)) }
    }

    pub(super) fn deadline(&self, seconds: u32) -> Duration {
        self.now.saturating_add(Duration::from_secs(seconds.into()).min(LONGEST))
    }

    /// Applies the changes in the kernel's order. An error does not undo the changes before it.
    fn change(&mut self, place: Place, change: &RequestedChange<'_>, port: u32) -> Result<(), Errno> {
        if change.only_for_creation {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(name) = change.helper {
            self.change_helper(place, name)?;
        }
        let release = self.settings.release;
        let expires = change.timeout.map(|seconds| self.deadline(seconds));
        let entry = self.flows.get_mut(place).ok_or(Errno::ENOENT)?;
        if let Some(expires) = expires {
            if entry.status.contains(Status::FIXED_TIMEOUT) && release >= Release::FIXED_TIMEOUT {
                return Err(Errno::EPERM);
            }
            entry.expires = expires;
        }
        if let Some(status) = change.status {
            entry.set_status(status)?;
        }
        if let Some(info) = change.protocol_info {
            entry.set_protocol_info(info, release)?;
        }
        if let Some(MaskedMark { mark, mask }) = change.mark {
            entry.mark = entry.mark & !mask ^ mark;
        }
        entry.set_sequence_adjustments(change.sequence_adjustments);
        if let (Some(current), Some(synproxy)) = (&mut entry.synproxy, change.synproxy) {
            *current = synproxy;
        }
        if let Some(MaskedLabels { labels, mask }) = change.labels {
            let current = entry.labels.as_mut().ok_or(Errno::ENOSPC)?;
            *current = *current & !mask.0 ^ labels.0;
        }
        self.tell_of(place, EventBits::REQUESTED.and(EventBits::LABEL), port);
        Ok(())
    }

    /// Removes the helper or confirms the current one. The kernel refuses every other change.
    fn change_helper(&mut self, place: Place, name: &str) -> Result<(), Errno> {
        let entry = self.flows.get_mut(place).ok_or(Errno::ENOENT)?;
        let current = entry.helper;
        if entry.master.is_some() {
            let is_same = current.flatten().is_some_and(|helper| helper.name == name);
            return if is_same { Ok(()) } else { Err(Errno::EBUSY) };
        }
        if name.is_empty() {
            let slot = entry.slot;
            if let Some(helper) = &mut entry.helper {
                *helper = None;
                for serial in self.expectations.select(|expectation| expectation.master == slot) {
                    self.end_expectation(serial, 0);
                }
            }
            return Ok(());
        }
        let found = KnownHelper::find(name, entry.family(), entry.original.protocol).ok_or(Errno::EOPNOTSUPP)?;
        match current {
            Some(Some(helper)) if core::ptr::eq(helper, found) => Ok(()),
            Some(_) => Err(Errno::EBUSY),
            None => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Sets the labels of a new flow. Like the kernel, it ignores them without an error if there is no room.
    fn set_labels(&mut self, place: Place, labels: Option<crate::model::Labels>) -> bool {
        let current = self.flows.get_mut(place).and_then(|entry| entry.labels.as_mut());
        match (current, labels) {
            (Some(current), Some(labels)) => {
                *current = labels.0;
                true
            }
            _ => false,
        }
    }
}

impl FlowEntry {
    /// The bits that only the kernel sets.
    const UNCHANGEABLE: Status =
        Status::SEEN_REPLY.union(Status::ASSURED).union(Status::FIXED_TIMEOUT).union(Status::HELPER).complement();

    fn set_status(&mut self, status: Status) -> Result<(), Errno> {
        let fixed = Status::EXPECTED | Status::CONFIRMED | Status::DYING;
        let cleared = self.status - status;
        if (self.status ^ status).intersects(fixed) || cleared.intersects(Status::SEEN_REPLY | Status::ASSURED) {
            return Err(Errno::EBUSY);
        }
        self.status |= status - Self::UNCHANGEABLE;
        Ok(())
    }

    fn set_sequence_adjustments(&mut self, adjustments: [Option<SequenceAdjustment>; 2]) {
        // Room for them is made together with that for the SYN proxy.
        if self.synproxy.is_none() {
            return;
        }
        for (current, adjustment) in self.sequence_adjustments.iter_mut().zip(adjustments) {
            if let Some(adjustment) = adjustment {
                *current = adjustment;
                self.status |= Status::SEQ_ADJUST;
            }
        }
    }
}

/// A UDP flow with replies becomes a stream at this age.
const STREAM: Duration = Duration::from_secs(2);

/// The kernel's default timeouts, in seconds.
mod timeout {
    pub(super) const ICMP: u32 = 30;
    pub(super) const GENERIC: u32 = 600;
    pub(super) const UDP: u32 = 30;
    pub(super) const UDP_STREAM: u32 = 120;
    pub(super) const GRE: u32 = 30;
    pub(super) const GRE_STREAM: u32 = 180;
    pub(super) const SYN_SENT: u32 = 120;
    pub(super) const SYN_RECV: u32 = 60;
    pub(super) const ESTABLISHED: u32 = 432_000;
}

impl Kernel {
    /// Adds a packet to its flow, or begins a flow.
    pub(super) fn track(&mut self, tuple: &Tuple, bytes: u64) -> Result<(), Errno> {
        let packet = RawTuple::of(tuple, self.settings.release)?;
        let zone = Zone::of_both(tuple.zone);
        let place = match self.find(&packet, zone) {
            Some(place) => place,
            None => self.begin(packet, zone)?,
        };
        let Some(entry) = self.flows.get(place) else { return Ok(()) };
        let is_of =
            |direction| *entry.tuple(direction) == packet && entry.zone.id_in(direction) == zone.id_in(direction);
        let direction = if is_of(Direction::Original) { Direction::Original } else { Direction::Reply };
        let is_new = !entry.status.contains(Status::CONFIRMED);
        let (now, elapsed) = (self.now, self.now.saturating_sub(entry.began));
        let Some(entry) = self.flows.get_mut(place) else { return Ok(()) };
        entry.count(direction, bytes);
        let (bits, seconds) = entry.take_packet(direction, elapsed);
        if !entry.status.contains(Status::FIXED_TIMEOUT) {
            entry.expires = now.saturating_add(Duration::from_secs(seconds.into()));
        }
        entry.status |= Status::CONFIRMED;
        let begins = match (is_new, entry.master) {
            (false, _) => EventBits(0),
            (true, None) => EventBits::NEW,
            (true, Some(_)) => EventBits::RELATED,
        };
        let bits = bits.and(begins);
        if bits != EventBits(0) {
            self.tell_of(place, bits, 0);
        }
        Ok(())
    }

    /// Adds the flow that a packet begins. An expected flow gets its master, and the expectation ends.
    fn begin(&mut self, packet: RawTuple, zone: Zone) -> Result<Place, Errno> {
        if self.flows.len() >= self.settings.max {
            self.counts.drop = self.counts.drop.wrapping_add(1);
            return Err(Errno::ENOMEM);
        }
        let mut entry = self.blank([packet, packet.inverted()], zone);
        entry.began = self.now;
        // The caller sets it.
        entry.expires = Duration::MAX;
        let expected = self.expectations.find(zone.id, &packet);
        let expectation = expected.and_then(|serial| Some((serial, self.expectations.get(serial)?)));
        if let Some((serial, expectation)) = expectation.filter(|(_, expectation)| !expectation.is_inactive()) {
            let (slot, is_permanent) = (expectation.master, expectation.is_permanent());
            if let Some((_, master)) = self.flows.iter().find(|(_, master)| master.slot == slot) {
                entry.master = Some(Master { tuple: master.original, slot });
                entry.mark = master.mark;
                entry.status |= Status::EXPECTED;
            }
            self.counts.expect_new = self.counts.expect_new.wrapping_add(1);
            if !is_permanent {
                self.end_expectation(serial, 0);
            }
        }
        self.add(entry)
    }
}

impl FlowEntry {
    fn count(&mut self, direction: Direction, bytes: u64) {
        let Some([original, reply]) = &mut self.counters else { return };
        let counters = match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        counters.packets = counters.packets.saturating_add(1);
        counters.bytes = counters.bytes.saturating_add(bytes);
    }

    /// Advances the state as if the packet was the expected next one. Returns the changes and the new timeout in seconds.
    fn take_packet(&mut self, direction: Direction, elapsed: Duration) -> (EventBits, u32) {
        let mut bits = EventBits(0);
        let had_reply = self.status.contains(Status::SEEN_REPLY);
        if direction == Direction::Reply && !had_reply {
            self.status |= Status::SEEN_REPLY;
            bits = bits.and(EventBits::REPLY);
        }
        let has_reply = self.status.contains(Status::SEEN_REPLY);
        let (seconds, is_assured) = match self.original.protocol {
            Protocol::ICMP | Protocol::ICMPV6 => (timeout::ICMP, false),
            Protocol::UDP if had_reply && elapsed > STREAM => (timeout::UDP_STREAM, true),
            Protocol::UDP => (timeout::UDP, false),
            Protocol::GRE if has_reply => (timeout::GRE_STREAM, true),
            Protocol::GRE => (timeout::GRE, false),
            Protocol::TCP => {
                let before = self.tcp.state;
                let (state, seconds) = next_tcp_state(TcpState(before), direction);
                self.tcp.state = state.0;
                if state.0 != before {
                    bits = bits.and(EventBits::PROTOCOL_INFO);
                }
                (seconds, state == TcpState::ESTABLISHED)
            }
            _ => (timeout::GENERIC, false),
        };
        if is_assured && !self.status.contains(Status::ASSURED) {
            self.status |= Status::ASSURED;
            bits = bits.and(EventBits::ASSURED);
        }
        (bits, seconds)
    }
}

/// The state and the timeout after the next packet of a handshake. Later packets change nothing.
fn next_tcp_state(state: TcpState, direction: Direction) -> (TcpState, u32) {
    match (state, direction) {
        (TcpState::NONE | TcpState::SYN_SENT, Direction::Original) => (TcpState::SYN_SENT, timeout::SYN_SENT),
        (TcpState::NONE | TcpState::SYN_SENT | TcpState::SYN_RECV, Direction::Reply) => {
            (TcpState::SYN_RECV, timeout::SYN_RECV)
        }
        (TcpState::SYN_RECV | TcpState::ESTABLISHED, _) => (TcpState::ESTABLISHED, timeout::ESTABLISHED),
        (other, _) => (other, timeout::SYN_SENT),
    }
}
