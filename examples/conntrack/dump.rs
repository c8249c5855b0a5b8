//! Dumps of the selected flows, one after the other or two at the same time.

use std::{
    mem,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use ctnetlink::{Client, Filter, Flow, filter::KernelFilter, request::DumpFlows};

use crate::failure::{Failure, Outcome};

/// Flows that are passed between threads at a time.
const CHUNK: usize = 256;
/// Chunks that may wait: memory does not grow with the table.
const WAITING: usize = 8;

/// Calls `take` with each flow of a dump that the filter matches.
pub fn one(
    client: &mut Client,
    request: &DumpFlows,
    filter: &Filter,
    mut take: impl FnMut(Flow) -> Outcome,
) -> Outcome {
    let mut dump = client.dump_with(request)?;
    while let Some(flow) = dump.next_view()? {
        if filter.matches(&flow) {
            take(flow.to_flow())?;
        }
    }
    Ok(())
}

/// Calls `take` with each flow that the filter matches, of IPv4 before IPv6, using the dumps of the filter's plan.
///
/// For each dump the kernel walks the whole table, which is most of the work if few flows match. Two dumps therefore run
/// at the same time, on a socket each.
pub fn planned(client: &mut Client, filter: &Filter, mut take: impl FnMut(Flow) -> Outcome) -> Outcome {
    let dumps: Vec<KernelFilter> = filter.plan(&client.capabilities()?).dumps().to_vec();
    let [first, second] = *dumps.as_slice() else {
        return dumps.iter().try_for_each(|dump| one(client, &matching(*dump), filter, &mut take));
    };
    thread::scope(|scope| {
        let (sender, chunks) = sync_channel(WAITING);
        let ahead = scope.spawn(move || read_ahead(second, filter, &sender));
        // A failure drops the receiver, which ends the thread.
        one(client, &matching(first), filter, &mut take)?;
        chunks.into_iter().flatten().try_for_each(&mut take)?;
        ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn matching(filter: KernelFilter) -> DumpFlows {
    DumpFlows::new().matching(filter)
}

fn read_ahead(dump: KernelFilter, filter: &Filter, chunks: &SyncSender<Vec<Flow>>) -> Outcome {
    let send = |chunk| chunks.send(chunk).map_err(|_| Failure::Nothing);
    let mut chunk = Vec::with_capacity(CHUNK);
    one(&mut Client::open()?, &matching(dump), filter, |flow| {
        chunk.push(flow);
        if chunk.len() < CHUNK { Ok(()) } else { send(mem::replace(&mut chunk, Vec::with_capacity(CHUNK))) }
    })?;
    send(chunk)
}
