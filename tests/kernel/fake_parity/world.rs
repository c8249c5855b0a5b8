//! A kernel, fake or real, and what a step of a test does to it.

use std::{collections::BTreeSet, fmt::Debug, fs, thread, time::Duration};

use ctnetlink::{
    Client, CpuStatistics, Error, Event, EventGroups, EventSocket, Expectation, Family, Filter, Flow, FlowKey,
    FlowUpdate, Layer4, NewFlow, Status, Timestamp, Tuple,
    fake::{FakeKernel, FakeKernelBuilder},
    filter::Capabilities,
    request::{
        CreateExpectation, DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlushFlows, Table, UpdateFlow,
    },
    sysctl,
};

use crate::lab::Lab;

/// A kernel, its client and its events.
pub(super) struct World {
    pub(super) client: Client,
    events: EventSocket,
    /// The statistics before the first step.
    pub(super) before: [u32; 2],
}

pub(super) fn settings(lab: &Lab, extensions: bool) {
    if extensions {
        lab.allow_labels();
        lab.sysctl(sysctl::ACCOUNTING, 1);
        lab.sysctl(sysctl::TIMESTAMP, 1);
    }
}

/// A builder for a fake of the kernel that runs the tests.
pub(super) fn builder() -> FakeKernelBuilder {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap());
    FakeKernel::builder().linux(numbers.next().unwrap(), numbers.next().unwrap())
}

pub(super) fn fake(extensions: bool) -> World {
    let mut builder = builder();
    if extensions {
        builder = builder.labels(true).accounting(true).timestamps(true);
    }
    fake_world(&builder.build())
}

pub(super) fn fake_world(kernel: &FakeKernel) -> World {
    let events = kernel.event_socket(EventGroups::FLOWS | EventGroups::EXPECTATIONS);
    World { client: kernel.client(), events, before: [0; 2] }
}

pub(super) fn real(lab: &Lab) -> World {
    let builder = EventSocket::builder(EventGroups::FLOWS | EventGroups::EXPECTATIONS);
    World { client: lab.client(), events: builder.receive_buffer(4 << 20).open().unwrap(), before: [0; 2] }
}

/// The results of a step.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    answer: Vec<String>,
    events: BTreeSet<String>,
    table: BTreeSet<String>,
    expectations: BTreeSet<String>,
}

/// The lines that only one of the two contains.
pub(super) fn difference(fake: &Seen, kernel: &Seen) -> String {
    let lines = |Seen { answer, events, table, expectations }: &Seen| -> BTreeSet<String> {
        let answer = answer.iter().map(|line| format!("answer {line}"));
        let events = events.iter().map(|line| format!("event {line}"));
        let table = table.iter().map(|line| format!("flow {line}"));
        answer.chain(events).chain(table).chain(expectations.iter().cloned()).collect()
    };
    let (fake, kernel) = (lines(fake), lines(kernel));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>().join("\n");
    format!("only the fake:\n{}\nonly the kernel:\n{}", only(&fake, &kernel), only(&kernel, &fake))
}

pub(super) fn text(value: impl Debug) -> String {
    format!("{value:?}")
}

pub(super) fn refusal(error: &Error) -> String {
    let details = error.kernel().map(|error| (error.errno(), error.text(), error.attribute()));
    format!("{:?} {details:?}", error.kind())
}

/// The timeout that the flow was given. The real clock advances while the test runs.
pub(super) fn settled(seconds: u32) -> u32 {
    const GIVEN: [u32; 9] = [30, 100, 180, 300, 600, 1000, 5000, 432_000, 8_589_934];
    GIVEN.into_iter().find(|given| (given.saturating_sub(60)..=*given).contains(&seconds)).unwrap_or(seconds)
}

/// Removes values that depend on the time or on addresses in the kernel's memory.
pub(super) fn compared(mut flow: Flow) -> Flow {
    flow.id = None;
    flow.timeout = flow.timeout.map(settled);
    if let Some(times) = &mut flow.times {
        times.start = times.start.map(|_| Timestamp(1));
        times.stop = times.stop.map(|_| Timestamp(2));
    }
    flow.event_time = flow.event_time.map(|_| Timestamp(3));
    if flow.status.is_some_and(|status| status.intersects(Status::SRC_NAT | Status::DST_NAT)) {
        forget_random_ports(&mut flow.reply.layer4);
    }
    flow
}

/// Replaces random ports by the lowest port of the range that the kernel chooses from.
pub(super) fn forget_random_ports(layer4: &mut Layer4) {
    let Layer4::Ports { source, destination } = layer4 else { return };
    for port in [source, destination] {
        *port = match *port {
            1000 | 2000 | 3000 => *port,
            0..512 => 1,
            512..1024 => 600,
            1024.. => 1024,
        };
    }
}

pub(super) fn compared_expectation(mut expectation: Expectation) -> Expectation {
    expectation.id = None;
    expectation.timeout = expectation.timeout.map(settled);
    expectation
}

impl World {
    pub(super) fn take(&mut self, step: &Step) -> Seen {
        let answer = self.carry_out(step).unwrap_or_else(|error| vec![refusal(&error)]);
        Seen { answer, events: self.events(), table: self.table(), expectations: self.expectations() }
    }

    pub(super) fn events(&mut self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut add = |text: String| {
            // The same event twice would be lost in a set.
            let count = (0..).find(|count| !seen.contains(&format!("{count} {text}"))).unwrap();
            seen.insert(format!("{count} {text}"));
        };
        while let Some(event) = self.events.try_next().unwrap() {
            let kind = event.kind();
            match event {
                Event::New(event) | Event::Update(event) | Event::Destroy(event) => {
                    let flow = compared(event.flow);
                    add(format!("{kind:?} by request {} {flow:?}", event.port_id.is_some()));
                }
                Event::ExpectationNew(event) | Event::ExpectationDestroy(event) => {
                    let expectation = compared_expectation(event.expectation);
                    add(format!("{kind:?} by request {} {expectation:?}", event.port_id.is_some()));
                }
                other => add(text(other)),
            }
        }
        seen
    }

    /// How many flows were inserted, and how many could not be.
    pub(super) fn counts(&mut self) -> [u32; 2] {
        let processors = self.client.cpu_statistics().unwrap();
        let sum = |count: fn(&CpuStatistics) -> Option<u32>| processors.iter().filter_map(count).sum();
        [sum(|cpu| cpu.insert), sum(|cpu| cpu.insert_failed)]
    }

    /// How many flows there are. A deleted flow is counted until its last reference is gone, and a reader of
    /// `/proc/net/nf_conntrack` in any namespace holds one for a moment (`ct_seq_show` takes it before it compares the
    /// namespace).
    pub(super) fn settled_entries(&mut self) -> Result<Option<u32>, Error> {
        for _ in 0..20 {
            let entries = self.client.statistics()?.entries;
            if entries.is_none_or(|entries| entries as usize <= self.flows().len()) {
                return Ok(entries);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(self.client.statistics()?.entries)
    }

    pub(super) fn flows(&mut self) -> Vec<Flow> {
        self.client.dump().unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(super) fn table(&mut self) -> BTreeSet<String> {
        self.flows().into_iter().map(|flow| text(compared(flow))).collect()
    }

    pub(super) fn expectations(&mut self) -> BTreeSet<String> {
        let dump = self.client.dump_expectations(&DumpExpectations::all()).unwrap();
        dump.map(|expectation| text(compared_expectation(expectation.unwrap()))).collect()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(NewFlow),
    Update(Key, FlowUpdate),
    Get(Key),
    GetAndZero(Key),
    Delete(Key),
    DumpMatching(&'static str),
    DumpTable(Table, Family, bool),
    DeleteMatching(&'static str),
    FlushFamily(Family),
    Batch(Vec<Self>),
    CreateExpectation(Expectation),
    GetExpectation(ExpectationKey, Id),
    DeleteExpectation(ExpectationKey, Id),
    ExpectationsOf(Tuple, Option<u16>),
    DeleteExpectationsOf(&'static str),
    FlushExpectations,
    Statistics,
}

/// A key with an identifier, which differs between the two kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) FlowKey, pub(super) Id);

#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    None,
    Right,
    Wrong,
}

impl Id {
    pub(super) fn of(self, found: Option<u32>) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Right => found.or(Some(1)),
            Self::Wrong => Some(found.unwrap_or(1) ^ 1),
        }
    }
}

impl World {
    pub(super) fn carry_out(&mut self, step: &Step) -> Result<Vec<String>, Error> {
        let client = &mut self.client;
        match step {
            Step::Create(flow) => client.create(flow)?,
            Step::Update(key, update) => {
                let key = self.key(key);
                self.client.update(key, update)?;
            }
            Step::Get(Key(key, _)) => return Ok(vec![text(client.get(*key)?.map(compared))]),
            Step::GetAndZero(Key(key, _)) => {
                return Ok(vec![text(client.get_and_zero_counters(*key)?.map(compared))]);
            }
            Step::Delete(key) => {
                let key = self.key(key);
                self.client.delete(key)?;
            }
            Step::DumpMatching(filter) => return self.dump_matching(filter),
            Step::DumpTable(table, family, zero_counters) => {
                let mut request = DumpFlows::new().of_family(*family).of_table(*table);
                if *zero_counters {
                    request = request.and_zero_counters();
                }
                let flows = client.dump_with(&request)?;
                return sorted(flows.map(|flow| flow.map(compared)));
            }
            Step::DeleteMatching(filter) => {
                let report = client.delete_matching(&filter.parse().unwrap())?;
                return Ok(vec![format!("{} deleted, {} vanished", report.changed(), report.vanished())]);
            }
            Step::FlushFamily(family) => client.execute(&FlushFlows::of_family(*family))?,
            Step::Batch(steps) => return self.batch(steps),
            Step::CreateExpectation(expectation) => client.create_expectation(expectation)?,
            Step::GetExpectation(key, id) => {
                let key = self.expectation_key(*key, *id);
                return Ok(vec![text(self.client.get_expectation(key)?.map(compared_expectation))]);
            }
            Step::DeleteExpectation(key, id) => {
                let key = self.expectation_key(*key, *id);
                self.client.delete_expectation(key)?;
            }
            Step::ExpectationsOf(master, zone) => {
                let mut request = DumpExpectations::of_master(*master);
                if let Some(zone) = zone {
                    request = request.in_zone(*zone);
                }
                let expectations = client.dump_expectations(&request)?;
                return sorted(expectations.map(|found| found.map(compared_expectation)));
            }
            Step::DeleteExpectationsOf(helper) => client.delete_expectations_of(helper)?,
            Step::FlushExpectations => client.delete_all_expectations()?,
            Step::Statistics => {
                let entries = self.settled_entries()?;
                let ([inserted, failed], [inserted_before, failed_before]) = (self.counts(), self.before);
                return Ok(vec![text((entries, inserted - inserted_before, failed - failed_before))]);
            }
        }
        Ok(Vec::new())
    }

    /// Completes a key with the identifier of its flow.
    pub(super) fn key(&mut self, Key(key, id): &Key) -> FlowKey {
        let found = match id {
            Id::None => None,
            _ => self.client.get(*key).ok().flatten().and_then(|flow| flow.id),
        };
        let mut key = *key;
        key.id = id.of(found);
        key
    }

    pub(super) fn expectation_key(&mut self, key: ExpectationKey, id: Id) -> ExpectationKey {
        let found = match id {
            Id::None => None,
            _ => self.client.get_expectation(key).ok().flatten().and_then(|found| found.id),
        };
        match id.of(found) {
            Some(id) => key.with_id(id),
            None => key,
        }
    }

    pub(super) fn dump_matching(&mut self, filter: &str) -> Result<Vec<String>, Error> {
        let filter: Filter = filter.parse().unwrap();
        let mut flows = Vec::new();
        for filter in filter.plan(&Capabilities::linux(6, 18)).dumps() {
            let dump = self.client.dump_with(&DumpFlows::new().matching(*filter))?;
            flows.extend(sorted(dump.map(|flow| flow.map(compared)))?);
        }
        flows.sort_unstable();
        Ok(flows)
    }

    pub(super) fn batch(&mut self, steps: &[Step]) -> Result<Vec<String>, Error> {
        let mut batch = self.client.batch();
        for step in steps {
            let pushed = match step {
                Step::Create(flow) => batch.push(flow),
                Step::CreateExpectation(expectation) => batch.push(&CreateExpectation::new(expectation)),
                Step::Update(Key(key, _), update) => batch.push(&UpdateFlow::new(*key, update)),
                Step::Delete(Key(key, _)) => batch.push(&DeleteFlow::new(*key)),
                _ => Ok(()),
            };
            // Encoding fails the same way for both.
            pushed.unwrap_or_default();
        }
        let report = batch.finish()?;
        Ok(report
            .failures()
            .iter()
            .map(|(place, error)| format!("{place} {} {:?}", error.errno(), error.text()))
            .collect())
    }
}

pub(super) fn sorted<T: Debug>(items: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<String>, Error> {
    let mut items = items.map(|item| Ok(text(item?))).collect::<Result<Vec<_>, Error>>()?;
    items.sort_unstable();
    Ok(items)
}
