//! The flows of the peer become flows of this kernel.

use std::fmt::{self, Write as _};

use ctnetlink::{Client, Errno, Error, FlowKey, NewFlow, request::DeleteFlow};

use super::convert::Key;

/// Flows that are created before waiting events are looked at.
const BATCH: usize = 1000;
/// Failures that a report names.
const NAMED: usize = 20;

/// The result of a commit.
#[derive(Debug, Default)]
pub(super) struct CommitReport {
    created: usize,
    replaced: usize,
    failed: usize,
    failures: Vec<String>,
}

impl fmt::Display for CommitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = |count| if count == 1 { "flow" } else { "flows" };
        let Self { created, replaced, failed, failures } = self;
        write!(f, "committed {} {}", created + replaced, flows(created + replaced))?;
        if *replaced > 0 {
            write!(f, ", {replaced} of them in place of others")?;
        }
        f.write_char('\n')?;
        failures.iter().try_for_each(|failure| writeln!(f, "not committed: {failure}"))?;
        match failed - failures.len() {
            0 => Ok(()),
            more => writeln!(f, "not committed: {more} more {}", flows(more)),
        }
    }
}

/// Creates flows, masters before the flows that are related to them. Flows that are in the way are replaced.
///
/// `between` is called between batches.
pub(super) fn commit(
    client: &mut Client,
    mut flows: Vec<NewFlow>,
    mut between: impl FnMut(),
) -> Result<CommitReport, Error> {
    flows.sort_by_key(|flow| flow.master.is_some());
    let mut report = CommitReport::default();
    let masters = flows.partition_point(|flow| flow.master.is_none());
    let (masters, related) = flows.split_at(masters);
    for batch in masters.chunks(BATCH).chain(related.chunks(BATCH)) {
        let in_the_way = report.create(client, batch.iter(), &mut CommitReport::count_created)?;
        let mut deletes = client.batch();
        for flow in &in_the_way {
            deletes.push(&DeleteFlow::new(key(flow)))?;
        }
        // A flow that is not found has another tuple in common, and creating the flow fails again.
        deletes.finish()?;
        let refused = report.create(client, in_the_way.into_iter(), &mut |report| report.replaced += 1)?;
        for flow in refused {
            report.fail(flow, &"another flow has one of its tuples");
        }
        between();
    }
    Ok(report)
}

fn key(flow: &NewFlow) -> FlowKey {
    let key = FlowKey::original(flow.original);
    flow.zone.map_or(key, |zone| key.in_zone(zone))
}

/// Returns the key by which the peers know a flow to be created.
pub(super) fn key_of(flow: &NewFlow) -> Key {
    Key { tuple: flow.original, zone: flow.zone.unwrap_or(0) }
}

impl CommitReport {
    const fn count_created(&mut self) {
        self.created += 1;
    }

    /// Creates flows. Returns the flows that exist already.
    fn create<'f>(
        &mut self,
        client: &mut Client,
        flows: impl Iterator<Item = &'f NewFlow>,
        succeed: &mut impl FnMut(&mut Self),
    ) -> Result<Vec<&'f NewFlow>, Error> {
        let flows: Vec<&NewFlow> = flows.collect();
        let mut batch = client.batch();
        for flow in &flows {
            batch.push(*flow)?;
        }
        let report = batch.finish()?;
        let mut failures = report.failures().iter().peekable();
        let mut in_the_way = Vec::new();
        for (place, flow) in flows.into_iter().enumerate() {
            match failures.next_if(|(failed, _)| *failed == place) {
                None => succeed(self),
                Some((_, error)) if error.errno() == Errno::EEXIST => in_the_way.push(flow),
                Some((_, error)) => self.fail(flow, error),
            }
        }
        Ok(in_the_way)
    }

    fn fail(&mut self, flow: &NewFlow, error: &dyn fmt::Display) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push(format!("{}: {error}", flow.original));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctnetlink::Tuple;
    use ctnetlink::fake::{FakeKernel, Fault};

    fn flow(port: u16) -> NewFlow {
        NewFlow::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into()).mark(port.into())
    }

    #[test]
    fn existing_flows_are_replaced_and_masters_come_first() {
        let kernel = FakeKernel::new();
        kernel.insert(&flow(1).mark(77)).unwrap();
        let mut related = flow(3);
        related.master = Some(flow(2).original);
        let mut batches = 0;
        let report = commit(&mut kernel.client(), vec![related, flow(1), flow(2)], || batches += 1).unwrap();
        assert_eq!(report.to_string(), "committed 3 flows, 1 of them in place of others\n");
        let mut marks: Vec<_> = kernel.flows().iter().map(|flow| flow.mark).collect();
        marks.sort();
        assert_eq!((marks, batches), (vec![Some(1), Some(2), Some(3)], 2));
    }

    #[test]
    fn failures_are_named_with_their_flow() {
        let kernel = FakeKernel::new();
        kernel.inject(Fault::Refuse(Errno::ENOMEM));
        let report = commit(&mut kernel.client(), vec![flow(1), flow(2)], || {}).unwrap().to_string();
        assert!(report.starts_with("committed 1 flow\nnot committed: udp 10.0.0.1:"), "{report}");
        let reversed = flow(1).original.inverted().unwrap();
        let clash = NewFlow::new(Tuple::udp(([10, 9, 9, 9], 1).into(), ([10, 0, 0, 2], 53).into()), reversed, 60);
        let report = commit(&mut kernel.client(), vec![flow(1), clash], || {}).unwrap().to_string();
        assert!(report.contains("another flow has one of its tuples"), "{report}");
    }
}
