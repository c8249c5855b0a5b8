//! Requests with faults at random points: every request gets its own answer, and no report claims more than was done.

use std::collections::BTreeMap;

use ctnetlink::{
    BatchOutcome, Client, Errno, Error, Filter, FlowKey, FlowUpdate,
    fake::{FakeKernel, Fault},
    request::{DeleteFlow, UpdateFlow},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{tuple, udp};

/// So few flows that requests meet flows that exist, and others that do not.
const FLOWS: u16 = 8;
/// A fault occurs after at most this number of other requests.
const FARTHEST: usize = 6;

#[derive(Clone, Debug)]
enum Request {
    Create(u16),
    Update(u16, u32),
    Delete(u16),
    Get(u16),
    /// A dump that is abandoned after that many flows.
    Dump(Option<usize>),
    DumpMarked(u32),
    DeleteMarked(u32),
    UpdateMarked(u32, u32),
    Statistics,
    Batch(Vec<Operation>),
}

/// An operation of a batch.
#[derive(Clone, Debug)]
enum Operation {
    Create(u16),
    Update(u16, u32),
    Delete(u16),
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => (1..=FLOWS).prop_map(Operation::Create),
        2 => (1..=FLOWS, 0..3_u32).prop_map(|(port, mark)| Operation::Update(port, mark)),
        1 => (1..=FLOWS).prop_map(Operation::Delete),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let port = || 1..=FLOWS;
    let mark = || 0..3_u32;
    prop_oneof![
        4 => port().prop_map(Request::Create),
        2 => (port(), mark()).prop_map(|(port, mark)| Request::Update(port, mark)),
        1 => port().prop_map(Request::Delete),
        3 => port().prop_map(Request::Get),
        3 => option::of(0..4_usize).prop_map(Request::Dump),
        1 => mark().prop_map(Request::DumpMarked),
        1 => mark().prop_map(Request::DeleteMarked),
        1 => (mark(), mark()).prop_map(|(old, new)| Request::UpdateMarked(old, new)),
        1 => Just(Request::Statistics),
        4 => vec(operations(), 0..12).prop_map(Request::Batch),
    ]
}

/// Faults and the requests before them. If a refusal with EPERM is the only answer to a batch, the client takes the whole
/// batch for refused, as Linux does without permission. So no story has both such refusals and missing answers.
fn faults(has_denials: bool) -> impl Strategy<Value = (usize, Fault)> {
    let mut errnos = vec![Errno::EBUSY, Errno::ENOMEM, Errno::ENOENT, Errno::EINTR];
    errnos.extend(has_denials.then_some(Errno::EPERM));
    let lost = if has_denials { Fault::LoseReply } else { Fault::NoReply };
    let fault = prop_oneof![
        3 => select(errnos).prop_map(Fault::Refuse),
        2 => Just(Fault::LoseReply),
        2 => Just(lost),
        1 => select(vec![Errno::ENOBUFS, Errno::EPERM]).prop_map(Fault::SendFails),
        1 => (0..4_usize).prop_map(|after| Fault::EndDump { after, errno: Errno::EBUSY }),
    ];
    (0..=FARTHEST, fault)
}

/// Requests, each with faults that are injected before it.
fn stories() -> impl Strategy<Value = Vec<(Vec<(usize, Fault)>, Request)>> {
    any::<bool>().prop_flat_map(|has_denials| vec((vec(faults(has_denials), 0..3), requests()), 0..24))
}

/// The marks of the flows, by source port.
type Marks = BTreeMap<u16, u32>;

fn marks(kernel: &FakeKernel) -> Marks {
    kernel.flows().iter().map(|flow| (flow.original.source_port().unwrap(), flow.mark.unwrap())).collect()
}

fn key(port: u16) -> FlowKey {
    FlowKey::original(tuple(port))
}

fn marked(mark: u32) -> Filter {
    Filter::mark(mark)
}

struct World {
    kernel: FakeKernel,
    client: Client,
    /// The faults that were injected and have caused no failure yet.
    faults: usize,
}

impl World {
    fn new(receive_buffer: usize, entries: usize) -> Self {
        let kernel = FakeKernel::builder().receive_buffer(receive_buffer).entries_per_datagram(entries).build();
        let mut client = kernel.client();
        // A fault would make the client take a filter for one that the kernel does not know, or the reverse.
        client.capabilities().unwrap();
        Self { kernel, client, faults: 0 }
    }

    /// Notes a failure, which needs a fault.
    fn failed(&mut self, error: &Error) {
        assert!(self.faults > 0, "no fault was injected: {error}");
        self.faults -= 1;
    }

    /// Sends a request and compares its answer with the table before and after.
    fn take(&mut self, request: &Request) {
        let before = marks(&self.kernel);
        if let Err(error) = self.try_take(request, &before) {
            let is_single = matches!(request, Request::Create(_) | Request::Update(..) | Request::Delete(_));
            if is_single && error.kernel().is_some() {
                assert_eq!(self.after(), before, "{request:?} was refused: {error}");
            }
            self.failed(&error);
        }
    }

    fn after(&self) -> Marks {
        marks(&self.kernel)
    }

    fn try_take(&mut self, request: &Request, before: &Marks) -> Result<(), Error> {
        let mut expected = before.clone();
        match request {
            Request::Create(port) => match self.client.create(&udp(*port).mark(0)) {
                Err(error) if error.errno() == Some(Errno::EEXIST) => assert!(before.contains_key(port)),
                result => {
                    result?;
                    assert_eq!(expected.insert(*port, 0), None);
                }
            },
            Request::Update(port, mark) => match self.client.update(key(*port), &FlowUpdate::new().mark(*mark)) {
                Err(error) if error.is_not_found() && !before.contains_key(port) => {}
                result => {
                    result?;
                    assert!(expected.insert(*port, *mark).is_some());
                }
            },
            Request::Delete(port) => match self.client.delete(key(*port)) {
                Err(error) if error.is_not_found() && !before.contains_key(port) => {}
                result => {
                    result?;
                    assert!(expected.remove(port).is_some());
                }
            },
            Request::Get(port) => {
                let flow = self.client.get(key(*port))?;
                let found = flow.map(|flow| (flow.original, flow.mark));
                // A refusal with ENOENT means that there is no such flow.
                if found.is_none() && before.contains_key(port) {
                    self.faults = self.faults.checked_sub(1).expect("the flow exists");
                    return Ok(());
                }
                assert_eq!(found, before.get(port).map(|mark| (tuple(*port), Some(*mark))));
            }
            Request::Dump(most) => self.dump(*most, before)?,
            Request::DumpMarked(mark) => {
                let flows = self.client.dump_matching(&marked(*mark))?.collect::<Result<Vec<_>, _>>()?;
                let selected: Vec<_> = before.iter().filter(|(_, own)| *own == mark).map(|(port, _)| *port).collect();
                assert_eq!(super::ports(&flows), selected);
            }
            Request::DeleteMarked(mark) => return self.change_marked(*mark, None, before),
            Request::UpdateMarked(old, new) => return self.change_marked(*old, Some(*new), before),
            Request::Statistics => {
                assert_eq!(self.client.statistics()?.entries, Some(before.len() as u32));
            }
            Request::Batch(operations) => return self.batch(operations, before),
        }
        assert_eq!(self.after(), expected, "{request:?}");
        Ok(())
    }

    fn dump(&mut self, most: Option<usize>, before: &Marks) -> Result<(), Error> {
        let dump = self.client.dump()?.take(most.unwrap_or(usize::MAX));
        let flows = dump.collect::<Result<Vec<_>, _>>()?;
        let dumped: Marks =
            flows.iter().map(|flow| (flow.original.source_port().unwrap(), flow.mark.unwrap())).collect();
        assert_eq!(dumped.len(), flows.len());
        assert_eq!(dumped.len(), before.len().min(most.unwrap_or(usize::MAX)));
        assert!(dumped.iter().all(|flow| before.get(flow.0) == Some(flow.1)));
        Ok(())
    }

    /// Changes the mark of the flows with this mark, or deletes them.
    fn change_marked(&mut self, mark: u32, new: Option<u32>, before: &Marks) -> Result<(), Error> {
        let mut changed = Vec::new();
        let filter = marked(mark);
        let observer = |flow: ctnetlink::FlowRef<'_>| changed.extend(flow.original().source_port());
        let result = match new {
            None => self.client.delete_matching_with(&filter, observer),
            Some(new) => self.client.update_matching_with(&filter, &FlowUpdate::new().mark(new), observer),
        };
        let after = self.after();
        for port in &changed {
            assert_eq!(before.get(port), Some(&mark));
            assert_eq!(after.get(port), new.as_ref(), "reported as changed");
        }
        for (port, own) in before {
            assert!(*own == mark || after.get(port) == Some(own), "a flow that does not match was changed");
        }
        let (report, error) = match &result {
            Ok(report) => (Some(report), None),
            Err(error) => (error.bulk_report(), Some(error)),
        };
        if let Some(report) = report {
            assert_eq!(report.changed(), changed.len() as u64);
            let sum = report.changed() + report.vanished() + report.failed() + report.unanswered();
            assert!(sum == report.matched() || error.is_some() && sum <= report.matched(), "{report:?}");
            for (key, error) in report.failures() {
                let port = key.tuple.source_port().unwrap();
                assert_eq!(before.get(&port), after.get(&port), "reported as refused");
                self.failed(error);
            }
            // The kernel refused them with ENOENT.
            self.faults = self.faults.checked_sub(report.vanished() as usize).expect("nothing vanishes by itself");
        }
        result.map(drop)
    }

    fn batch(&mut self, operations: &[Operation], before: &Marks) -> Result<(), Error> {
        let mut batch = self.client.batch();
        let mut error = None;
        for operation in operations {
            let pushed = match operation {
                Operation::Create(port) => batch.push(&udp(*port).mark(0)),
                Operation::Update(port, mark) => {
                    batch.push(&UpdateFlow::new(key(*port), &FlowUpdate::new().mark(*mark)))
                }
                Operation::Delete(port) => batch.push(&DeleteFlow::new(key(*port))),
            };
            // Operations that were pushed before stay part of the batch, and so do those after it.
            error = error.or(pushed.err());
        }
        error = batch.send().err().or(error);
        let report = batch.finish().expect("nothing waits to be sent");
        assert_eq!(report.operations(), operations.len());
        self.check_outcomes(operations, report.outcomes(), before);
        error.map_or(Ok(()), Err)
    }

    /// Every table that the outcomes allow, and the one that the kernel has.
    fn check_outcomes<'a>(
        &mut self,
        operations: &[Operation],
        outcomes: impl Iterator<Item = BatchOutcome<'a>>,
        before: &Marks,
    ) {
        let mut possible = vec![before.clone()];
        for (operation, outcome) in operations.iter().zip(outcomes) {
            let mut next = Vec::new();
            for table in possible {
                let done = carried_out(operation, &table);
                match (outcome, done) {
                    (BatchOutcome::Done, Ok(done)) => next.push(done),
                    // It would have been refused, or another possibility is the right one.
                    (BatchOutcome::Done, Err(_)) => {}
                    (BatchOutcome::Refused(_), _) => next.push(table),
                    (_, done) => {
                        next.extend(done);
                        next.push(table);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            possible = next;
        }
        let after = self.after();
        assert!(possible.contains(&after), "{operations:?} led to {after:?}, but the report allows {possible:?}");
    }
}

/// The table after an operation, or the error number with which the kernel refuses it.
fn carried_out(operation: &Operation, table: &Marks) -> Result<Marks, Errno> {
    let mut table = table.clone();
    match operation {
        Operation::Create(port) if table.contains_key(port) => return Err(Errno::EEXIST),
        Operation::Create(port) => drop(table.insert(*port, 0)),
        Operation::Update(port, mark) => *table.get_mut(port).ok_or(Errno::ENOENT)? = *mark,
        Operation::Delete(port) => drop(table.remove(port).ok_or(Errno::ENOENT)?),
    }
    Ok(table)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn each_request_gets_its_own_answer_despite_faults(
        receive_buffer in select(vec![2048_usize, 4 * 2048, 212_992]),
        entries in 1..4_usize,
        story in stories(),
    ) {
        let mut world = World::new(receive_buffer, entries);
        for (faults, request) in &story {
            for (requests, fault) in faults {
                world.kernel.inject_after(*requests, *fault);
                world.faults += 1;
            }
            world.take(request);
        }
        // The rest of the faults.
        for _ in 0..=FARTHEST + world.faults {
            let _ = world.client.statistics();
        }
        world.faults = 0;
        for port in 1..=FLOWS {
            world.take(&Request::Get(port));
        }
        world.take(&Request::Dump(None));
        world.take(&Request::Statistics);
        world.take(&Request::Batch((1..=FLOWS).map(Operation::Delete).collect()));
        assert!(world.kernel.flows().is_empty());
    }
}
