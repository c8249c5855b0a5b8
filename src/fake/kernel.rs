//! The state of a fake kernel.

use core::time::Duration;

use super::{
    datagram::{Head, netfilter},
    expectation::{ExpectationEntry, ExpectationTable},
    fault::Faults,
    flow::{EncodingContext, EventBits, FlowEntry},
    queue::Queues,
    release::Release,
    table::{ConntrackTable, Place},
    tuple::{RawTuple, Zone},
};
use crate::{
    events::EventGroups,
    model::{Direction, Status, Timestamp},
    wire::{Flags, MessageType, NetfilterHeader},
};

/// The configuration of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelSettings {
    pub(super) release: Release,
    /// `net.netfilter.nf_conntrack_acct`
    pub(super) accounting: bool,
    /// `net.netfilter.nf_conntrack_timestamp`
    pub(super) timestamps: bool,
    /// `net.netfilter.nf_conntrack_events`: 0 never, 1 always, 2 for flows that begin while somebody listens.
    pub(super) events: u8,
    /// Whether new flows have room for labels.
    pub(super) labels: bool,
    /// `net.netfilter.nf_conntrack_max`
    pub(super) max: usize,
    /// `net.netfilter.nf_conntrack_expect_max`
    pub(super) expect_max: usize,
    pub(super) processors: u16,
    /// The limit of entries in each datagram of a dump.
    pub(super) entries_per_datagram: usize,
    /// The receive buffer of a client's socket.
    pub(super) receive_buffer: usize,
    /// The time when the kernel started.
    pub(super) started: Timestamp,
}

/// The statistics of the first processor. Those of the others are zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) insert: u32,
    pub(super) drop: u32,
    pub(super) expect_new: u32,
    pub(super) expect_create: u32,
    pub(super) expect_delete: u32,
}

/// The state of a fake kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) settings: KernelSettings,
    /// The time since the start. It changes only if a test advances it.
    pub(super) now: Duration,
    pub(super) flows: ConntrackTable,
    pub(super) expectations: ExpectationTable,
    pub(super) queues: Queues,
    pub(super) counts: Counts,
    pub(super) faults: Faults,
    pub(super) is_privileged: bool,
    last_port: u32,
}

/// The highest port that is not used for sockets.
const FIRST_PORT: u32 = 1000;

impl Kernel {
    pub(super) fn new(settings: KernelSettings) -> Self {
        Self {
            settings,
            now: Duration::ZERO,
            flows: ConntrackTable::default(),
            expectations: ExpectationTable::default(),
            queues: Queues::default(),
            counts: Counts::default(),
            faults: Faults::default(),
            is_privileged: true,
            last_port: FIRST_PORT,
        }
    }

    /// Returns a port for a new socket.
    pub(super) fn next_port(&mut self) -> u32 {
        self.last_port += 1;
        self.last_port
    }

    pub(super) fn time(&self) -> Timestamp {
        let elapsed = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        Timestamp(self.settings.started.0.saturating_add(elapsed))
    }

    pub(super) fn present(&self) -> EncodingContext {
        EncodingContext {
            release: self.settings.release,
            now: self.now,
            time: self.time(),
            timestamps: self.settings.timestamps,
        }
    }

    /// Returns true if a flow that begins now will send events.
    pub(super) fn begins_with_events(&self) -> bool {
        match self.settings.events {
            0 => false,
            2 => !self.queues.is_empty(),
            _ => true,
        }
    }

    /// Finds a flow by either of its tuples. Ends the expired flows that it finds.
    pub(super) fn find(&mut self, tuple: &RawTuple, zone: Zone) -> Option<Place> {
        let mut expired = Vec::new();
        let mut found = None;
        // The kernel searches the bucket of the zone in the original direction first, then that of the reply direction.
        for bucket in [Direction::Original, Direction::Reply] {
            for (place, direction, entry) in self.flows.with_tuple(tuple) {
                let number = entry.zone.id_in(direction);
                if number != zone.id_in(bucket) {
                    continue;
                }
                if entry.is_expired(self.now) {
                    expired.push(place);
                } else if number == zone.id_in(direction) {
                    found = found.or(Some(place));
                    break;
                }
            }
        }
        for place in expired {
            self.end(place, 0);
        }
        found
    }

    /// Ends a flow and its expectations. `port` is that of the requesting process, or 0.
    pub(super) fn end(&mut self, place: Place, port: u32) {
        let Some(mut entry) = self.flows.remove(place) else { return };
        entry.status |= Status::DYING;
        if entry.start.is_some() {
            // The kernel subtracts the delay since the expiry.
            let late = self.now.saturating_sub(entry.expires);
            let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            entry.stop = Some(Timestamp(self.time().0.saturating_sub(late)));
        }
        self.tell(&entry, EventBits::DESTROY, port);
        for serial in self.expectations.select(|expectation| expectation.master == entry.slot) {
            self.end_expectation(serial, 0);
        }
    }

    /// Ends every flow and expectation that has expired.
    pub(super) fn collect_garbage(&mut self) {
        let mut expired: Vec<(Duration, Place)> = self
            .flows
            .iter()
            .filter(|(_, entry)| entry.is_expired(self.now))
            .map(|(place, entry)| (entry.expires, place))
            .collect();
        expired.sort_unstable();
        for (_, place) in expired {
            self.end(place, 0);
        }
        for serial in self.expectations.select(|expectation| expectation.is_expired(self.now)) {
            self.end_expectation(serial, 0);
        }
    }

    /// Sends an event of a flow, unless the flow sends none.
    pub(super) fn tell(&mut self, entry: &FlowEntry, bits: EventBits, port: u32) {
        let (message_type, group, flags) = if bits.has(EventBits::DESTROY) {
            (MessageType::FLOW_DELETE, EventGroups::DESTROY, Flags::empty())
        } else if bits.has(EventBits::NEW.and(EventBits::RELATED)) {
            (MessageType::FLOW_NEW, EventGroups::NEW, Flags::CREATE | Flags::EXCLUSIVE)
        } else {
            (MessageType::FLOW_NEW, EventGroups::UPDATE, Flags::empty())
        };
        if !entry.has_events || !self.queues.hears(group) {
            return;
        }
        let head = Head { message_type, flags, sequence: 0, port };
        let present = self.present();
        let event = netfilter(head, NetfilterHeader::new(entry.family()), |attributes| {
            entry.encode_event(bits, &present, attributes);
        });
        self.queues.send(group, &event);
    }

    /// Sends an event of a flow in the table.
    pub(super) fn tell_of(&mut self, place: Place, bits: EventBits, port: u32) {
        if let Some(entry) = self.flows.get(place).cloned() {
            self.tell(&entry, bits, port);
        }
    }

    /// Ends an expectation.
    pub(super) fn end_expectation(&mut self, serial: u64, port: u32) {
        let Some(entry) = self.expectations.remove(serial) else { return };
        self.counts.expect_delete = self.counts.expect_delete.wrapping_add(1);
        self.tell_expectation(&entry, true, port);
    }

    /// Sends an event of an expectation.
    pub(super) fn tell_expectation(&mut self, entry: &ExpectationEntry, has_ended: bool, port: u32) {
        let (message_type, group, flags) = if has_ended {
            (MessageType::EXPECTATION_DELETE, EventGroups::EXPECTATION_DESTROY, Flags::empty())
        } else {
            (MessageType::EXPECTATION_NEW, EventGroups::EXPECTATION_NEW, Flags::CREATE | Flags::EXCLUSIVE)
        };
        if !entry.has_events || !self.queues.hears(group) {
            return;
        }
        let head = Head { message_type, flags, sequence: 0, port };
        let present = self.present();
        let event = netfilter(head, NetfilterHeader::new(entry.family()), |attributes| {
            entry.encode(&present, attributes);
        });
        self.queues.send(group, &event);
    }
}
