//! The flows and expectations of the peer, kept until they are committed.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{
    convert::Key,
    expectation::ExpectationKey,
    record::{ExpectationRecord, FlowRecord},
    wire::{Kind, Malformed},
};

/// The effect of a message on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The table is as the message says.
    Done,
    /// The message names nothing, or its values would be refused.
    Unusable,
    /// The table is full.
    Full,
}

/// A record that is kept under a key.
pub trait Keyed: Default {
    /// Its identity.
    type Key: Copy + Eq + Hash;
    /// Returns its identity, or `None` if its values would be refused.
    fn key(&self) -> Option<Self::Key>;
    /// Returns its attributes.
    fn encode(&self) -> Vec<u8>;
    /// Overwrites the attributes of the record that are among these.
    ///
    /// # Errors
    ///
    /// Fails if they are malformed.
    fn merge(&mut self, attributes: &[u8]) -> Result<(), Malformed>;
}

macro_rules! keyed {
    ($($record:ty: $key:ty;)*) => { $(
        impl Keyed for $record {
            type Key = $key;

            fn key(&self) -> Option<$key> {
                <$record>::key(self)
            }

            fn encode(&self) -> Vec<u8> {
                <$record>::encode(self)
            }

            fn merge(&mut self, attributes: &[u8]) -> Result<(), Malformed> {
                <$record>::merge(self, attributes)
            }
        }
    )* };
}

keyed! {
    FlowRecord: Key;
    ExpectationRecord: ExpectationKey;
}

fn decode<R: Keyed>(attributes: &[u8]) -> Result<R, Malformed> {
    let mut record = R::default();
    record.merge(attributes)?;
    Ok(record)
}

/// An entry of the peer. Its attributes stay encoded, which takes a fifth of the memory.
#[derive(Clone, Debug)]
struct Entry {
    attributes: Box<[u8]>,
    /// When the last message about it arrived.
    at: Duration,
    /// The session of the peer that last sent it.
    session: u32,
}

/// Flows or expectations of the peer.
#[derive(Debug)]
pub struct Entries<R: Keyed> {
    entries: HashMap<R::Key, Entry>,
    most: usize,
}

impl<R: Keyed> Entries<R> {
    fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most }
    }

    fn apply(
        &mut self,
        kind: Kind,
        attributes: &[u8],
        now: Duration,
        sessions: &mut Sessions,
    ) -> Result<Applied, Malformed> {
        let mut record: R = decode(attributes)?;
        let Some(key) = record.key() else { return Ok(Applied::Unusable) };
        if kind == Kind::Delete {
            self.entries.remove(&key);
            return Ok(Applied::Done);
        }
        let old = self.entries.get(&key);
        if old.is_none() && self.entries.len() >= self.most {
            return Ok(Applied::Full);
        }
        if let (Kind::Update, Some(old)) = (kind, old) {
            record = decode(&old.attributes)?;
            record.merge(attributes)?;
        }
        if let Some(old) = old {
            sessions.note_again(old.session, now);
        }
        let session = sessions.current;
        self.entries.insert(key, Entry { attributes: record.encode().into(), at: now, session });
        Ok(Applied::Done)
    }

    /// Removes the entries that are not of this session. Returns how many.
    fn keep_session(&mut self, session: u32) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.session == session);
        before - self.entries.len()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries with the time at which the last message about each arrived.
    pub fn iter(&self) -> impl Iterator<Item = (&R::Key, R, Duration)> {
        // Entries are encoded by this table, so they decode.
        self.entries.iter().map(|(key, entry)| (key, decode(&entry.attributes).unwrap_or_default(), entry.at))
    }
}

/// The lives of the peer's daemon.
#[derive(Debug, Default)]
struct Sessions {
    current: u32,
    /// When the peer restarted, and when it last sent something again that it had sent before.
    refresh: Option<(Duration, Duration)>,
}

impl Sessions {
    fn note_again(&mut self, session: u32, now: Duration) {
        if let Some((_, again)) = &mut self.refresh
            && session != self.current
        {
            *again = now;
        }
    }
}

/// The table of the peer's flows and expectations.
#[derive(Debug)]
pub struct External {
    flows: Entries<FlowRecord>,
    expectations: Entries<ExpectationRecord>,
    sessions: Sessions,
    next_cleaning: Duration,
}

/// After a restart, entries that the peer has not sent again by then are gone.
const REFRESH: Duration = Duration::from_secs(30);
/// Unless it has sent others again shortly before.
const QUIET: Duration = Duration::from_secs(10);
/// How often expectations are removed that have ended without a message.
const CLEANING: Duration = Duration::from_secs(60);

impl External {
    pub(super) fn new(flows: usize, expectations: usize) -> Self {
        let (flows, expectations) = (Entries::new(flows), Entries::new(expectations));
        Self { flows, expectations, sessions: Sessions::default(), next_cleaning: CLEANING }
    }

    pub(super) fn apply_flow(&mut self, kind: Kind, attributes: &[u8], now: Duration) -> Result<Applied, Malformed> {
        self.flows.apply(kind, attributes, now, &mut self.sessions)
    }

    pub(super) fn apply_expectation(
        &mut self,
        kind: Kind,
        attributes: &[u8],
        now: Duration,
    ) -> Result<Applied, Malformed> {
        self.expectations.apply(kind, attributes, now, &mut self.sessions)
    }

    /// The peer restarted and is about to send its table: entries that it does not send again have ended.
    pub(super) fn begin_session(&mut self, now: Duration) {
        self.sessions.current = self.sessions.current.wrapping_add(1);
        self.sessions.refresh = Some((now, Duration::ZERO));
    }

    /// Removes the entries that a restarted peer has not sent again. Returns how many.
    ///
    /// If the peer has sent none of them again, it has lost its table: they are kept, because this may be their only copy.
    ///
    /// Now and then, removes the expectations that have ended, too. In NOTRACK mode messages about ends get lost, and such
    /// expectations would fill the table.
    pub(super) fn sweep(&mut self, now: Duration) -> usize {
        if now >= self.next_cleaning {
            self.next_cleaning = now + CLEANING;
            let has_ended = |entry: &Entry| {
                decode(&entry.attributes)
                    .is_ok_and(|record: ExpectationRecord| record.has_ended(now.saturating_sub(entry.at)))
            };
            self.expectations.entries.retain(|_, entry| !has_ended(entry));
        }
        let Some((begun, again)) = self.sessions.refresh else { return 0 };
        if now < begun + REFRESH || now < again + QUIET {
            return 0;
        }
        self.sessions.refresh = None;
        if again == Duration::ZERO {
            return 0;
        }
        let session = self.sessions.current;
        self.flows.keep_session(session) + self.expectations.keep_session(session)
    }

    /// Returns when [`sweep`](Self::sweep) has to be called.
    pub(super) fn next_sweep(&self) -> Option<Duration> {
        self.sessions.refresh.map(|(begun, again)| (begun + REFRESH).max(again + QUIET))
    }

    /// Returns the flows.
    #[must_use]
    pub const fn flows(&self) -> &Entries<FlowRecord> {
        &self.flows
    }

    /// Returns the expectations.
    #[must_use]
    pub const fn expectations(&self) -> &Entries<ExpectationRecord> {
        &self.expectations
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.flows.entries = HashMap::new();
        self.expectations.entries = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctnetlink::{Expectation, ExpectationFlags, Flow, Tuple};
    use std::collections::BTreeSet;

    fn record(port: u16, mark: u32) -> FlowRecord {
        let tuple = Tuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into());
        let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
        flow.mark = Some(mark);
        FlowRecord::new(&flow).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn apply(external: &mut External, kind: Kind, record: &FlowRecord, now: Duration) -> Applied {
        external.apply_flow(kind, &record.encode(), now).unwrap()
    }

    fn marks(external: &External) -> Vec<Option<u32>> {
        external.flows().iter().map(|(_, record, _)| record.mark).collect()
    }

    #[test]
    fn update_keeps_what_it_does_not_send() {
        let mut external = External::new(10, 10);
        apply(&mut external, Kind::Update, &record(1, 7), seconds(0));
        let partial = FlowRecord { mark: None, timeout: Some(5), ..record(1, 0) };
        apply(&mut external, Kind::Update, &partial, seconds(1));
        let (_, kept, at) = external.flows().iter().next().unwrap();
        assert_eq!((kept.mark, kept.timeout, at), (Some(7), Some(5), seconds(1)));
        apply(&mut external, Kind::New, &partial, seconds(2));
        assert_eq!(marks(&external), [None]);
        apply(&mut external, Kind::Delete, &partial, seconds(3));
        assert_eq!(apply(&mut external, Kind::Delete, &partial, seconds(3)), Applied::Done);
        assert!(external.flows().is_empty());
    }

    #[test]
    fn full_table_takes_changes_and_ends_but_no_new_flows() {
        let mut external = External::new(2, 2);
        for port in 1..=2 {
            assert_eq!(apply(&mut external, Kind::New, &record(port, 0), seconds(0)), Applied::Done);
        }
        assert_eq!(apply(&mut external, Kind::New, &record(3, 0), seconds(0)), Applied::Full);
        assert_eq!(apply(&mut external, Kind::Update, &record(2, 9), seconds(0)), Applied::Done);
        apply(&mut external, Kind::Delete, &record(1, 0), seconds(0));
        assert_eq!(marks(&external), [Some(9)]);
    }

    #[test]
    fn flows_that_a_restarted_peer_does_not_send_again_go() {
        let mut external = External::new(10, 10);
        for port in 1..=3 {
            apply(&mut external, Kind::New, &record(port, port.into()), seconds(0));
        }
        external.begin_session(seconds(100));
        apply(&mut external, Kind::New, &record(1, 11), seconds(125));
        assert_eq!(external.next_sweep(), Some(seconds(135)));
        assert_eq!(external.sweep(seconds(134)), 0);
        assert_eq!(external.sweep(seconds(135)), 2);
        assert_eq!((marks(&external), external.next_sweep()), (vec![Some(11)], None));
    }

    /// Nothing else is left of the flows of a peer that came back without its table.
    #[test]
    fn flows_of_a_peer_that_lost_its_table_stay() {
        let mut external = External::new(10, 10);
        for port in 1..=3 {
            apply(&mut external, Kind::New, &record(port, 0), seconds(0));
        }
        external.begin_session(seconds(100));
        apply(&mut external, Kind::New, &record(9, 0), seconds(101));
        assert_eq!(external.sweep(seconds(500)), 0);
        assert_eq!(external.flows().len(), 4);
    }

    fn expectation(port: u16, flags: ExpectationFlags) -> ExpectationRecord {
        let tcp = |source: &str, destination: &str| Tuple::tcp(source.parse().unwrap(), destination.parse().unwrap());
        let expected = Tuple::tcp(([10, 0, 0, 2], 0).into(), ([10, 0, 0, 1], port).into());
        let mask = tcp("255.255.255.255:0", "255.255.255.255:65535");
        let mut expectation = Expectation::new(tcp("10.0.0.1:1000", "10.0.0.2:21"), expected, mask);
        (expectation.timeout, expectation.flags) = (Some(300), Some(flags));
        ExpectationRecord::new(&expectation).unwrap()
    }

    fn expect(external: &mut External, kind: Kind, port: u16, now: Duration) -> Applied {
        external.apply_expectation(kind, &expectation(port, ExpectationFlags::empty()).encode(), now).unwrap()
    }

    fn ports(external: &External) -> BTreeSet<u16> {
        external.expectations().iter().filter_map(|(key, ..)| key.expected.destination_port()).collect()
    }

    #[test]
    fn expectations_are_bounded_and_deleted_apart_from_flows() {
        let mut external = External::new(10, 2);
        assert_eq!(
            [1, 2, 3].map(|port| expect(&mut external, Kind::New, port, seconds(0))),
            [Applied::Done, Applied::Done, Applied::Full]
        );
        expect(&mut external, Kind::Delete, 1, seconds(1));
        assert_eq!(expect(&mut external, Kind::Update, 3, seconds(1)), Applied::Done);
        assert_eq!((ports(&external), external.flows().len()), (BTreeSet::from([2, 3]), 0));
        let nameless = ExpectationRecord { expected_ports: None, ..expectation(2, ExpectationFlags::empty()) };
        let deletion = external.apply_expectation(Kind::Delete, &nameless.encode(), seconds(2)).unwrap();
        assert_eq!((deletion, external.expectations().len()), (Applied::Unusable, 2));
        external.clear();
        assert!(external.expectations().is_empty());
    }

    /// A flow that is sent again shows that the peer has its table, and it does not send the expectation.
    #[test]
    fn expectations_that_a_restarted_peer_does_not_send_again_go() {
        let mut external = External::new(10, 10);
        apply(&mut external, Kind::New, &record(1, 0), seconds(0));
        for port in [1, 2] {
            expect(&mut external, Kind::New, port, seconds(0));
        }
        external.begin_session(seconds(10));
        apply(&mut external, Kind::New, &record(1, 0), seconds(11));
        expect(&mut external, Kind::New, 2, seconds(11));
        assert_eq!(external.sweep(seconds(40)), 1);
        assert_eq!((ports(&external), external.flows().len()), (BTreeSet::from([2]), 1));
    }

    #[test]
    fn expectations_whose_end_was_lost_are_removed() {
        let mut external = External::new(10, 10);
        expect(&mut external, Kind::New, 1, seconds(0));
        expect(&mut external, Kind::New, 2, seconds(200));
        let permanent = expectation(3, ExpectationFlags::PERMANENT);
        external.apply_expectation(Kind::New, &permanent.encode(), seconds(0)).unwrap();
        external.sweep(seconds(299));
        assert_eq!(ports(&external), BTreeSet::from([1, 2, 3]));
        external.sweep(seconds(360));
        assert_eq!(ports(&external), BTreeSet::from([2, 3]));
    }
}
