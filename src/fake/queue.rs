//! The queues of event sockets.

use std::collections::{BTreeMap, VecDeque};

use crate::events::EventGroups;

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

// A descriptor that is readable while an event socket has something to receive.
//
// Only Linux programs poll event sockets, so it exists only there.

#[cfg(all(target_os = "linux", feature = "client"))]
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

#[cfg(all(target_os = "linux", feature = "client"))]
use crate::client::new_eventfd;

/// A clone is the same descriptor.
#[derive(Clone, Debug)]
pub(super) struct ReadySignal {
    #[cfg(all(target_os = "linux", feature = "client"))]
    fd: Arc<OwnedFd>,
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
        let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    pub(super) fn clear(&self) {
        // It fails only if the descriptor is not readable.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
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
