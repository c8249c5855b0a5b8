//! Dump, change and delete by a filter.

use super::{Client, Socket, flows::refuse_nothing};
use crate::{
    error::{EncodeError, Error, KernelError},
    exchange::{BatchReport, Connection, PendingBatch, Replies},
    filter::{Filter, KernelFilter},
    model::{Flow, FlowKey, FlowRef, Status, Timestamp},
    request::{DeleteFlow, DumpFlows, FlowUpdate, FlushFlows, UpdateFlow},
};

/// What came of changing or deleting by a filter.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MatchReport {
    /// Flows that the filter matched; `None` where the kernel deleted them itself, which tells no number.
    pub matched: Option<u64>,
    /// Flows that were changed or deleted; `None` likewise.
    pub changed: Option<u64>,
    /// Flows that had ended by themselves when their turn came.
    pub vanished: u64,
    /// Flows that the kernel refused to change or delete.
    pub failed: u64,
    /// The first of those refusals, at most [`ERRORS`](Self::ERRORS) of them.
    pub errors: Vec<KernelError>,
}

impl MatchReport {
    /// How many refusals are kept. The others are counted.
    pub const ERRORS: usize = 16;

    fn add(&mut self, report: BatchReport) {
        *self.changed.get_or_insert(0) += report.succeeded() as u64;
        for (_, error) in report.into_failures() {
            if Error::from(error.clone()).is_not_found() {
                self.vanished += 1;
                continue;
            }
            self.failed += 1;
            if self.errors.len() < Self::ERRORS {
                self.errors.push(error);
            }
        }
    }
}

impl Client {
    /// The flows that a filter matches. What of it the kernel does, [`Filter::plan`] tells; every flow that comes is
    /// held against the whole filter again.
    ///
    /// # Errors
    ///
    /// Where the kernel's capabilities cannot be asked for. That it refuses the dump is an item of it.
    pub fn dump_matching<'c>(&'c mut self, filter: &'c Filter) -> Result<FilteredDump<'c>, Error> {
        let dumps = filter.plan(&self.capabilities()?).dumps().to_vec();
        Ok(FilteredDump::new(filter, dumps, &mut self.connection))
    }

    /// Changes every flow that a filter matches. Memory does not grow with the table.
    ///
    /// The kernel's dump may give a flow twice while the table changes: it is then changed, and counted, twice. An
    /// update looks at no identifier, so that a flow which took over the tuple since is changed too. One that was
    /// answered since its status was read refuses a change of status bits (EBUSY, in the report).
    ///
    /// # Errors
    ///
    /// Where the dump or the socket fails. That a single flow is refused is in the report.
    pub fn update_matching(&mut self, filter: &Filter, update: &FlowUpdate) -> Result<MatchReport, Error> {
        refuse_nothing(update)?;
        self.change_matching(filter, |batch, writer, flow| {
            let status = flow.status().unwrap_or(Status::empty());
            batch.push(writer, &UpdateFlow::new(FlowKey::from(flow), update).with_current_status(status))
        })
    }

    /// Deletes every flow that a filter matches, each by its tuple, zone and identifier, and counts them. Memory does
    /// not grow with the table.
    ///
    /// # Errors
    ///
    /// A filter that matches everything is refused: [`flush`](Self::flush) is what empties a table. Else where the dump
    /// or the socket fails; that a single flow is refused is in the report.
    pub fn delete_matching(&mut self, filter: &Filter) -> Result<MatchReport, Error> {
        refuse_everything(filter)?;
        self.change_matching(filter, |batch, writer, flow| batch.push(writer, &DeleteFlow::new(FlowKey::from(flow))))
    }

    /// Deletes every flow that a filter matches by the fastest way there is: in the kernel, where the kernel was probed
    /// and evaluates exactly this filter; else as [`delete_matching`](Self::delete_matching). The kernel tells no
    /// number.
    ///
    /// # Errors
    ///
    /// As [`delete_matching`](Self::delete_matching).
    pub fn flush_matching(&mut self, filter: &Filter) -> Result<MatchReport, Error> {
        refuse_everything(filter)?;
        let capabilities = self.capabilities()?;
        let plan = filter.plan(&capabilities);
        let Some(flushes) = plan.flush() else { return self.delete_matching(filter) };
        for flush in flushes {
            self.execute(&FlushFlows::matching(*flush))?;
        }
        Ok(MatchReport::default())
    }

    fn change_matching(
        &mut self,
        filter: &Filter,
        mut push: impl FnMut(&mut PendingBatch, &mut Connection<Socket>, &FlowRef<'_>) -> Result<(), Error>,
    ) -> Result<MatchReport, Error> {
        let dumps = filter.plan(&self.capabilities()?).dumps().to_vec();
        let mut writer = self.take_writer()?;
        let mut batch = PendingBatch::default();
        let mut report = MatchReport { matched: Some(0), changed: Some(0), ..MatchReport::default() };
        let mut dump = FilteredDump::new(filter, dumps, &mut self.connection);
        while let Some(flow) = dump.next() {
            *report.matched.get_or_insert(0) += 1;
            push(&mut batch, &mut writer, &flow?)?;
            if batch.is_empty() {
                report.add(batch.take_report());
            }
        }
        report.add(batch.finish(&mut writer)?);
        self.writer = Some(writer);
        Ok(report)
    }

    /// A connection that is free while the first is busy with a dump. One that a failed call was left with is not put
    /// back, so that nothing stale waits in it.
    fn take_writer(&mut self) -> Result<Connection<Socket>, Error> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        let socket = self.connection.transport();
        let another = socket.open_another()?;
        Ok(Connection::new(another, socket.timeout()))
    }
}

fn refuse_everything(filter: &Filter) -> Result<(), Error> {
    if filter.is_everything() {
        return Err(EncodeError::Value("the filter matches everything: to empty the table is another call").into());
    }
    Ok(())
}

/// The flows that a filter matches: one dump, or one for each family.
#[derive(Debug)]
#[must_use = "nothing is asked for until `next` is called"]
pub struct FilteredDump<'c> {
    filter: &'c Filter,
    now: Timestamp,
    dumps: std::vec::IntoIter<KernelFilter>,
    replies: Option<Replies>,
    connection: &'c mut Connection<Socket>,
}

impl<'c> FilteredDump<'c> {
    fn new(filter: &'c Filter, dumps: Vec<KernelFilter>, connection: &'c mut Connection<Socket>) -> Self {
        Self { filter, now: Timestamp::now(), dumps: dumps.into_iter(), replies: None, connection }
    }

    /// The next flow, read where it lies in the receive buffer; `None` after the last.
    ///
    /// # Errors
    ///
    /// An error of the kernel or the socket ends the dump. An entry that does not decode is an error and not the end.
    #[allow(clippy::should_implement_trait)] // It lends, which `Iterator` cannot.
    pub fn next(&mut self) -> Option<Result<FlowRef<'_>, Error>> {
        match self.advance() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        // It was read to be matched; reading it again frees the loop from holding it while the buffer is filled.
        let message = self.replies.as_mut().and_then(|replies| replies.current(self.connection));
        message.map(|message| FlowRef::parse(&message).map_err(Error::from))
    }

    /// Goes on to the next flow that matches; `false` at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            let Some(replies) = &mut self.replies else {
                let Some(filter) = self.dumps.next() else { return Ok(false) };
                self.replies = Some(self.connection.start(&DumpFlows::new().matching(filter))?);
                continue;
            };
            let message = match replies.next(self.connection) {
                Ok(message) => message,
                Err(error) => {
                    if error.ends_answer() {
                        self.dumps = Vec::new().into_iter();
                    }
                    return Err(error);
                }
            };
            match message {
                None => self.replies = None,
                Some(message) if self.filter.matches_at(&FlowRef::parse(&message)?, self.now) => return Ok(true),
                Some(_) => {}
            }
        }
    }
}

impl<'c> IntoIterator for FilteredDump<'c> {
    type Item = Result<Flow, Error>;
    type IntoIter = FilteredIterator<'c>;

    fn into_iter(self) -> FilteredIterator<'c> {
        FilteredIterator(self)
    }
}

/// The flows of a [`FilteredDump`] as values.
#[derive(Debug)]
pub struct FilteredIterator<'c>(FilteredDump<'c>);

impl Iterator for FilteredIterator<'_> {
    type Item = Result<Flow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|flow| flow.map(|flow| flow.to_flow()))
    }
}
