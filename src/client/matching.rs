//! Change and delete by a filter.

use core::fmt;

use super::{
    Client, FilteredDump, Socket,
    flows::refuse_nothing,
    lookup::{Finder, directed, not_found},
};
use crate::{
    error::{Error, ErrorKind, Operation},
    exchange::{Connection, PendingBatch},
    filter::Filter,
    model::{FlowKey, FlowRef},
    request::{Aimed, Command, DeleteFlow, FlowUpdate, FlushFlows, UpdateFlow, zone_of},
};

/// What came of changing or deleting by a filter.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MatchReport {
    /// Flows that the filter matched.
    pub matched: u64,
    /// Flows that were changed or deleted.
    pub changed: u64,
    /// Flows that had ended by themselves when their turn came.
    pub vanished: u64,
    /// Flows that the kernel refused to change or delete.
    pub failed: u64,
    /// Flows of which it is not known what became of them, since the socket failed when they had been sent.
    pub unanswered: u64,
    /// Entries that do not decode: they were held against no filter, and left alone.
    pub undecodable: u64,
    /// Why flows failed and entries do not decode: the first [`ERRORS`](Self::ERRORS) of these errors.
    pub errors: Vec<Error>,
}

impl MatchReport {
    /// How many errors are kept. The others are counted.
    pub const ERRORS: usize = 16;

    fn note(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => self.changed += 1,
            Err(error) if error.is_not_found() => self.vanished += 1,
            Err(error) => {
                self.failed += 1;
                self.keep(error);
            }
        }
    }

    fn keep(&mut self, error: Error) {
        if self.errors.len() < Self::ERRORS {
            self.errors.push(error);
        }
    }
}

/// Changing or deleting by a filter ended early. What had been done by then stays done, and is told.
///
/// Turns into an [`Error`] by `?`, where the report does not matter.
pub struct MatchError {
    // Behind a pointer, so that a result is no larger for the rare case.
    inner: Box<(MatchReport, Error)>,
}

impl MatchError {
    #[cold]
    fn new(report: MatchReport, error: Error) -> Self {
        Self { inner: Box::new((report, error)) }
    }

    /// What was done before it.
    #[must_use]
    pub fn report(&self) -> &MatchReport {
        &self.inner.0
    }

    /// What was done before it, and what ended it.
    #[must_use]
    pub fn into_parts(self) -> (MatchReport, Error) {
        *self.inner
    }

    /// What ended it.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.inner.1
    }
}

impl From<Error> for MatchError {
    /// Before anything was done.
    fn from(error: Error) -> Self {
        Self::new(MatchReport::default(), error)
    }
}

impl From<MatchError> for Error {
    fn from(error: MatchError) -> Self {
        error.inner.1
    }
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)?;
        match self.report().matched {
            0 => Ok(()),
            matched => write!(f, " (of {matched} flows until then, {} were done)", self.report().changed),
        }
    }
}

crate::macros::debug_as_display!(MatchError);

impl core::error::Error for MatchError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error().source()
    }
}

impl Client {
    /// Changes every flow that a filter matches. Memory does not grow with the table.
    ///
    /// The kernel's dump may report a flow twice while the table changes; the flow is then changed, and counted, twice.
    /// The kernel compares no identifier in an update: if a flow ends after the dump reported it and another takes over its
    /// tuple before its turn comes, the other one is changed.
    ///
    /// # Errors
    ///
    /// Where the dump or the socket fails; the error tells what was done by then. That a single flow is refused is in
    /// the report.
    pub fn update_matching(&mut self, filter: &Filter, update: &FlowUpdate) -> Result<MatchReport, MatchError> {
        refuse_nothing(update)?;
        self.change_matching(filter, Change::Update(update))
    }

    /// Deletes every flow that a filter matches, each by its tuple, zone and identifier, and counts them. Memory does
    /// not grow with the table.
    ///
    /// A filter without a term on zones matches in all zones.
    ///
    /// # Errors
    ///
    /// A filter that is [everything](Filter::is_everything) is refused: [`flush`](Self::flush) is what empties a table. One
    /// whose terms every flow happens to satisfy is not. Else as
    /// [`update_matching`](Self::update_matching).
    pub fn delete_matching(&mut self, filter: &Filter) -> Result<MatchReport, MatchError> {
        refuse_everything(filter)?;
        self.change_matching(filter, Change::Delete)
    }

    /// Deletes every flow that a filter matches by the fastest way there is: in the kernel, where the kernel was probed
    /// and evaluates exactly this filter; else as [`delete_matching`](Self::delete_matching). `None` where the kernel
    /// did it, since it tells no number.
    ///
    /// # Errors
    ///
    /// As [`delete_matching`](Self::delete_matching). A filter of both families is flushed one family after the other: the
    /// kernel may have done the first when it refuses the second, and tells no number.
    pub fn flush_matching(&mut self, filter: &Filter) -> Result<Option<MatchReport>, MatchError> {
        refuse_everything(filter)?;
        let capabilities = self.capabilities()?;
        let plan = filter.plan(&capabilities);
        let Some(flushes) = plan.flush() else { return self.delete_matching(filter).map(Some) };
        for flush in flushes {
            self.execute(&FlushFlows::matching(*flush))?;
        }
        Ok(None)
    }

    fn change_matching(&mut self, filter: &Filter, change: Change<'_>) -> Result<MatchReport, MatchError> {
        let capabilities = self.capabilities()?;
        let dumps = filter.plan(&capabilities).dumps().to_vec();
        let finder = Finder { operation: change.operation(), zones: self.has_zones(Operation::ProbeFilters)? };
        // Both came with Linux 5.15.
        let hashes_zones = capabilities.status_filter;
        let mut changes = Changes::new(change, finder, hashes_zones, self.take_writer()?);
        let flows = FilteredDump::new(filter, dumps, &mut self.connection);
        match changes.make(flows) {
            Ok(()) => {
                self.writer = Some(changes.writer);
                Ok(changes.report)
            }
            Err(error) => Err(MatchError::new(changes.report, error)),
        }
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
        return Err(Error::message(
            ErrorKind::MatchesEverything,
            "the filter matches every flow: to empty the table, call `flush`",
        ));
    }
    Ok(())
}

/// What is done to each flow that matches.
#[derive(Clone, Copy)]
enum Change<'u> {
    Update(&'u FlowUpdate),
    Delete,
}

impl Change<'_> {
    const fn operation(self) -> Operation {
        match self {
            Self::Update(_) => Operation::UpdateFlow,
            Self::Delete => Operation::DeleteFlow,
        }
    }
}

/// Changes under way.
struct Changes<'u> {
    change: Change<'u>,
    finder: Finder,
    /// Whether the kernel hashes the zone with the tuple, so that a zone on one direction reaches the flow it names.
    hashes_zones: bool,
    writer: Connection<Socket>,
    batch: PendingBatch,
    /// The keys of the flows in the batch, by their place in it.
    keys: Vec<FlowKey>,
    report: MatchReport,
}

impl<'u> Changes<'u> {
    fn new(change: Change<'u>, finder: Finder, hashes_zones: bool, writer: Connection<Socket>) -> Self {
        let (batch, keys, report) = Default::default();
        Self { change, finder, hashes_zones, writer, batch, keys, report }
    }

    fn make(&mut self, mut flows: FilteredDump<'_>) -> Result<(), Error> {
        while let Some(flow) = flows.next() {
            match flow {
                Ok(flow) => self.push(&flow)?,
                Err(error) if error.ends_answer() => return Err(error),
                Err(error) => {
                    self.report.undecodable += 1;
                    self.report.keep(error);
                }
            }
        }
        let sent = self.batch.send(&mut self.writer);
        self.settle();
        sent
    }

    fn push(&mut self, flow: &FlowRef<'_>) -> Result<(), Error> {
        let key = FlowKey::from(flow);
        self.report.matched += 1;
        match self.change {
            Change::Delete => self.push_command(key, &DeleteFlow::new(key)),
            // An update carries no identifier: another flow could answer to this key.
            Change::Update(update) if key.tuple.zone.is_some() || (key.zone.is_some() && !self.hashes_zones) => {
                let result = self.finder.update(&mut self.writer, key, update);
                self.report.note(result);
                Ok(())
            }
            Change::Update(update) => {
                let status = flow.status().unwrap_or_default();
                self.push_command(key, &UpdateFlow::new(directed(key), update).with_current_status(status))
            }
        }
    }

    fn push_command(&mut self, key: FlowKey, command: &impl Command) -> Result<(), Error> {
        self.keys.push(key);
        let pushed = match self.finder.zones {
            true => self.batch.push(&mut self.writer, &Aimed(command)),
            false => self.batch.push(&mut self.writer, command),
        };
        if self.batch.is_empty() {
            self.settle();
        }
        pushed
    }

    /// Takes the results of a batch that was sent.
    fn settle(&mut self) {
        let batch = self.batch.take_report();
        self.report.changed += batch.succeeded() as u64;
        self.report.unanswered += batch.unanswered() as u64;
        for (place, refusal) in batch.into_failures() {
            let error = Error::from(refusal);
            let result = match self.keys.get(place) {
                Some(&key) => self.retry(key, error),
                None => Err(error),
            };
            self.report.note(result);
        }
        self.keys.clear();
    }

    /// Tries a flow again, by itself, if the refusal may not be final.
    fn retry(&mut self, key: FlowKey, error: Error) -> Result<(), Error> {
        match self.change {
            // A packet may have changed the status since it was read.
            Change::Update(update) if error.is_busy() && update.needs_status() => {
                self.finder.update(&mut self.writer, key, update)
            }
            // Another flow may have answered in its place, with another identifier.
            Change::Delete if error.is_not_found() && zone_of(&key) != 0 => {
                let found = self.finder.find(&mut self.writer, key)?;
                let key = found.ok_or_else(|| not_found(self.finder.operation))?.key;
                self.writer.execute(&DeleteFlow::new(key))
            }
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MatchError, MatchReport};
    use crate::Error;

    #[test]
    fn an_error_tells_what_was_done_before_it() {
        let report = MatchReport { matched: 7, changed: 5, ..MatchReport::default() };
        let error = MatchError::new(report, Error::timed_out());
        assert_eq!(error.to_string(), "nothing arrived in time (of 7 flows until then, 5 were done)");
        assert_eq!(MatchError::from(Error::timed_out()).to_string(), "nothing arrived in time");
        assert!(Error::from(error).is_timed_out());
    }

    #[test]
    fn errors_are_counted_beyond_those_that_are_kept() {
        let mut report = MatchReport::default();
        (0..100).for_each(|_| report.note(Err(Error::timed_out())));
        assert_eq!((report.failed, report.errors.len()), (100, MatchReport::ERRORS));
    }
}
