//! The state of a fake kernel: its tables, the queues of its event sockets, and the faults that wait for a request.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::{
    datagram::{Head, netfilter},
    expectation::{ExpectationEntry, ExpectationTable},
    flow::{EncodingContext, EventBits, FlowEntry, RawTuple, Zone},
    release::Release,
    table::{ConntrackTable, Place},
};
use crate::{
    error::Errno,
    events::EventGroups,
    model::{Direction, Status, Timestamp},
    wire::{Flags, MessageType, NetfilterHeader},
};

#[cfg(all(target_os = "linux", feature = "client"))]
use crate::client::new_eventfd;
#[cfg(all(target_os = "linux", feature = "client"))]
use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
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

/// The cost of an event in the receive buffer (measured on x86-64).
const EVENT_COST: usize = 1280;

/// The queue of an event queue.
#[derive(Debug)]
struct Queue {
    groups: EventGroups,
    events: VecDeque<Vec<u8>>,
    capacity: usize,
    signal: ReadySignal,
    /// Events are dropped until the queue is empty.
    is_congested: bool,
    /// The loss has not been reported yet.
    has_overrun: bool,
}

/// The result of a receive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Event(Vec<u8>),
    /// Events were lost. Reported before the events that are still queued.
    Overrun,
    Nothing,
}

/// The queues of all event sockets.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<u64, Queue>,
    last: u64,
}

impl Queues {
    /// Adds a socket with this receive buffer, and returns its number.
    pub(super) fn join(&mut self, groups: EventGroups, capacity: usize, signal: ReadySignal) -> u64 {
        self.last += 1;
        let events = VecDeque::new();
        let queue = Queue { groups, events, capacity, signal, is_congested: false, has_overrun: false };
        self.queues.insert(self.last, queue);
        self.last
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.queues.remove(&number);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Returns true if a socket has joined the group.
    pub(super) fn hears(&self, group: EventGroups) -> bool {
        self.queues.values().any(|queue| queue.groups.intersects(group))
    }

    /// Queues an event for every socket that has joined the group.
    pub(super) fn send(&mut self, group: EventGroups, event: &[u8]) {
        for queue in self.queues.values_mut().filter(|queue| queue.groups.intersects(group)) {
            if queue.is_congested {
                continue;
            }
            // The kernel compares the size of the queue before it adds the event.
            if queue.events.len() * EVENT_COST > queue.capacity {
                queue.overrun();
            } else {
                queue.events.push_back(event.to_vec());
                queue.signal.set();
            }
        }
    }

    /// Makes every socket lose events until its queue is empty.
    pub(super) fn overrun(&mut self) {
        self.queues.values_mut().for_each(Queue::overrun);
    }

    pub(super) fn receive(&mut self, number: u64) -> Next {
        let Some(queue) = self.queues.get_mut(&number) else { return Next::Nothing };
        let next = if core::mem::take(&mut queue.has_overrun) {
            Next::Overrun
        } else {
            queue.events.pop_front().map_or(Next::Nothing, Next::Event)
        };
        if queue.events.is_empty() {
            queue.is_congested = false;
            queue.signal.clear();
        }
        next
    }

    /// Whether an event comes next.
    pub(super) fn has_event(&self, number: u64) -> bool {
        self.queues.get(&number).is_some_and(|queue| !queue.has_overrun && !queue.events.is_empty())
    }

    pub(super) fn is_readable(&self, number: u64) -> bool {
        self.queues.get(&number).is_some_and(|queue| queue.has_overrun || !queue.events.is_empty())
    }

    pub(super) fn capacity(&self, number: u64) -> usize {
        self.queues.get(&number).map_or(0, |queue| queue.capacity)
    }
}

impl Queue {
    fn overrun(&mut self) {
        self.is_congested = true;
        self.has_overrun = true;
        self.signal.set();
    }
}

/// A descriptor that is readable while an event socket has something to receive. A clone is the same descriptor.
///
/// Only Linux programs poll event sockets, so it exists only there.
#[derive(Clone, Debug)]
pub(super) struct ReadySignal {
    #[cfg(all(target_os = "linux", feature = "client"))]
    fd: Arc<nix::sys::eventfd::EventFd>,
}

#[cfg(all(target_os = "linux", feature = "client"))]
impl ReadySignal {
    /// Creates the descriptor. Panics if the process has too many open files.
    pub(super) fn new() -> Self {
        #[allow(clippy::expect_used, reason = "documented; a test without descriptors cannot go on")]
        let fd = new_eventfd().expect("a descriptor for the event socket");
        Self { fd: Arc::new(fd) }
    }

    pub(super) fn set(&self) {
        // It fails only if the descriptor is readable already.
        let _ = self.fd.write(1);
    }

    pub(super) fn clear(&self) {
        // It fails only if the descriptor is not readable.
        let _ = self.fd.read();
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(not(all(target_os = "linux", feature = "client")))]
impl ReadySignal {
    pub(super) const fn new() -> Self {
        Self {}
    }

    #[allow(clippy::unused_self, reason = "it signals on Linux")]
    pub(super) const fn set(&self) {}

    #[allow(clippy::unused_self, reason = "it signals on Linux")]
    pub(super) const fn clear(&self) {}
}

/// A fault of one request: see [`FakeKernel::inject`](super::FakeKernel::inject).
///
/// # Example
///
/// ```
/// use ctnetlink::{Errno, NewFlow, fake::{FakeKernel, Fault}};
///
/// let kernel = FakeKernel::new();
/// // The second operation of the batch fails.
/// kernel.inject_after(1, Fault::Refuse(Errno::EBUSY));
///
/// let mut client = kernel.client();
/// let mut batch = client.batch();
/// for port in 40_000..40_003 {
///     batch.push(&NewFlow::udp(([192, 0, 2, 1], port).into(), "192.0.2.2:53".parse()?))?;
/// }
/// let report = batch.finish()?;
/// assert_eq!((report.succeeded(), report.failures().len()), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is refused with this error number and changes nothing: `EBUSY`, `ENOMEM`, `EPERM` …
    Refuse(Errno),
    /// The request is executed, but its answer does not fit the receive buffer and is lost. The client's call fails with
    /// [`ErrorKind::Overrun`](crate::ErrorKind::Overrun).
    LoseReply,
    /// The request is executed, but no answer arrives. The client's call fails with
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) at once, without waiting. In a batch, the operations after it in
    /// the same datagram get no answers either.
    NoReply,
    /// The datagram is not sent: the system call fails with this error number.
    SendFails(Errno),
    /// The dump sends each of its datagrams twice. The kernel repeats the entries of a hash bucket if the flow at which it
    /// paused ends before it continues.
    RepeatEntries,
    /// The dump ends after this many entries with this error number.
    EndDump {
        /// The number of entries that arrive.
        after: usize,
        /// The error number in the message that ends the dump.
        errno: Errno,
    },
}

/// The faults that have not occurred yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Each fault with the number of requests before it.
    waiting: Vec<(usize, Fault)>,
}

impl Faults {
    pub(super) fn inject_after(&mut self, requests: usize, fault: Fault) {
        self.waiting.push((requests, fault));
    }

    /// Removes and returns the faults of the next request.
    pub(super) fn next_request(&mut self) -> Vec<Fault> {
        let mut due = Vec::new();
        self.waiting.retain_mut(|(requests, fault)| match requests.checked_sub(1) {
            // Occurs when the next datagram is sent.
            None if matches!(fault, Fault::SendFails(_)) => true,
            None => {
                due.push(*fault);
                false
            }
            Some(left) => {
                *requests = left;
                true
            }
        });
        due
    }

    /// Removes and returns the error number with which sending fails, if any.
    pub(super) fn next_send_failure(&mut self) -> Option<Errno> {
        let found =
            self.waiting.iter().position(|(requests, fault)| *requests == 0 && matches!(fault, Fault::SendFails(_)))?;
        match self.waiting.remove(found) {
            (_, Fault::SendFails(errno)) => Some(errno),
            _ => None,
        }
    }
}
