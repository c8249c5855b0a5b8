//! Commands on every flow that a filter matches: dump, delete, update.

use ctnetlink::{
    BatchOutcome, Client, Errno, Error, Flow, FlowKey, FlowUpdate, KernelError,
    request::{DeleteFlow, UpdateFlow},
};

use crate::{
    dump,
    failure::{Failure, Outcome},
    interrupt,
    progress::Progress,
    request,
    selection::{Route, Selection},
};

/// Flows in one batch of changes.
const CHUNK: usize = 1024;

/// Calls `take` with every flow of the selection, one at a time: memory does not grow with the table.
pub fn each(client: &mut Client, selection: &Selection, mut take: impl FnMut(Flow) -> Outcome) -> Outcome<u64> {
    let filter = &selection.filter;
    let mut count = 0;
    let mut counted = |flow| {
        count += 1;
        take(flow)
    };
    match selection.route {
        Route::Get(key) => {
            if let Some(flow) = client.get(key)?.filter(|flow| filter.matches(flow)) {
                counted(flow)?;
            }
        }
        Route::Planned => dump::planned(client, filter, counted)?,
        Route::Dump(request) => dump::one(client, &request, filter, counted)?,
    }
    Ok(count)
}

/// The result of changing many flows.
#[derive(Debug, Default)]
pub struct Changed {
    pub count: u64,
    /// The first refusal of the kernel. The others were tried all the same.
    refused: Option<KernelError>,
    /// The reason why the rest was not tried.
    stopped: Option<Failure>,
}

impl Changed {
    /// Whether there is a count to report. A command that failed at once has none.
    pub const fn has_count(&self) -> bool {
        self.count > 0 || matches!(self.stopped, None | Some(Failure::Interrupted(_)))
    }

    /// The count, or the reason why flows were left unchanged.
    pub fn into_result(self) -> Outcome<u64> {
        match (self.stopped, self.refused) {
            (Some(failure), _) => Err(failure),
            (None, Some(error)) => Err(Error::from(error).into()),
            (None, None) => Ok(self.count),
        }
    }
}

/// Deletes every flow of the selection, and calls `take` with each that was deleted.
pub fn delete(selection: &Selection, mut take: impl FnMut(&Flow) -> Outcome) -> Changed {
    let mut progress = Progress::beside_entries("flows deleted");
    change(selection, |client, flows, changed| {
        let mut batch = client.batch();
        for flow in flows {
            batch.push(&DeleteFlow::new(flow.into()))?;
        }
        let report = batch.finish()?;
        for (flow, outcome) in flows.iter().zip(report.outcomes()) {
            if changed.note(outcome) {
                take(flow)?;
            }
        }
        progress.show(changed.count);
        Ok(())
    })
}

/// Updates every flow of the selection that the update changes, and calls `take` with each updated flow.
pub fn update(selection: &Selection, update: &FlowUpdate, mut take: impl FnMut(&Flow) -> Outcome) -> Changed {
    let mut progress = Progress::beside_entries("flows updated");
    change(selection, |client, flows, changed| {
        let mut batch = client.batch();
        let flows: Vec<&Flow> = flows.iter().filter(|flow| request::changes(update, flow)).collect();
        for &flow in &flows {
            let status = flow.status.unwrap_or_default();
            batch.push(&UpdateFlow::new(flow.into(), update).with_current_status(status))?;
        }
        let report = batch.finish()?;
        for (flow, outcome) in flows.into_iter().zip(report.outcomes()) {
            if changed.note(outcome) {
                // A flow that has ended since then was updated all the same.
                take(&client.get(FlowKey::from(flow))?.unwrap_or_else(|| flow.clone()))?;
            }
        }
        progress.show(changed.count);
        Ok(())
    })
}

impl Changed {
    /// Counts an outcome, and returns whether the flow was changed. A flow that has ended is neither counted nor refused.
    fn note(&mut self, outcome: BatchOutcome<'_>) -> bool {
        match outcome {
            BatchOutcome::Done => self.count += 1,
            BatchOutcome::Refused(error) if error.errno() != Errno::ENOENT => {
                self.refused = self.refused.take().or_else(|| Some(error.clone()));
            }
            _ => {}
        }
        outcome == BatchOutcome::Done
    }
}

/// Calls `work` with the flows of the selection, many at a time.
///
/// The dump and the changes have a socket each, so that changes do not wait for the end of the dump.
fn change(selection: &Selection, mut work: impl FnMut(&mut Client, &[Flow], &mut Changed) -> Outcome) -> Changed {
    let mut changed = Changed::default();
    let mut run = || {
        let (mut dumper, mut worker) = (Client::open()?, Client::open()?);
        let mut flows = Vec::with_capacity(CHUNK);
        each(&mut dumper, selection, |flow| {
            flows.push(flow);
            if flows.len() == CHUNK {
                interrupt::check()?;
                work(&mut worker, &flows, &mut changed)?;
                flows.clear();
            }
            Ok(())
        })?;
        interrupt::check()?;
        work(&mut worker, &flows, &mut changed)
    };
    let stopped = run().err();
    Changed { stopped, ..changed }
}
