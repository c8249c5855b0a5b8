//! Changing and deleting the flows that a filter matches.

use super::{
    BulkReport, Client, Dump, Stop, StopHandle,
    bulk_report::ended_early,
    dump::DumpStep,
    flows::{Finder, directed, not_found, refuse_empty},
    kept::KeptFlows,
};
use crate::{
    error::{Error, ErrorKind, Operation},
    exchange::{BatchOutcome, Connection, PendingBatch, complete},
    filter::Filter,
    model::{FlowKey, FlowRef},
    request::{Aimed, Command, DeleteFlow, FlowUpdate, FlushFlows, UpdateFlow, zone_of},
};

impl Client {
    /// Changes every flow that a filter matches. Memory does not grow with the table.
    ///
    /// The kernel's dump may report a flow twice while the table changes; the flow is then changed, and counted, twice.
    /// The kernel compares no identifier in an update: if a flow ends after the dump reported it and another takes over
    /// its tuple before its turn comes, the other one is changed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ctnetlink::{FlowUpdate, Client};
    ///
    /// let mut client = Client::open()?;
    /// let report = client.update_matching(&"proto tcp and dport 993".parse()?, &FlowUpdate::new().mark(10))?;
    /// println!("{}", report.display_as("marked")); // marked 3 flows
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the dump or the socket fails; the error contains the report on the changes before it. If the kernel refuses
    /// a single flow, the report says so.
    pub fn update_matching(&mut self, filter: &Filter, update: &FlowUpdate) -> Result<BulkReport, Error> {
        complete(self.change_matching(filter, BulkChange::Update(update), NO_OBSERVER))
    }

    /// Changes every flow that a filter matches, and calls `changed` with each flow that was changed, as it was before.
    ///
    /// # Errors
    ///
    /// As for [`update_matching`](Self::update_matching).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{Filter, FlowUpdate};
    ///
    /// let unmarked: Filter = "dport 993 and mark 0".parse()?;
    /// let report = client.update_matching_with(&unmarked, &FlowUpdate::new().mark(10), |flow| println!("{flow}"))?;
    /// println!("{report}"); // updated 3 flows
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn update_matching_with(
        &mut self,
        filter: &Filter,
        update: &FlowUpdate,
        mut changed: impl FnMut(FlowRef<'_>),
    ) -> Result<BulkReport, Error> {
        complete(self.change_matching(filter, BulkChange::Update(update), Some(&mut changed)))
    }

    /// Deletes every flow that a filter matches, each by its tuple, zone and identifier. Memory does not grow with the
    /// table.
    ///
    /// A filter without a term on zones matches flows in all zones.
    ///
    /// # Errors
    ///
    /// Refuses a filter that [is everything](Filter::is_everything) with
    /// [`ErrorKind::MatchesEverything`]: [`delete_all`](Self::delete_all) empties the table. A filter whose terms all
    /// flows happen to satisfy is accepted. Otherwise as for [`update_matching`](Self::update_matching).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let report = client.delete_matching(&"src 192.0.2.7 and not assured".parse()?)?;
    /// println!("{report}"); // deleted 3 flows
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_matching(&mut self, filter: &Filter) -> Result<BulkReport, Error> {
        complete(self.change_matching(filter, BulkChange::Delete, NO_OBSERVER))
    }

    /// Deletes every flow that a filter matches, and calls `deleted` with each flow that was deleted.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// # let stale: ctnetlink::Filter = "not assured".parse()?;
    /// client.delete_matching_with(&stale, |flow| println!("deleted {flow}"))?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`delete_matching`](Self::delete_matching).
    pub fn delete_matching_with(
        &mut self,
        filter: &Filter,
        mut deleted: impl FnMut(FlowRef<'_>),
    ) -> Result<BulkReport, Error> {
        complete(self.change_matching(filter, BulkChange::Delete, Some(&mut deleted)))
    }

    /// Deletes every flow that a filter matches, without a count if the kernel can do it alone, which is faster.
    ///
    /// A kernel can delete by family (Linux 5.2), by bits of mark and status (5.15), by zone (6.8), and by protocol and
    /// single addresses and ports (6.12). If it was probed to support everything that the filter compares, it deletes the
    /// flows itself and reports no number: the result is `None`. Any other filter, such as one of ranges or prefixes, is
    /// carried out as by [`delete_matching`](Self::delete_matching), and the result is its report.
    /// [`Plan::flush`](crate::filter::Plan::flush) shows in advance which it will be.
    ///
    /// # Errors
    ///
    /// As for [`delete_matching`](Self::delete_matching). A filter of both families takes two requests: if the kernel
    /// refuses the second, it has done the first.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// match client.delete_matching_uncounted(&"zone 7".parse()?)? {
    ///     Some(report) => println!("{report}"),
    ///     None => println!("the kernel deleted them"),
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_matching_uncounted(&mut self, filter: &Filter) -> Result<Option<BulkReport>, Error> {
        complete(self.delete_matching_uncounted_async(filter))
    }

    pub(crate) async fn delete_matching_uncounted_async(
        &mut self,
        filter: &Filter,
    ) -> Result<Option<BulkReport>, Error> {
        refuse_everything(filter)?;
        let capabilities = self.capabilities_for(Operation::FlushFlows).await?;
        let plan = filter.plan(&capabilities);
        let Some(flushes) = plan.flush().filter(|_| !self.stop.is_stopped()) else {
            return self.change_matching(filter, BulkChange::Delete, NO_OBSERVER).await.map(Some);
        };
        for flush in flushes {
            self.execute_async(&FlushFlows::matching(*flush)).await?;
        }
        Ok(None)
    }

    /// Returns a handle that ends changes by a filter, from an observer, another thread or a signal handler.
    ///
    /// A change that is under way reads no more of the table once it is stopped. The flows that it has already selected,
    /// at most a datagram of about a hundred, are still changed, so the counts of its report are exact, and
    /// [`BulkReport::is_stopped`] is true. Every later change by a filter ends before its first flow. Other requests are
    /// not affected: each ends with an answer or with the client's time-out.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let stop = client.stop_handle()?;
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(std::time::Duration::from_secs(1)); // or wait for Ctrl-C
    ///     stop.stop();
    /// });
    /// let report = client.delete_matching(&"not assured".parse()?)?;
    /// println!("{report}"); // deleted 70312 flows, stopped early
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.stop.handle()
    }

    pub(crate) async fn change_matching<O: FnMut(FlowRef<'_>)>(
        &mut self,
        filter: &Filter,
        change: BulkChange<'_>,
        observer: Option<&mut O>,
    ) -> Result<BulkReport, Error> {
        let mut report = change.report();
        match self.try_change_matching(filter, change, observer, &mut report).await {
            Ok(()) => Ok(report),
            Err(error) => Err(ended_early(report, error)),
        }
    }

    async fn try_change_matching<O: FnMut(FlowRef<'_>)>(
        &mut self,
        filter: &Filter,
        change: BulkChange<'_>,
        observer: Option<&mut O>,
        report: &mut BulkReport,
    ) -> Result<(), Error> {
        match change {
            BulkChange::Update(update) => refuse_empty(update)?,
            BulkChange::Delete => refuse_everything(filter)?,
        }
        let capabilities = self.capabilities_for(change.operation()).await?;
        let plan = filter.plan(&capabilities);
        let aim = Aim {
            finder: Finder { operation: change.operation(), zones: self.has_zones(change.operation()).await? },
            // Both came with Linux 5.15.
            hashes_zones: capabilities.status_filter,
        };
        let Some(mut writer) = self.take_writer()? else {
            return self.change_after_dump(filter, change, aim, observer, report).await;
        };
        let mut changes = Changes::new(change, aim, &mut writer, &self.stop, observer, report);
        changes.make(&mut Dump::planned(Some(filter.clone()), plan.dumps(), &mut self.connection)).await?;
        // After an error, or if this future is dropped, it is not put back, because stale answers may wait in it.
        self.writer = Some(writer);
        Ok(())
    }

    /// Dumps first and changes afterwards, over one socket.
    async fn change_after_dump<O: FnMut(FlowRef<'_>)>(
        &mut self,
        filter: &Filter,
        change: BulkChange<'_>,
        aim: Aim,
        observer: Option<&mut O>,
        report: &mut BulkReport,
    ) -> Result<(), Error> {
        let capabilities = self.capabilities_for(change.operation()).await?;
        let mut flows = KeptFlows::default();
        let mut dump = Dump::planned(Some(filter.clone()), filter.plan(&capabilities).dumps(), &mut self.connection);
        while let Some(flow) = next_decodable(&mut dump, &self.stop, report).await? {
            flows.push(&flow);
        }
        let mut changes = Changes::new(change, aim, &mut self.connection, &self.stop, observer, report);
        for flow in flows.iter() {
            if changes.is_stopped() {
                break;
            }
            changes.push(&flow).await?;
        }
        changes.finish().await
    }

    /// A connection that is free while the first is busy with a dump; `None` if the namespace is not known in which to open
    /// it.
    fn take_writer(&mut self) -> Result<Option<Connection>, Error> {
        if let Some(writer) = self.writer.take() {
            return Ok(Some(writer));
        }
        self.connection.open_another().map(Some).or_else(|error| match error.kind() {
            ErrorKind::Unsupported => Ok(None),
            _ => Err(error),
        })
    }
}

fn refuse_everything(filter: &Filter) -> Result<(), Error> {
    if filter.is_everything() {
        let text = "the filter matches every flow: to empty the table, call `delete_all`";
        return Err(Error::message(ErrorKind::MatchesEverything, text));
    }
    Ok(())
}

/// The change to each flow that matches.
#[derive(Clone, Copy)]
pub(crate) enum BulkChange<'u> {
    Update(&'u FlowUpdate),
    Delete,
}

impl BulkChange<'_> {
    const fn operation(self) -> Operation {
        match self {
            Self::Update(_) => Operation::UpdateFlow,
            Self::Delete => Operation::DeleteFlow,
        }
    }

    const fn report(self) -> BulkReport {
        BulkReport::new(match self {
            Self::Update(_) => "updated",
            Self::Delete => "deleted",
        })
    }
}

/// For changes that nobody observes.
pub(crate) const NO_OBSERVER: Option<&mut fn(FlowRef<'_>)> = None;

/// How flows are named to this kernel.
#[derive(Clone, Copy)]
struct Aim {
    finder: Finder,
    /// Whether the kernel hashes the zone with the tuple, so that a zone on one direction reaches the flow it names.
    hashes_zones: bool,
}

/// Changes under way.
struct Changes<'a, O> {
    change: BulkChange<'a>,
    aim: Aim,
    writer: &'a mut Connection,
    stop: &'a Stop,
    batch: PendingBatch,
    /// The keys of the flows in the batch, by their place in it.
    keys: Vec<FlowKey>,
    /// The flows in the batch, if an observer waits for them.
    flows: KeptFlows,
    /// Called with each flow that was changed.
    observer: Option<&'a mut O>,
    report: &'a mut BulkReport,
}

impl<'a, O: FnMut(FlowRef<'_>)> Changes<'a, O> {
    fn new(
        change: BulkChange<'a>,
        aim: Aim,
        writer: &'a mut Connection,
        stop: &'a Stop,
        observer: Option<&'a mut O>,
        report: &'a mut BulkReport,
    ) -> Self {
        let (batch, keys, flows) = Default::default();
        Self { change, aim, writer, stop, batch, keys, flows, observer, report }
    }

    async fn make(&mut self, dump: &mut Dump<'_>) -> Result<(), Error> {
        while let Some(flow) = next_decodable(dump, self.stop, self.report).await? {
            self.push(&flow).await?;
        }
        self.finish().await
    }

    fn is_stopped(&mut self) -> bool {
        self.report.is_stopped = self.stop.is_stopped();
        self.report.is_stopped
    }

    async fn push(&mut self, flow: &FlowRef<'_>) -> Result<(), Error> {
        let key = FlowKey::from(flow);
        self.report.matched += 1;
        match self.change {
            BulkChange::Delete => self.push_command(flow, key, &DeleteFlow::new(key)).await,
            // An update carries no identifier: another flow could answer to this key.
            BulkChange::Update(update)
                if key.tuple.zone.is_some() || (key.zone.is_some() && !self.aim.hashes_zones) =>
            {
                let result = self.aim.finder.update(self.writer, key, update).await;
                if let (Ok(()), Some(observer)) = (&result, &mut self.observer) {
                    observer(*flow);
                }
                self.report.note(key, result)
            }
            BulkChange::Update(update) => {
                let status = flow.status().unwrap_or_default();
                let command = UpdateFlow::new(directed(key), update).with_current_status(status);
                self.push_command(flow, key, &command).await
            }
        }
    }

    async fn push_command(&mut self, flow: &FlowRef<'_>, key: FlowKey, command: &impl Command) -> Result<(), Error> {
        self.keys.push(key);
        if self.observer.is_some() {
            self.flows.push(flow);
        }
        let pushed = match self.aim.finder.zones {
            true => self.batch.push(self.writer, &Aimed(command)).await,
            false => self.batch.push(self.writer, command).await,
        };
        let collected = if self.batch.is_empty() { self.collect_results().await } else { Ok(()) };
        pushed.and(collected)
    }

    /// Sends the rest.
    async fn finish(&mut self) -> Result<(), Error> {
        let sent = self.batch.send(self.writer).await;
        let collected = self.collect_results().await;
        sent.and(collected)
    }

    /// Takes the results of a batch that was sent. Fails if the socket fails when a flow is tried again.
    async fn collect_results(&mut self) -> Result<(), Error> {
        let batch = self.batch.take_report();
        self.report.changed += batch.succeeded() as u64;
        self.report.unanswered += batch.unanswered() as u64;
        let mut changed: Vec<bool> = match self.observer {
            Some(_) => batch.outcomes().map(|outcome| outcome == BatchOutcome::Done).collect(),
            None => Vec::new(),
        };
        let mut collected = Ok(());
        for (place, refusal) in batch.into_failures() {
            let Some(&key) = self.keys.get(place) else { continue };
            let result = match collected {
                Ok(()) => self.retry(key, refusal.into()).await,
                Err(_) => Err(refusal.into()),
            };
            if let Some(changed) = changed.get_mut(place) {
                *changed = result.is_ok();
            }
            collected = collected.and(self.report.note(key, result));
        }
        if let Some(observer) = &mut self.observer {
            self.flows.iter().zip(changed).filter(|(_, changed)| *changed).for_each(|(flow, _)| observer(flow));
        }
        self.flows.clear();
        self.keys.clear();
        collected
    }

    /// Tries a single flow again if the refusal may not be final.
    async fn retry(&mut self, key: FlowKey, error: Error) -> Result<(), Error> {
        let finder = self.aim.finder;
        match self.change {
            // A packet may have changed the status since it was read.
            BulkChange::Update(update) if error.is_busy() && update.needs_status() => {
                finder.update(self.writer, key, update).await
            }
            // Another flow may have answered in its place, with another identifier.
            BulkChange::Delete if error.is_not_found() && zone_of(&key) != 0 => {
                let found = finder.find(self.writer, key).await?.ok_or_else(|| not_found(finder.operation))?;
                self.writer.execute(&DeleteFlow::new(found.key)).await
            }
            _ => Err(error),
        }
    }
}

/// The next flow of a dump that decodes; `None` at the end, or once the change is stopped. Entries that do not decode are
/// counted.
async fn next_decodable<'d>(
    dump: &'d mut Dump<'_>,
    stop: &Stop,
    report: &mut BulkReport,
) -> Result<Option<FlowRef<'d>>, Error> {
    loop {
        // Between datagrams too: the filter may match none of their flows.
        if stop.is_stopped() {
            report.is_stopped = true;
            return Ok(None);
        }
        let advanced = match dump.step() {
            Ok(DumpStep::Entry) => return dump.current_view(),
            Ok(DumpStep::End) => return Ok(None),
            Ok(needed) => dump.provide(needed).await,
            Err(error) => Err(error),
        };
        match advanced {
            Ok(()) => {}
            Err(error) if error.ends_answer() => return Err(error),
            Err(error) => {
                report.undecodable += 1;
                report.decode_error.get_or_insert(error);
            }
        }
    }
}
