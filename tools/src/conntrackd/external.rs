//! The flows of the peer, kept until they are committed.

use std::{collections::HashMap, time::Duration};

use super::{
    convert::Key,
    record::FlowRecord,
    wire::{Kind, Malformed},
};

/// The effect of a message on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The table is as the message says.
    Done,
    /// The message names no flow, or its values would be refused.
    Unusable,
    /// The table is full.
    Full,
}

/// A flow of the peer. Its attributes stay encoded, which takes a fifth of the memory.
#[derive(Clone, Debug)]
struct Entry {
    attributes: Box<[u8]>,
    /// When the last message about it arrived.
    at: Duration,
    /// The session of the peer that last sent it.
    session: u32,
}

/// The table of the peer's flows.
#[derive(Debug)]
pub struct External {
    entries: HashMap<Key, Entry>,
    most: usize,
    session: u32,
    /// When the peer restarted, and when it last sent a flow again that it had sent before.
    refresh: Option<(Duration, Duration)>,
}

/// After a restart, flows that the peer has not sent again by then are gone.
const REFRESH: Duration = Duration::from_secs(30);
/// Unless it has sent others again shortly before.
const QUIET: Duration = Duration::from_secs(10);

impl External {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most, session: 0, refresh: None }
    }

    pub(super) fn apply(&mut self, kind: Kind, attributes: &[u8], now: Duration) -> Result<Applied, Malformed> {
        let mut record = FlowRecord::decode(attributes)?;
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
            record = FlowRecord::decode(&old.attributes)?;
            record.merge(attributes)?;
        }
        if let (Some(old), Some((_, again))) = (old, &mut self.refresh)
            && old.session != self.session
        {
            *again = now;
        }
        self.entries.insert(key, Entry { attributes: record.encode().into(), at: now, session: self.session });
        Ok(Applied::Done)
    }

    /// The peer restarted and is about to send its table: flows that it does not send again have ended.
    pub(super) fn begin_session(&mut self, now: Duration) {
        self.session = self.session.wrapping_add(1);
        self.refresh = Some((now, Duration::ZERO));
    }

    /// Removes the flows that a restarted peer has not sent again. Returns how many.
    ///
    /// If the peer has sent none of them again, it has lost its table: the flows are kept, because this may be their only
    /// copy.
    pub(super) fn sweep(&mut self, now: Duration) -> usize {
        let Some((begun, again)) = self.refresh else { return 0 };
        if now < begun + REFRESH || now < again + QUIET {
            return 0;
        }
        self.refresh = None;
        let before = self.entries.len();
        if again > Duration::ZERO {
            let session = self.session;
            self.entries.retain(|_, entry| entry.session == session);
        }
        before - self.entries.len()
    }

    /// Returns when [`sweep`](Self::sweep) has to be called.
    pub(super) fn next_sweep(&self) -> Option<Duration> {
        self.refresh.map(|(begun, again)| (begun + REFRESH).max(again + QUIET))
    }

    /// Returns the number of flows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the flows with the time at which the last message about each arrived.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, FlowRecord, Duration)> {
        // Entries are encoded by this table, so they decode.
        self.entries
            .iter()
            .map(|(key, entry)| (key, FlowRecord::decode(&entry.attributes).unwrap_or_default(), entry.at))
    }

    /// Removes all flows.
    pub fn clear(&mut self) {
        self.entries = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctnetlink::{Flow, Tuple};

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
        external.apply(kind, &record.encode(), now).unwrap()
    }

    fn marks(external: &External) -> Vec<Option<u32>> {
        external.iter().map(|(_, record, _)| record.mark).collect()
    }

    #[test]
    fn update_keeps_what_it_does_not_send() {
        let mut external = External::new(10);
        apply(&mut external, Kind::Update, &record(1, 7), seconds(0));
        let partial = FlowRecord { mark: None, timeout: Some(5), ..record(1, 0) };
        apply(&mut external, Kind::Update, &partial, seconds(1));
        let (_, kept, at) = external.iter().next().unwrap();
        assert_eq!((kept.mark, kept.timeout, at), (Some(7), Some(5), seconds(1)));
        apply(&mut external, Kind::New, &partial, seconds(2));
        assert_eq!(marks(&external), [None]);
        apply(&mut external, Kind::Delete, &partial, seconds(3));
        assert_eq!(apply(&mut external, Kind::Delete, &partial, seconds(3)), Applied::Done);
        assert!(external.is_empty());
    }

    #[test]
    fn full_table_takes_changes_and_ends_but_no_new_flows() {
        let mut external = External::new(2);
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
        let mut external = External::new(10);
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
        let mut external = External::new(10);
        for port in 1..=3 {
            apply(&mut external, Kind::New, &record(port, 0), seconds(0));
        }
        external.begin_session(seconds(100));
        apply(&mut external, Kind::New, &record(9, 0), seconds(101));
        assert_eq!(external.sweep(seconds(500)), 0);
        assert_eq!(external.len(), 4);
    }
}
