//! The flows and expectations of this kernel that are sent to the peer.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use ctnetlink::{
    Change, ChangeKind, Client, Error, EventGroups, EventSocket, Expectation, Filter, Flow, FlowKey, FlowTable, Mirror,
    SequenceAdjustment, Tuple,
};

use super::{
    NAME,
    convert::Key,
    expectation::{ExpectationKey, Subject},
    node::Table,
    options::Options,
    own_expectations::OwnExpectations,
    record::{ExpectationRecord, FlowRecord},
    wire::Kind,
};
use crate::program::complain;

/// Which flows are sent.
struct Selection {
    /// The two addresses of the link.
    link: [IpAddr; 2],
    filter: Option<Filter>,
    /// With a filter: the flows that matched it when they last changed, and that the peer may know.
    announced: HashSet<Key>,
}

impl Selection {
    /// Translates a change of the table into the change that the peer sees. `None` if the peer need not know.
    fn translate(&mut self, change: &Change) -> Option<(Kind, Key)> {
        let key = Key::of(&change.flow).filter(|key| !self.is_local(key))?;
        let kind = match change.kind {
            ChangeKind::Appeared => Kind::New,
            ChangeKind::Changed => Kind::Update,
            ChangeKind::Vanished => Kind::Delete,
        };
        let Some(filter) = &self.filter else { return Some((kind, key)) };
        // A change can take a flow into the filter or out of it.
        let matches = kind != Kind::Delete && filter.matches(&change.flow);
        let kind = match (matches, matches && !self.announced.contains(&key)) {
            (true, true) => Kind::New,
            (true, false) => kind,
            (false, _) => Kind::Delete,
        };
        let is_known = if matches { !self.announced.insert(key) } else { self.announced.remove(&key) };
        (matches || is_known).then_some((kind, key))
    }

    fn is_local(&self, key: &Key) -> bool {
        [key.tuple.source, key.tuple.destination].iter().any(|end| end.is_loopback() || self.link.contains(end))
    }

    /// Returns whether a flow of the table is sent.
    fn contains(&self, key: &Key) -> bool {
        !self.is_local(key) && (self.filter.is_none() || self.announced.contains(key))
    }

    /// Takes in the flows that were there at the start.
    fn announce(&mut self, table: &FlowTable) {
        if let Some(filter) = &self.filter {
            let matching = table.iter().filter(|entry| filter.matches(entry));
            self.announced.extend(matching.filter_map(|entry| Key::of(&entry)));
        }
    }
}

fn flow_key(key: &Key) -> FlowKey {
    let flow = FlowKey::original(key.tuple);
    if key.zone == 0 { flow } else { flow.in_zone(key.zone) }
}

/// The kernel's table as it is sent to the peer.
pub(super) struct Local {
    mirror: Mirror,
    selection: Selection,
    expectations: Option<OwnExpectations>,
    adjustments: HashMap<Key, Adjustments>,
    /// The masters to look up, and when.
    lookups: BTreeSet<(Instant, Tuple)>,
}

/// The shift of sequence numbers in the two directions of a flow, which a helper causes that replaces an address by a longer
/// or shorter text.
///
/// The kernel reports it in no event. Without it, bytes are missing from the stream after a takeover. It arises right after
/// an expectation, so the master is looked up then.
type Adjustments = [Option<SequenceAdjustment>; 2];

/// Masters are looked up a second time after this: the event of the expectation can be here before the kernel has changed
/// the packet.
const SECOND_LOOKUP: Duration = Duration::from_millis(50);

fn lookups_of(master: &Tuple) -> [(Instant, Tuple); 2] {
    let now = Instant::now();
    [now, now + SECOND_LOOKUP].map(|at| (at, *master))
}

impl Local {
    /// Begins to follow the table of this network namespace, and waits until its copy is complete.
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        let events = |groups| EventSocket::builder(groups).receive_buffer(options.event_buffer).open();
        let mut mirror = Mirror::new(events(EventGroups::FLOWS)?, Client::open()?)?.audit_every(options.audit);
        // The first table that is sent has to be complete.
        mirror.synchronize()?;
        let link = [options.address.ip(), options.peer.ip()];
        let mut selection = Selection { link, filter: options.filter.clone(), announced: HashSet::new() };
        selection.announce(mirror.table());
        let expectations = match options.expectations.clone() {
            Some(helpers) => {
                let events = events(EventGroups::EXPECTATIONS)?;
                Some(OwnExpectations::new(events, Client::open()?, helpers, options.audit)?)
            }
            None => None,
        };
        // A master can have been dumped just before its expectation came.
        let known = expectations.iter().flat_map(OwnExpectations::keys);
        let lookups = known.flat_map(|key| lookups_of(&key.master)).collect();
        Ok(Self { mirror, selection, expectations, adjustments: HashMap::new(), lookups })
    }

    /// Returns the descriptors that become readable when the table changes.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(self.mirror.as_fd()), self.expectations.as_ref().map(OwnExpectations::as_fd)].into_iter().flatten()
    }

    /// Returns when [`follow`](Self::follow) has to be called, if the table does not change until then.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let expectations = self.expectations.as_ref().and_then(OwnExpectations::next_deadline);
        let lookup = self.lookups.first().map(|(at, _)| *at);
        [self.mirror.next_deadline(), expectations, lookup].into_iter().flatten().min()
    }

    /// Calls `note` for at most `most` changes of flows, and as many of expectations. Returns whether more may wait.
    pub(super) fn follow(&mut self, most: usize, mut note: impl FnMut(Kind, Subject)) -> bool {
        let mut is_behind = true;
        for _ in 0..most {
            // Both copies of the table go on after an error with the next call, in the next turn.
            let change = self.mirror.try_next().unwrap_or_else(|error| {
                complain(NAME, error);
                None
            });
            let Some(change) = change else {
                is_behind = false;
                break;
            };
            if let Some((kind, key)) = self.selection.translate(&change) {
                note(kind, key.into());
                self.note_expectations_of(kind, &key, &mut note);
            }
        }
        self.follow_expectations(most, &mut note) || is_behind
    }

    fn follow_expectations(&mut self, most: usize, note: &mut impl FnMut(Kind, Subject)) -> bool {
        let Self { mirror, selection, expectations: Some(expectations), lookups, .. } = self else { return false };
        let more = expectations.follow(most, &mut |kind, key| {
            if is_sent(mirror, selection, &key.master) {
                note(kind, key.into());
                if kind == Kind::New {
                    lookups.extend(lookups_of(&key.master));
                }
            }
        });
        let now = Instant::now();
        while let Some((_, master)) = lookups.first().copied().filter(|(at, _)| *at <= now) {
            lookups.pop_first();
            let Some(flow) = expectations.master(&master) else { continue };
            let key = Key { tuple: master, zone: 0 };
            let new = [flow.sequence_adjustment_original, flow.sequence_adjustment_reply];
            if new != [None; 2] && self.adjustments.insert(key, new) != Some(new) {
                note(Kind::Update, key.into());
            }
        }
        more.unwrap_or_else(|error| {
            complain(NAME, error);
            false
        })
    }

    /// A flow enters the sent part of the table or leaves it, and its expectations with it.
    ///
    /// The two kinds of events come from two sockets, so an expectation can come before its master.
    fn note_expectations_of(&mut self, kind: Kind, key: &Key, note: &mut impl FnMut(Kind, Subject)) {
        let Some(expectations) = self.expectations.as_ref().filter(|_| kind != Kind::Update && key.zone == 0) else {
            return;
        };
        self.adjustments.remove(key);
        for expectation in expectations.of_master(&key.tuple) {
            note(kind, expectation.into());
            if kind == Kind::New {
                self.lookups.extend(lookups_of(&key.tuple));
            }
        }
    }

    /// Returns whether the kernel has a flow or an expectation, sent or not.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Flow(key) => self.mirror.table().get(flow_key(key)).is_some(),
            Subject::Expectation(key) => self.expectations.as_ref().is_some_and(|own| own.record(key).is_some()),
        }
    }

    /// Returns the flows that are sent.
    pub(super) fn flows(&self) -> impl Iterator<Item = Flow> {
        self.flow_keys().filter_map(|key| Some(self.mirror.table().get(flow_key(&key))?.to_flow()))
    }

    fn flow_keys(&self) -> Box<dyn Iterator<Item = Key> + '_> {
        let Selection { filter, announced, .. } = &self.selection;
        let is_sent = |key: &Key| !self.selection.is_local(key);
        match filter {
            Some(_) => Box::new(announced.iter().copied().filter(is_sent)),
            None => Box::new(self.mirror.table().iter().filter_map(|entry| Key::of(&entry)).filter(is_sent)),
        }
    }

    /// Returns the expectations that are sent.
    pub(super) fn expectations(&self) -> impl Iterator<Item = Expectation> {
        self.expectation_keys().filter_map(|key| self.expectation(&key)?.to_expectation())
    }

    fn expectation_keys(&self) -> impl Iterator<Item = ExpectationKey> {
        let keys = self.expectations.iter().flat_map(OwnExpectations::keys);
        keys.filter(|key| is_sent(&self.mirror, &self.selection, &key.master))
    }

    /// Returns the number of flows and of expectations that are sent.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.flow_keys().count(), self.expectation_keys().count())
    }

    /// Returns how often events were lost.
    pub(super) fn overruns(&self) -> u64 {
        self.mirror.overruns()
    }
}

/// Returns whether expectations of a master are sent: if it is. It has to be in the default zone, because neither the
/// kernel nor the protocol says in which zone an expectation is.
fn is_sent(mirror: &Mirror, selection: &Selection, master: &Tuple) -> bool {
    selection.contains(&Key { tuple: *master, zone: 0 }) && mirror.table().get(FlowKey::original(*master)).is_some()
}

impl Table for Local {
    fn flow(&self, key: &Key) -> Option<FlowRecord> {
        if self.selection.filter.is_some() && !self.selection.announced.contains(key) {
            return None;
        }
        let mut flow = self.mirror.table().get(flow_key(key))?.to_flow();
        if let Some(adjustments) = self.adjustments.get(key) {
            [flow.sequence_adjustment_original, flow.sequence_adjustment_reply] = *adjustments;
        }
        FlowRecord::new(&flow)
    }

    fn expectation(&self, key: &ExpectationKey) -> Option<ExpectationRecord> {
        let own = self.expectations.as_ref().filter(|_| is_sent(&self.mirror, &self.selection, &key.master))?;
        own.record(key)
    }

    fn for_each(&self, take: &mut dyn FnMut(Subject)) {
        self.flow_keys().for_each(|key| take(key.into()));
        self.expectation_keys().for_each(|key| take(key.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrackd::own_expectations::Helpers;
    use ctnetlink::{Helper, NewFlow, TcpState, fake::FakeKernel};

    fn selection(filter: Option<&str>) -> Selection {
        let link = ["10.77.0.1".parse().unwrap(), "10.77.0.2".parse().unwrap()];
        Selection { link, filter: filter.map(|text| text.parse().unwrap()), announced: HashSet::new() }
    }

    fn changes(kernel: &FakeKernel, mirror: &mut Mirror, flow: &NewFlow, mark: u32) -> Vec<Change> {
        let mut client = kernel.client();
        client.create(flow).unwrap();
        client.update(FlowKey::original(flow.original), &ctnetlink::FlowUpdate::new().mark(mark)).unwrap();
        client.delete(FlowKey::original(flow.original)).unwrap();
        std::iter::from_fn(|| mirror.try_next().unwrap()).collect()
    }

    #[test]
    fn flow_that_leaves_the_filter_ends_for_the_peer() {
        let kernel = FakeKernel::new();
        let mut mirror = kernel.mirror();
        mirror.synchronize().unwrap();
        let flow = NewFlow::udp("10.0.0.1:1".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
        let mut kinds = |filter, flow: &NewFlow, mark| {
            let mut selection = selection(filter);
            let changes = changes(&kernel, &mut mirror, flow, mark);
            changes.iter().filter_map(|change| selection.translate(change).map(|(kind, _)| kind)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(None, &flow, 7), [Kind::New, Kind::Update, Kind::Delete]);
        assert_eq!(kinds(Some("not mark 7"), &flow, 7), [Kind::New, Kind::Delete]);
        assert_eq!(kinds(Some("mark 7"), &flow, 7), [Kind::New, Kind::Delete]);
        assert_eq!(kinds(Some("mark 8"), &flow, 7), []);
        let own = NewFlow::udp("10.77.0.2:3780".parse().unwrap(), "10.77.0.1:3780".parse().unwrap());
        assert_eq!(kinds(None, &own, 7), []);
        let local = NewFlow::udp("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(kinds(None, &local, 7), []);
    }

    #[test]
    fn expectations_follow_their_master_into_the_filter_and_out_of_it() {
        let kernel = FakeKernel::builder().events(1).build();
        let mut mirror = kernel.mirror();
        mirror.synchronize().unwrap();
        let events = kernel.event_socket(EventGroups::EXPECTATIONS);
        let expectations = OwnExpectations::new(events, kernel.client(), Helpers::All, None).unwrap();
        let mut local = Local {
            mirror,
            selection: selection(Some("mark 7")),
            expectations: Some(expectations),
            adjustments: HashMap::new(),
            lookups: BTreeSet::new(),
        };
        let changes = |local: &mut Local| {
            let mut changes = Vec::new();
            let mut note = |kind, subject| changes.push((kind, matches!(subject, Subject::Expectation(_))));
            while local.follow(100, &mut note) {}
            changes
        };

        let mut client = kernel.client();
        let mut master =
            NewFlow::tcp("10.0.0.1:1".parse().unwrap(), "192.0.2.2:21".parse().unwrap(), TcpState::ESTABLISHED);
        master.helper = Some(Helper::new("ftp"));
        client.create(&master).unwrap();
        let expected = Tuple::tcp("10.0.0.1:0".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
        let mask = Tuple::tcp("255.255.255.255:0".parse().unwrap(), "255.255.255.255:65535".parse().unwrap());
        let expectation = Expectation::new(master.original, expected, mask);
        client.create_expectation(&expectation).unwrap();
        assert_eq!((changes(&mut local), local.counts()), (vec![], (0, 0)));

        let key = FlowKey::original(master.original);
        client.update(key, &ctnetlink::FlowUpdate::new().mark(7)).unwrap();
        assert_eq!(changes(&mut local), [(Kind::New, false), (Kind::New, true)]);
        assert_eq!(local.counts(), (1, 1));
        let expectation = ExpectationKey::of(&expectation).unwrap();
        assert!(local.expectation(&expectation).is_some());

        // Whichever comes last, the master or the expectation, has the shift of sequence numbers looked up.
        assert_eq!(local.lookups.iter().filter(|(_, tuple)| *tuple == master.original).count(), 1);

        client.update(key, &ctnetlink::FlowUpdate::new().mark(8)).unwrap();
        assert_eq!(changes(&mut local), [(Kind::Delete, false), (Kind::Delete, true)]);
        assert_eq!((local.expectation(&expectation), local.counts()), (None, (0, 0)));
    }
}
