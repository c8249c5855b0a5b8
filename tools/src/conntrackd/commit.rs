//! The flows and expectations of the peer become those of this kernel.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use ctnetlink::{
    Batch, Client, Errno, Error, Expectation, FlowKey, NewFlow, Tuple,
    request::{self, CreateExpectation, DeleteExpectation, DeleteFlow},
};

use super::{
    convert::Key,
    expectation::{ExpectationKey, Subject},
    external::External,
};

/// Entries that are created before waiting events are looked at.
const BATCH: usize = 1000;
/// Failures that a report names.
const NAMED: usize = 20;

/// The flows and expectations to create.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    flows: Vec<NewFlow>,
    expectations: Vec<Expectation>,
}

impl Candidates {
    /// Takes those of the peer that have not ended.
    pub(super) fn new(external: &External, now: Duration) -> Self {
        let flows = external.flows().iter().filter_map(|(_, record, at)| record.to_new_flow(now.saturating_sub(at)));
        let expectations = external.expectations().iter().filter_map(|(_, record, at)| {
            let has_ended = record.has_ended(now.saturating_sub(at));
            record.to_expectation().filter(|_| !has_ended)
        });
        Self { flows: flows.collect(), expectations: expectations.collect() }
    }

    /// Returns the keys by which the peers know them.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject> {
        let flows = self.flows.iter().map(|flow| Key { tuple: flow.original, zone: flow.zone.unwrap_or(0) }.into());
        flows.chain(self.expectations.iter().filter_map(ExpectationKey::of).map(Subject::from))
    }
}

/// An entry of the kernel's tables to create.
trait Entry {
    fn push_create(&self, batch: &mut Batch<'_>) -> Result<(), Error>;
    fn push_delete(&self, batch: &mut Batch<'_>) -> Result<(), Error>;
    fn tuple(&self) -> &Tuple;
}

impl Entry for NewFlow {
    fn push_create(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        batch.push(self)
    }

    fn push_delete(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        let key = FlowKey::original(self.original);
        batch.push(&DeleteFlow::new(self.zone.map_or(key, |zone| key.in_zone(zone))))
    }

    fn tuple(&self) -> &Tuple {
        &self.original
    }
}

impl Entry for Expectation {
    fn push_create(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        batch.push(&CreateExpectation::new(self))
    }

    fn push_delete(&self, batch: &mut Batch<'_>) -> Result<(), Error> {
        batch.push(&DeleteExpectation(request::ExpectationKey::new(self.tuple)))
    }

    fn tuple(&self) -> &Tuple {
        &self.tuple
    }
}

/// The result of a commit.
#[derive(Debug)]
pub(super) struct CommitReport {
    flows: Outcome,
    expectations: Outcome,
}

impl fmt::Display for CommitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flows.fmt(f)?;
        if self.expectations.is_empty() { Ok(()) } else { self.expectations.fmt(f) }
    }
}

/// The result for one kind of entries.
#[derive(Debug)]
struct Outcome {
    /// One entry, for messages.
    name: &'static str,
    created: usize,
    replaced: usize,
    failed: usize,
    failures: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, created, replaced, failed, failures } = self;
        let plural = |count| if count == 1 { "" } else { "s" };
        let committed = created + replaced;
        write!(f, "committed {committed} {name}{}", plural(committed))?;
        if *replaced > 0 {
            write!(f, ", {replaced} of them in place of others")?;
        }
        f.write_char('\n')?;
        failures.iter().try_for_each(|failure| writeln!(f, "not committed: {failure}"))?;
        match failed - failures.len() {
            0 => Ok(()),
            more => writeln!(f, "not committed: {more} more {name}{}", plural(more)),
        }
    }
}

/// Creates flows, masters before the flows that are related to them, and then expectations. What is in the way is replaced.
///
/// `between` is called between batches.
pub(super) fn commit(
    client: &mut Client,
    candidates: Candidates,
    mut between: impl FnMut(),
) -> Result<CommitReport, Error> {
    let Candidates { mut flows, expectations } = candidates;
    flows.sort_by_key(|flow| flow.master.is_some());
    let (masters, related) = flows.split_at(flows.partition_point(|flow| flow.master.is_none()));
    let mut report = CommitReport { flows: Outcome::new("flow"), expectations: Outcome::new("expectation") };
    report.flows.commit(client, masters, &mut between)?;
    report.flows.commit(client, related, &mut between)?;
    report.expectations.commit(client, &expectations, &mut between)?;
    Ok(report)
}

impl Outcome {
    const fn new(name: &'static str) -> Self {
        Self { name, created: 0, replaced: 0, failed: 0, failures: Vec::new() }
    }

    const fn is_empty(&self) -> bool {
        self.created + self.replaced + self.failed == 0
    }

    fn commit<E: Entry>(
        &mut self,
        client: &mut Client,
        entries: &[E],
        between: &mut impl FnMut(),
    ) -> Result<(), Error> {
        for batch in entries.chunks(BATCH) {
            let in_the_way = self.create(client, batch.iter(), &mut |outcome| outcome.created += 1)?;
            let mut deletes = client.batch();
            for entry in &in_the_way {
                entry.push_delete(&mut deletes)?;
            }
            // A flow that is not found has another tuple in common, and creating the flow fails again.
            deletes.finish()?;
            let refused = self.create(client, in_the_way.into_iter(), &mut |outcome| outcome.replaced += 1)?;
            for entry in refused {
                let reason = format!("another {} is in the way", self.name);
                self.fail(entry.tuple(), &reason);
            }
            between();
        }
        Ok(())
    }

    /// Creates entries. Returns those that exist already.
    fn create<'e, E: Entry>(
        &mut self,
        client: &mut Client,
        entries: impl Iterator<Item = &'e E>,
        succeed: &mut impl FnMut(&mut Self),
    ) -> Result<Vec<&'e E>, Error> {
        let entries: Vec<&E> = entries.collect();
        let mut batch = client.batch();
        for entry in &entries {
            entry.push_create(&mut batch)?;
        }
        let report = batch.finish()?;
        let mut failures = report.failures().iter().peekable();
        let mut in_the_way = Vec::new();
        for (place, entry) in entries.into_iter().enumerate() {
            match failures.next_if(|(failed, _)| *failed == place) {
                None => succeed(self),
                Some((_, error)) if error.errno() == Errno::EEXIST => in_the_way.push(entry),
                Some((_, error)) => self.fail(entry.tuple(), error),
            }
        }
        Ok(in_the_way)
    }

    fn fail(&mut self, tuple: &Tuple, error: &dyn fmt::Display) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push(format!("{} {tuple}: {error}", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctnetlink::fake::{FakeKernel, Fault};
    use ctnetlink::{Helper, TcpState};

    fn flow(port: u16) -> NewFlow {
        NewFlow::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into()).mark(port.into())
    }

    fn candidates(flows: Vec<NewFlow>) -> Candidates {
        Candidates { flows, ..Candidates::default() }
    }

    #[test]
    fn existing_flows_are_replaced_and_masters_come_first() {
        let kernel = FakeKernel::new();
        kernel.insert(&flow(1).mark(77)).unwrap();
        let mut related = flow(3);
        related.master = Some(flow(2).original);
        let mut batches = 0;
        let report =
            commit(&mut kernel.client(), candidates(vec![related, flow(1), flow(2)]), || batches += 1).unwrap();
        assert_eq!(report.to_string(), "committed 3 flows, 1 of them in place of others\n");
        let mut marks: Vec<_> = kernel.flows().iter().map(|flow| flow.mark).collect();
        marks.sort();
        assert_eq!((marks, batches), (vec![Some(1), Some(2), Some(3)], 2));
    }

    #[test]
    fn failures_are_named_with_their_flow() {
        let kernel = FakeKernel::new();
        kernel.inject(Fault::Refuse(Errno::ENOMEM));
        let report = commit(&mut kernel.client(), candidates(vec![flow(1), flow(2)]), || {}).unwrap().to_string();
        assert!(report.starts_with("committed 1 flow\nnot committed: flow udp 10.0.0.1:"), "{report}");
        let reversed = flow(1).original.inverted().unwrap();
        let clash = NewFlow::new(Tuple::udp(([10, 9, 9, 9], 1).into(), ([10, 0, 0, 2], 53).into()), reversed, 60);
        let report = commit(&mut kernel.client(), candidates(vec![flow(1), clash]), || {}).unwrap().to_string();
        assert!(report.contains("another flow is in the way"), "{report}");
    }

    #[test]
    fn expectations_follow_their_masters() {
        let tcp = |source: &str, destination: &str| Tuple::tcp(source.parse().unwrap(), destination.parse().unwrap());
        let mut master =
            NewFlow::tcp("10.0.0.1:9".parse().unwrap(), "10.0.0.2:21".parse().unwrap(), TcpState::ESTABLISHED);
        master.helper = Some(Helper::new("ftp"));
        let mask = tcp("255.255.255.255:0", "255.255.255.255:65535");
        let mut expectation = Expectation::new(master.original, tcp("10.0.0.1:0", "10.0.0.2:5000"), mask);
        expectation.helper = Some("ftp".into());
        let kernel = FakeKernel::new();
        for report in
            ["committed 1 flow\ncommitted 1 expectation\n", "committed 1 flow, 1 of them in place of others\n"]
        {
            let all = Candidates { flows: vec![master.clone()], expectations: vec![expectation.clone()] };
            let said = commit(&mut kernel.client(), all, || {}).unwrap().to_string();
            assert!(said.starts_with(report), "{said}");
            let dump = kernel.client().dump_expectations(&request::DumpExpectations::all()).unwrap().count();
            assert_eq!(dump, 1);
        }
        expectation.master = tcp("10.0.0.9:9", "10.0.0.2:21");
        let all = Candidates { flows: vec![], expectations: vec![expectation] };
        let report = commit(&mut kernel.client(), all, || {}).unwrap().to_string();
        assert!(report.contains("not committed: expectation tcp 10.0.0.1"), "{report}");
    }
}
