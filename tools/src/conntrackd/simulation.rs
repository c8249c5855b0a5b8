//! Two nodes over a link that loses, repeats and reorders datagrams.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "for tests and fuzzing only")]

use std::{
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use ctnetlink::{Expectation, Flow, Tuple};

use super::{
    convert::Key,
    expectation::{ExpectationKey, Subject},
    node::{Node, Settings, Table},
    record::{ExpectationRecord, FlowRecord},
    wire::Kind,
};

/// UDP flows with their marks, and expectations with their classes.
#[derive(Debug, Default)]
pub(super) struct Own {
    flows: BTreeMap<Key, u32>,
    expectations: BTreeMap<ExpectationKey, u32>,
}

impl Own {
    fn len(&self) -> usize {
        self.flows.len() + self.expectations.len()
    }
}

impl Table for Own {
    fn flow(&self, key: &Key) -> Option<FlowRecord> {
        let mut flow = Flow::new(key.tuple, key.tuple.inverted()?);
        flow.mark = Some(*self.flows.get(key)?);
        FlowRecord::new(&flow)
    }

    fn expectation(&self, key: &ExpectationKey) -> Option<ExpectationRecord> {
        let mut expectation = Expectation::new(key.master, key.expected, key.mask);
        expectation.class = Some(*self.expectations.get(key)?);
        ExpectationRecord::new(&expectation)
    }

    fn for_each(&self, take: &mut dyn FnMut(Subject)) {
        let flows = self.flows.keys().copied().map(Subject::from);
        flows.chain(self.expectations.keys().copied().map(Subject::from)).for_each(take);
    }
}

/// A gateway: its flows and expectations, and its end of the link.
#[derive(Debug)]
pub(super) struct End {
    pub(super) own: Own,
    pub(super) node: Node,
}

/// Changes an entry of a table, or removes it.
fn change<K: Ord>(table: &mut BTreeMap<K, u32>, key: K, value: Option<u32>) -> Option<Kind> {
    match value {
        None => table.remove(&key).map(|_| Kind::Delete),
        Some(value) => Some(table.insert(key, value).map_or(Kind::New, |_| Kind::Update)),
    }
}

impl End {
    pub(super) fn new(settings: Settings) -> Self {
        Self { own: Own::default(), node: Node::new(settings) }
    }

    /// Lets a flow begin, change or end.
    pub(super) fn change(&mut self, flow: u16, mark: Option<u32>) {
        let tuple = Tuple::udp(([10, 0, 0, 1], flow).into(), ([10, 0, 0, 2], 53).into());
        let key = Key { tuple, zone: 0 };
        if let Some(kind) = change(&mut self.own.flows, key, mark) {
            self.node.note(kind, key);
        }
    }

    /// Lets an expectation begin, change or end.
    pub(super) fn change_expectation(&mut self, port: u16, class: Option<u32>) {
        let tcp = |source: u16, destination: u16| {
            Tuple::tcp(([10, 0, 0, 1], source).into(), ([10, 0, 0, 2], destination).into())
        };
        let mask = Tuple::tcp(([255; 4], 0).into(), ([255; 4], u16::MAX).into());
        let key = ExpectationKey { master: tcp(1000 + port / 4, 21), expected: tcp(0, port), mask };
        if let Some(kind) = change(&mut self.own.expectations, key, class) {
            self.node.note(kind, key);
        }
    }

    /// Lets flows and expectations end while the daemon is away.
    #[cfg(test)]
    fn forget(&mut self, flows: std::ops::Range<u16>) {
        self.own.flows.retain(|key, _| key.tuple.source_port().is_none_or(|port| !flows.contains(&port)));
        self.own
            .expectations
            .retain(|key, _| key.expected.destination_port().is_none_or(|port| !flows.contains(&port)));
    }

    pub(super) fn has_the_table_of(&self, peer: &Self) -> bool {
        let external = self.node.external();
        let flows: BTreeMap<Key, u32> =
            external.flows().iter().map(|(key, record, _)| (*key, record.mark.unwrap_or(0))).collect();
        let expectations: BTreeMap<ExpectationKey, u32> =
            external.expectations().iter().map(|(key, record, _)| (*key, record.class.unwrap_or(0))).collect();
        flows == peer.own.flows && expectations == peer.own.expectations
    }

    #[cfg(test)]
    fn external_len(&self) -> usize {
        self.node.external().flows().len() + self.node.external().expectations().len()
    }
}

/// Pseudo-random numbers (SplitMix64): a failure can be repeated by its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % end
    }

    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The percentage of datagrams that the link loses, repeats and delays.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) loss: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
}

/// Both ends and the datagrams between them, the next to arrive first.
pub(super) struct World {
    pub(super) ends: [End; 2],
    pub(super) now: Duration,
    pub(super) faults: Faults,
    pub(super) random: Random,
    /// Time of arrival (negative, because the heap yields the greatest first), order of sending, receiver, and bytes.
    link: BinaryHeap<(i64, i64, usize, Vec<u8>)>,
    datagrams: i64,
}

const STEP: Duration = Duration::from_millis(1);

impl World {
    pub(super) fn new(settings: impl Fn(u32) -> Settings, faults: Faults, seed: u64) -> Self {
        let ends = [End::new(settings(1_795_716_160)), End::new(settings(u32::MAX - 1000))];
        let now = Duration::from_secs(1);
        Self { ends, now, faults, random: Random(seed), link: BinaryHeap::new(), datagrams: 0 }
    }

    /// Replaces the daemon of one end. Its flows stay.
    #[cfg(test)]
    pub(super) fn restart(&mut self, end: usize, settings: Settings) {
        self.ends[end].node = Node::new(settings);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            if self.link.is_empty() {
                let deadline = |end: &End| end.node.next_deadline(self.now);
                let next = self.ends.iter().map(deadline).fold(until, Duration::min);
                self.now = self.now.max(next.saturating_sub(STEP));
            }
            self.step();
        }
    }

    pub(super) fn step(&mut self) {
        self.now += STEP;
        for end in 0..2 {
            let mut datagram = Vec::new();
            let mut most = 64;
            while most > 0 && self.ends[end].node.next_deadline(self.now) <= self.now {
                let End { own, node } = &mut self.ends[end];
                if !node.transmit(self.now, own, &mut datagram) {
                    break;
                }
                self.send(1 - end, &datagram);
                most -= 1;
            }
        }
        while let Some((at, ..)) = self.link.peek()
            && -at <= self.now.as_micros() as i64
            && let Some((_, _, receiver, datagram)) = self.link.pop()
        {
            self.ends[receiver].node.receive(&datagram, self.now);
        }
    }

    fn send(&mut self, receiver: usize, datagram: &[u8]) {
        let copies = 1 + i64::from(self.random.happens(self.faults.duplicates));
        for _ in 0..copies {
            if self.random.happens(self.faults.loss) {
                continue;
            }
            let delay = if self.random.happens(self.faults.reordered) { 3000 } else { 200 };
            let at = self.now.as_micros() as i64 + delay;
            self.datagrams += 1;
            self.link.push((-at, -self.datagrams, receiver, datagram.to_vec()));
        }
    }

    /// Lets flows and expectations begin, change and end on both sides.
    #[cfg(test)]
    pub(super) fn traffic(&mut self, steps: u32) {
        for _ in 0..steps {
            for end in 0..2 {
                for number in 0..4 {
                    let place = self.random.below(2000) as u16;
                    let value = (!self.random.happens(40)).then(|| self.random.below(1 << 32) as u32);
                    if number == 0 {
                        self.ends[end].change_expectation(place, value);
                    } else {
                        self.ends[end].change(place, value);
                    }
                }
            }
            self.step();
        }
    }

    pub(super) fn is_synchronized(&self) -> bool {
        let [a, b] = &self.ends;
        a.has_the_table_of(b) && b.has_the_table_of(a)
    }

    #[cfg(test)]
    #[track_caller]
    pub(super) fn assert_synchronized(&self) {
        let [a, b] = &self.ends;
        let sizes = [a, b].map(|end| (end.own.len(), end.external_len()));
        assert!(
            self.is_synchronized(),
            "own and external entries: {sizes:?}, {:#?}",
            [a, b].map(|e| *e.node.statistics())
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrackd::{
        node::Mode,
        wire::{Body, Message, Messages},
    };
    use proptest::prelude::*;

    fn reliable(first_sequence: u32) -> Settings {
        Settings { expectations: 10_000, ..Settings::new(Mode::FtFw, first_sequence) }
    }

    fn converges(faults: Faults) {
        for seed in 0..4 {
            let mut world = World::new(reliable, faults, seed);
            world.traffic(2000);
            world.run(Duration::from_secs(10));
            world.assert_synchronized();
            let bound = world.ends[0].own.len() + world.ends[0].external_len() + 2500;
            assert!(world.ends[0].node.entries() < bound, "{}", world.ends[0].node.entries());
        }
    }

    #[test]
    fn tables_are_equal_after_5_percent_loss() {
        converges(Faults { loss: 5, ..Faults::default() });
    }

    #[test]
    fn tables_are_equal_after_30_percent_loss() {
        converges(Faults { loss: 30, ..Faults::default() });
    }

    #[test]
    fn tables_are_equal_after_duplicates_and_reordering() {
        converges(Faults { loss: 0, duplicates: 10, reordered: 10 });
        converges(Faults { loss: 30, duplicates: 30, reordered: 30 });
    }

    #[test]
    fn tables_are_equal_without_loss_in_notrack() {
        let mut world = World::new(|first| Settings { mode: Mode::NoTrack, ..reliable(first) }, Faults::default(), 1);
        world.traffic(1000);
        world.run(Duration::from_secs(1));
        world.assert_synchronized();
        assert_eq!(world.ends[0].node.statistics().sent_again, 0);
    }

    /// Sequence numbers start again below the old ones, above them, and with a gap.
    #[test]
    fn restart_of_either_side_resynchronizes() {
        for (seed, first_sequence) in [(1, 1), (2, 1_795_716_170), (3, 2_000_000_000)] {
            for end in 0..2 {
                let mut world = World::new(reliable, Faults { loss: 5, ..Faults::default() }, seed);
                world.traffic(500);
                // Flows that end while the daemon is away are removed half a minute after its restart.
                world.ends[end].forget(0..500);
                world.restart(end, reliable(first_sequence));
                world.traffic(500);
                world.run(Duration::from_secs(60));
                world.assert_synchronized();
                assert_eq!(world.ends[1 - end].node.statistics().restarts, 1);
            }
        }
    }

    /// conntrackd ends with 149,499 of 200,000 flows.
    #[test]
    fn bulk_larger_than_the_resend_queue_arrives() {
        let small = |first| Settings { resend_queue: 1000, in_flight: 500, ..reliable(first) };
        let mut world = World::new(small, Faults { loss: 10, ..Faults::default() }, 7);
        world.run(Duration::from_secs(3));
        (0..20_000).for_each(|flow| world.ends[0].change(flow, Some(flow.into())));
        world.run(Duration::from_secs(20));
        world.assert_synchronized();
    }

    /// Lets an end take a message and send everything it has. Returns the bodies that it sent.
    fn answers(end: &mut End, sequence: u32, hello: bool, body: Body<&[u8]>, now: u64) -> Vec<Body<Vec<u8>>> {
        let message = Message { sequence, hello, hello_back: true, body };
        let (mut datagram, mut sent) = (Vec::new(), Vec::new());
        let now = Duration::from_secs(now);
        message.encode(&mut datagram);
        end.node.receive(&datagram, now);
        while end.node.transmit(now, &end.own, &mut datagram) {
            sent.extend(Messages::new(&datagram).map(|message| match message.unwrap().body {
                Body::Flow(kind, attributes) => Body::Flow(kind, attributes.to_vec()),
                Body::Acknowledge(range) => Body::Acknowledge(range),
                Body::Missing(range) => Body::Missing(range),
                Body::Resync => Body::Resync,
                _ => Body::Alive,
            }));
        }
        sent
    }

    fn flows(bodies: &[Body<Vec<u8>>]) -> usize {
        bodies.iter().filter(|body| body.is_data()).count()
    }

    /// A conntrackd that sends a large table while this end does not read has lost the first messages of the gap.
    #[test]
    fn gap_beyond_the_peers_resend_queue_requests_its_table() {
        let mut end = End::new(Settings { resend_queue: 1000, ..reliable(1) });
        let mut requests_after = |sequence: u32, seconds: u64| {
            answers(&mut end, sequence, false, Body::Alive, seconds);
            end.node.statistics().resyncs_sent
        };
        assert_eq!(requests_after(100, 1), 0);
        assert_eq!(requests_after(101, 2), 1); // the handshake is done
        assert_eq!(requests_after(500, 10), 1);
        assert_eq!(requests_after(1100, 20), 2);
        // One request at a time, or a link that is too slow for the table would carry nothing else.
        assert_eq!(requests_after(2100, 20), 2);
        assert_eq!(requests_after(2101, 23), 3);
    }

    /// conntrackd does not report gaps between messages that say hello.
    #[test]
    fn flows_wait_for_the_handshake() {
        let mut end = End::new(reliable(1));
        end.change(1, Some(1));
        let mut datagram = Vec::new();
        assert!(end.node.transmit(Duration::from_secs(1), &end.own, &mut datagram));
        let sent: Vec<_> = Messages::new(&datagram).map(Result::unwrap).collect();
        assert!(sent.len() == 1 && sent[0].hello && sent[0].body == Body::Alive, "{sent:?}");
        let answers = answers(&mut end, 100, false, Body::Alive, 2);
        assert_eq!((flows(&answers), answers.contains(&Body::Resync)), (1, true));
    }

    /// It was not there when its table was requested first, and conntrackd does not send it by itself.
    #[test]
    fn notrack_peer_that_is_heard_after_a_silence_is_asked_for_its_table() {
        let mut end = End::new(Settings { mode: Mode::NoTrack, ..reliable(1) });
        end.change(1, Some(1));
        let mut requests_and_flows_after = |sequence: u32, seconds: u64| {
            let sent = answers(&mut end, sequence, false, Body::Alive, seconds);
            (sent.iter().filter(|body| **body == Body::Resync).count(), flows(&sent))
        };
        assert_eq!(requests_and_flows_after(1, 10), (1, 1));
        assert_eq!(requests_and_flows_after(2, 11), (0, 0));
        assert_eq!(requests_and_flows_after(3, 13), (0, 0));
        assert_eq!(requests_and_flows_after(4, 30), (1, 1));
    }

    /// A peer that restarted never acknowledges the messages before: they must not take up the room of others.
    #[test]
    fn messages_to_a_peer_that_restarted_are_not_waited_for() {
        let mut end = End::new(Settings { in_flight: 6, ..reliable(1) });
        answers(&mut end, 100, false, Body::Alive, 1);
        answers(&mut end, 101, false, Body::Alive, 2);
        (0..20).for_each(|flow| end.change(flow, Some(1)));
        answers(&mut end, 102, false, Body::Alive, 3);
        assert_eq!(flows(&answers(&mut end, 103, false, Body::Alive, 4)), 0);
        assert!(flows(&answers(&mut end, 50, true, Body::Alive, 5)) >= 4);
        assert_eq!(end.node.statistics().restarts, 1);
    }

    /// Both would acknowledge each other's acknowledgements as fast as the link allows.
    #[test]
    fn smallest_window_leaves_the_link_idle() {
        let mut world = World::new(|first| Settings { window: 1, ..reliable(first) }, Faults::default(), 5);
        world.ends[0].change(1, Some(1));
        world.run(Duration::from_secs(10));
        world.assert_synchronized();
        let sent = world.ends[0].node.statistics().sent;
        assert!(sent < 60, "{sent}");
    }

    #[test]
    fn silent_peer_costs_no_memory() {
        let mut world = World::new(reliable, Faults::default(), 3);
        world.traffic(100);
        world.faults.loss = 100;
        world.traffic(20_000);
        let end = &world.ends[0];
        assert!(end.node.entries() < 6 * 2000 + 3000, "{}", end.node.entries());
        world.faults.loss = 0;
        world.run(Duration::from_secs(10));
        world.assert_synchronized();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_histories_hold_the_link_property(bytes: Vec<u8>) {
            crate::conntrackd::property::link(&bytes);
        }
    }
}
