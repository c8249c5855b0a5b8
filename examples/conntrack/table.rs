//! The kernel's table by filter: everything that dumps, deletes or updates more than one flow.

use ctnetlink::{
    Client, Errno, Error, Filter, Flow, FlowKey, KernelError, exchange,
    request::{DeleteFlow, FlowUpdate, UpdateFlow},
};

use crate::{failure::Outcome, progress::Progress, selection::Selection};

/// How many flows are changed at a time.
const CHUNK: usize = 1024;

/// Hands every flow of the selection on, one at a time: memory does not grow with the table.
pub fn each(client: &mut Client, selection: &Selection, mut take: impl FnMut(Flow) -> Outcome) -> Outcome<u64> {
    let filter = &selection.filter;
    if let Some(key) = selection.key {
        let flow = client.get(key)?.filter(|flow| filter.matches(flow));
        return flow.map_or(Ok(0), |flow| take(flow).map(|()| 1));
    }
    let mut count = 0;
    let mut counted = |flow| {
        count += 1;
        take(flow)
    };
    match selection.dump {
        None if is_one_dump(client, filter)? => {
            for flow in client.dump_matching(filter)? {
                counted(flow?)?;
            }
        }
        request => {
            let mut dump = client.dump_with(&request.unwrap_or_default())?;
            while let Some(flow) = dump.next() {
                let flow = flow?;
                if filter.matches(&flow) {
                    counted(flow.to_flow())?;
                }
            }
        }
    }
    Ok(count)
}

/// Whether the kernel can narrow it in one dump. Of two, one for each family, the order would not be the table's.
fn is_one_dump(client: &mut Client, filter: &Filter) -> Outcome<bool> {
    Ok(!filter.is_everything() && filter.plan(&client.capabilities()?).dumps().len() == 1)
}

/// What became of many flows: how many were changed, and the first that the kernel refused to change.
#[derive(Debug, Default)]
pub struct Changed {
    pub count: u64,
    pub refused: Option<KernelError>,
}

impl Changed {
    /// What the kernel refused, as an error.
    pub fn into_result(self) -> Outcome<u64> {
        match self.refused {
            Some(error) => Err(Error::from(error).into()),
            None => Ok(self.count),
        }
    }
}

/// Deletes every flow of the selection, and hands on those that were.
pub fn delete(selection: &Selection, mut take: impl FnMut(&Flow) -> Outcome) -> Outcome<Changed> {
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

/// Changes every flow of the selection, and hands on what they are then.
pub fn update(selection: &Selection, update: &FlowUpdate, mut take: impl FnMut(&Flow) -> Outcome) -> Outcome<Changed> {
    let mut progress = Progress::beside_entries("flows updated");
    change(selection, |client, flows, changed| {
        let mut batch = client.batch();
        for flow in flows {
            let status = flow.status.unwrap_or_default();
            batch.push(&UpdateFlow::new(flow.into(), update).with_current_status(status))?;
        }
        let report = batch.finish()?;
        for (flow, outcome) in flows.iter().zip(report.outcomes()) {
            if changed.note(outcome) {
                // One that has ended meanwhile was updated all the same.
                take(&client.get(FlowKey::from(flow))?.unwrap_or_else(|| flow.clone()))?;
            }
        }
        progress.show(changed.count);
        Ok(())
    })
}

impl Changed {
    /// Whether the flow was changed. That it has ended meanwhile is no refusal.
    fn note(&mut self, outcome: exchange::Outcome<'_>) -> bool {
        match outcome {
            exchange::Outcome::Done => self.count += 1,
            exchange::Outcome::Refused(error) if error.errno() != Errno::ENOENT => {
                self.refused = self.refused.take().or_else(|| Some(error.clone()));
            }
            _ => {}
        }
        outcome == exchange::Outcome::Done
    }
}

/// Dumps on one socket, and changes on another, so that neither waits for the end of the table.
fn change(
    selection: &Selection,
    mut work: impl FnMut(&mut Client, &[Flow], &mut Changed) -> Outcome,
) -> Outcome<Changed> {
    let (mut dumper, mut worker) = (Client::open()?, Client::open()?);
    let (mut flows, mut changed) = (Vec::with_capacity(CHUNK), Changed::default());
    each(&mut dumper, selection, |flow| {
        flows.push(flow);
        if flows.len() == CHUNK {
            work(&mut worker, &flows, &mut changed)?;
            flows.clear();
        }
        Ok(())
    })?;
    work(&mut worker, &flows, &mut changed)?;
    Ok(changed)
}
