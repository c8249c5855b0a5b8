//! Packets that pass the tracker.
//!
//! Follows the trackers in `net/netfilter/nf_conntrack_proto_*.c` for the course of a healthy flow.

use core::time::Duration;

use super::{
    flow::{EventBits, FlowEntry, Master},
    kernel::Kernel,
    table::Place,
    tuple::{RawTuple, Zone},
};
use crate::{
    error::Errno,
    model::{Direction, Protocol, Status, TcpState, Tuple},
};

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
