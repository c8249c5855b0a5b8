//! The expectations of this kernel.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
    os::fd::{AsFd, BorrowedFd},
    str::FromStr,
    time::{Duration, Instant},
};

use ctnetlink::{Client, Error, Event, EventSocket, Expectation, Flow, FlowKey, Tuple, request::DumpExpectations};

use super::{expectation::ExpectationKey, record::ExpectationRecord, wire::Kind};

/// The helpers whose expectations are exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "used by the program alone")]
pub enum Helpers {
    /// All of them.
    All,
    /// Those of these names.
    Named(BTreeSet<String>),
}

impl FromStr for Helpers {
    type Err = Infallible;

    /// Reads `all` or names, separated by commas.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let names = || Self::Named(text.split(',').map(String::from).collect());
        Ok(if text == "all" { Self::All } else { names() })
    }
}

impl Helpers {
    fn contain(&self, helper: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => helper.is_some_and(|helper| names.contains(helper)),
        }
    }
}

/// An expectation, and when it ends.
#[derive(Debug)]
struct Entry {
    expectation: Expectation,
    end: Option<Instant>,
}

impl Entry {
    fn new(mut expectation: Expectation, now: Instant) -> Self {
        let end = expectation.timeout.map(|seconds| now + Duration::from_secs(seconds.into()));
        // They would tell equal expectations apart.
        (expectation.timeout, expectation.id) = (None, None);
        Self { expectation, end }
    }

    fn key(&self) -> Option<ExpectationKey> {
        ExpectationKey::of(&self.expectation)
    }

    fn record(&self, now: Instant) -> Option<ExpectationRecord> {
        let mut record = ExpectationRecord::new(&self.expectation)?;
        record.timeout = self.end.map(|end| end.saturating_duration_since(now).as_secs() as u32);
        Some(record)
    }

    /// Returns whether the peer has to hear of the difference to an older state. Two dumps round differently.
    fn differs_from(&self, old: &Self) -> bool {
        let is_later = self.end.zip(old.end).is_some_and(|(new, old)| new > old + Duration::from_secs(2));
        is_later || self.expectation != old.expectation
    }
}

/// A copy of the kernel's expectations that is followed by events, and compared with a dump now and then.
///
/// Dumps find what events do not report: expectations of masters that are older than the program, if
/// `nf_conntrack_events` is 2, and expectations that the SIP helper activates or renews.
#[derive(Debug)]
pub(super) struct OwnExpectations {
    events: EventSocket,
    client: Client,
    helpers: Helpers,
    by_master: HashMap<Tuple, Vec<Entry>>,
    period: Option<Duration>,
    /// When to compare: at once after events were lost.
    next_dump: Option<Instant>,
}

/// After a dump that failed.
const RETRY: Duration = Duration::from_secs(1);

impl OwnExpectations {
    /// Begins with a dump, which has to succeed.
    pub(super) fn new(
        events: EventSocket,
        client: Client,
        helpers: Helpers,
        period: Option<Duration>,
    ) -> Result<Self, Error> {
        let mut own = Self { events, client, helpers, by_master: HashMap::new(), period, next_dump: None };
        own.compare(Instant::now(), &mut |_, _| {})?;
        Ok(own)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Returns when [`follow`](Self::follow) has to be called, if there is no event until then.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.next_dump
    }

    /// Takes in at most `most` events. Returns whether more may wait.
    ///
    /// A dump begins only after all events that wait were taken in: an event from before an overrun must not undo it.
    pub(super) fn follow(&mut self, most: usize, note: &mut dyn FnMut(Kind, ExpectationKey)) -> Result<bool, Error> {
        let now = Instant::now();
        for _ in 0..most {
            match self.events.try_next()? {
                None => {
                    if self.next_dump.is_some_and(|at| at <= now) {
                        self.compare(now, note)?;
                    }
                    return Ok(false);
                }
                Some(Event::ExpectationNew(event)) => {
                    if let Some(key) = self.insert(event.expectation, now) {
                        note(Kind::New, key);
                    }
                }
                Some(Event::ExpectationDestroy(event)) => {
                    let key = ExpectationKey::of(&event.expectation);
                    if let Some(key) = key.filter(|key| self.remove(key)) {
                        note(Kind::Delete, key);
                    }
                }
                Some(Event::Overrun) => self.next_dump = Some(now),
                Some(_) => {}
            }
        }
        Ok(true)
    }

    /// Compares with a dump, and makes up for the differences.
    fn compare(&mut self, now: Instant, note: &mut dyn FnMut(Kind, ExpectationKey)) -> Result<(), Error> {
        self.next_dump = Some(now + RETRY);
        let dump = self.client.dump_expectations(&DumpExpectations::all())?.collect::<Result<Vec<_>, _>>()?;
        self.next_dump = self.period.map(|period| now + period);
        let mut ended: HashSet<ExpectationKey> = self.keys().collect();
        for expectation in dump {
            let Some(key) = ExpectationKey::of(&expectation) else { continue };
            let entry = Entry::new(expectation, now);
            let kind = match self.entry(&key) {
                None => Some(Kind::New),
                Some(old) => entry.differs_from(old).then_some(Kind::Update),
            };
            ended.remove(&key);
            if let Some(kind) = kind
                && self.replace(key, entry)
            {
                note(kind, key);
            }
        }
        for key in ended {
            self.remove(&key);
            note(Kind::Delete, key);
        }
        Ok(())
    }

    fn insert(&mut self, expectation: Expectation, now: Instant) -> Option<ExpectationKey> {
        let key = ExpectationKey::of(&expectation)?;
        self.replace(key, Entry::new(expectation, now)).then_some(key)
    }

    /// Takes in an expectation unless its helper is not wanted, or the protocol cannot carry it.
    fn replace(&mut self, key: ExpectationKey, entry: Entry) -> bool {
        let is_wanted = self.helpers.contain(entry.expectation.helper.as_deref());
        if !is_wanted || ExpectationRecord::new(&entry.expectation).is_none() {
            return false;
        }
        self.remove(&key);
        self.by_master.entry(key.master).or_default().push(entry);
        true
    }

    fn remove(&mut self, key: &ExpectationKey) -> bool {
        let Some(entries) = self.by_master.get_mut(&key.master) else { return false };
        let before = entries.len();
        entries.retain(|entry| entry.key().as_ref() != Some(key));
        let is_removed = entries.len() < before;
        if entries.is_empty() {
            self.by_master.remove(&key.master);
        }
        is_removed
    }

    fn entry(&self, key: &ExpectationKey) -> Option<&Entry> {
        self.by_master.get(&key.master)?.iter().find(|entry| entry.key().as_ref() == Some(key))
    }

    /// Returns an expectation with the time that is left to it.
    pub(super) fn record(&self, key: &ExpectationKey) -> Option<ExpectationRecord> {
        self.entry(key)?.record(Instant::now())
    }

    /// Returns all expectations.
    pub(super) fn keys(&self) -> impl Iterator<Item = ExpectationKey> {
        self.by_master.values().flatten().filter_map(Entry::key)
    }

    /// Returns a master as the kernel has it now, unless it has ended.
    pub(super) fn master(&mut self, master: &Tuple) -> Option<Flow> {
        self.client.get(FlowKey::original(*master)).ok()?
    }

    /// Returns the expectations of a flow.
    pub(super) fn of_master(&self, master: &Tuple) -> impl Iterator<Item = ExpectationKey> {
        self.by_master.get(master).into_iter().flatten().filter_map(Entry::key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use ctnetlink::{EventGroups, Helper, NewFlow, TcpState, fake::FakeKernel, request::ExpectationKey as KernelKey};

    /// The flow that expects a port: a master of its own, because FTP expects one flow at a time.
    fn master(port: u16) -> NewFlow {
        let client = SocketAddr::from(([10, 0, 0, 1], 1000 + port));
        let mut master = NewFlow::tcp(client, "10.0.0.2:21".parse().unwrap(), TcpState::ESTABLISHED);
        master.helper = Some(Helper::new("ftp"));
        master
    }

    fn expectation(port: u16) -> Expectation {
        let expected = Tuple::tcp(([10, 0, 0, 1], 0).into(), ([10, 0, 0, 2], port).into());
        let mask = Tuple::tcp(([255; 4], 0).into(), ([255; 4], u16::MAX).into());
        let mut expectation = Expectation::new(master(port).original, expected, mask);
        expectation.helper = Some("ftp".into());
        expectation
    }

    struct Fixture {
        kernel: FakeKernel,
        own: OwnExpectations,
        client: Client,
    }

    impl Fixture {
        fn new(helpers: &str, period: Option<Duration>) -> Self {
            let kernel = FakeKernel::builder().events(1).build();
            let mut client = kernel.client();
            for port in 1..=3 {
                client.create(&master(port)).unwrap();
            }
            client.create_expectation(&expectation(1)).unwrap();
            let events = kernel.event_socket(EventGroups::EXPECTATIONS);
            let own = OwnExpectations::new(events, kernel.client(), helpers.parse().unwrap(), period).unwrap();
            Self { kernel, own, client }
        }

        fn changes(&mut self) -> Vec<(Kind, u16)> {
            let mut changes = Vec::new();
            let mut note = |kind, key: ExpectationKey| changes.push((kind, key.expected.destination_port().unwrap()));
            assert!(!self.own.follow(100, &mut note).unwrap());
            changes
        }

        fn ports(&self) -> BTreeSet<u16> {
            self.own.keys().filter_map(|key| key.expected.destination_port()).collect()
        }

        fn delete(&mut self, port: u16) {
            self.client.delete_expectation(KernelKey::from(&expectation(port))).unwrap();
        }
    }

    #[test]
    fn expectations_are_followed_by_events() {
        let mut fixture = Fixture::new("all", None);
        assert_eq!(fixture.ports(), BTreeSet::from([1]));
        fixture.client.create_expectation(&expectation(2)).unwrap();
        fixture.delete(1);
        assert_eq!(fixture.changes(), [(Kind::New, 2), (Kind::Delete, 1)]);
        let key = ExpectationKey::of(&expectation(2)).unwrap();
        assert_eq!(fixture.own.record(&key).unwrap().helper.unwrap().text(), Some("ftp"));
        assert_eq!(fixture.own.of_master(&key.master).collect::<Vec<_>>(), [key]);
        assert_eq!(fixture.own.of_master(&key.expected).count(), 0);
    }

    #[test]
    fn expectations_of_other_helpers_are_left_out() {
        let mut fixture = Fixture::new("sip,h323", None);
        fixture.client.create_expectation(&expectation(2)).unwrap();
        assert_eq!((fixture.changes(), fixture.ports()), (vec![], BTreeSet::new()));
        assert_eq!(Fixture::new("sip,ftp", None).ports(), BTreeSet::from([1]));
    }

    #[test]
    fn lost_events_are_made_up_for_by_a_dump() {
        let mut fixture = Fixture::new("all", None);
        fixture.client.create_expectation(&expectation(2)).unwrap();
        assert_eq!(fixture.changes(), [(Kind::New, 2)]);
        fixture.kernel.overrun();
        fixture.client.create_expectation(&expectation(3)).unwrap();
        fixture.delete(2);
        let mut changes = fixture.changes();
        changes.extend(fixture.changes());
        changes.sort();
        changes.dedup();
        assert_eq!((changes, fixture.ports()), (vec![(Kind::New, 3), (Kind::Delete, 2)], BTreeSet::from([1, 3])));
    }

    /// The SIP helper sends no event for it.
    #[test]
    fn dump_finds_a_renewed_expectation() {
        let now = Instant::now();
        let entry = |timeout: u32, class: u32, later: u64| {
            let mut expectation = expectation(1);
            (expectation.timeout, expectation.class) = (Some(timeout), Some(class));
            Entry::new(expectation, now + Duration::from_secs(later))
        };
        let old = entry(300, 0, 0);
        assert!(!entry(240, 0, 60).differs_from(&old));
        assert!(!entry(241, 0, 60).differs_from(&old));
        assert!(entry(300, 0, 60).differs_from(&old));
        assert!(entry(240, 1, 60).differs_from(&old));
        assert_eq!(old.record(now + Duration::from_secs(100)).unwrap().timeout, Some(200));
    }

    #[test]
    fn dumps_follow_each_other_in_the_given_period() {
        let period = Duration::from_secs(60);
        let fixture = Fixture::new("all", Some(period));
        let left = fixture.own.next_deadline().unwrap() - Instant::now();
        assert!(left <= period && left > period / 2, "{left:?}");
        assert_eq!(Fixture::new("all", None).own.next_deadline(), None);
    }
}
