//! Many operations at once.

use super::Client;
use crate::{
    error::{Error, Operation},
    exchange::{BatchReport, PendingBatch, complete},
    request::{Aimed, Command},
};

/// Operations that are sent many at a time and answered one by one.
///
/// Operations are sent as soon as they fill a datagram, or the receive buffer could not hold more refusals. Operations
/// that were sent before an error of the socket stay done. Dropping a batch without [`finish`](Self::finish) leaves the
/// waiting operations unsent.
///
/// See [`BatchReport`] for an example.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::FlowUpdate;
/// use ctnetlink::request::UpdateFlow;
///
/// # let keys: Vec<ctnetlink::FlowKey> = Vec::new();
/// let (mut batch, update) = (client.batch(), FlowUpdate::new().mark(7));
/// for key in keys {
///     batch.push(&UpdateFlow::new(key, &update))?;
/// }
/// let report = batch.finish()?;
/// for (operation, error) in report.failures() {
///     eprintln!("operation {operation}: {error}");
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "operations that were not sent yet wait for `finish`"]
pub struct Batch<'c> {
    pending: PendingBatch,
    client: &'c mut Client,
    /// Whether keys are aimed, once it is known.
    aims: Option<bool>,
}

impl Client {
    /// Starts a batch.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::NewFlow;
    ///
    /// let mut batch = client.batch();
    /// for port in 40_000..41_000 {
    ///     batch.push(&NewFlow::udp(([10, 0, 0, 1], port).into(), "10.0.0.2:53".parse()?).timeout(60))?;
    /// }
    /// println!("{} created", batch.finish()?.succeeded());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { pending: PendingBatch::default(), client: self, aims: None }
    }
}

impl Batch<'_> {
    /// Adds an operation that is answered with an acknowledgement: a create, an update or a delete.
    ///
    /// The kernel looks a key up in both directions. A key in the default zone is sent in a form that only the direction
    /// it names can answer. A key in another zone can also reach a flow whose opposite tuple is the same. The kernel
    /// compares the identifier in deletes only, so such an update changes the wrong flow. [`Client::update`] and
    /// [`Client::delete`] look the flow up first.
    ///
    /// # Errors
    ///
    /// Fails if the operation cannot be encoded, or the socket fails while operations are sent or the kernel is asked
    /// whether it has zones. If the kernel refuses an operation, the report says so.
    pub fn push(&mut self, request: &impl Command) -> Result<(), Error> {
        // Only the probe and the send take a future: most pushes do neither.
        let aims = match (request.key().is_some(), self.aims) {
            (false, _) => false,
            (true, Some(known)) => known,
            (true, None) => complete(self.aims(request.operation()))?,
        };
        if self.add(request, aims)? { complete(self.send_async()) } else { Ok(()) }
    }

    /// Adds an operation. Returns whether the waiting operations have to be sent.
    fn add(&mut self, request: &impl Command, aims: bool) -> Result<bool, Error> {
        match aims {
            true => self.pending.add(&mut self.client.connection, &Aimed(request)),
            false => self.pending.add(&mut self.client.connection, request),
        }
    }

    /// Sends the operations that wait.
    ///
    /// # Errors
    ///
    /// Fails if the socket fails. The report of [`finish`](Self::finish) contains the results until then.
    pub fn send(&mut self) -> Result<(), Error> {
        complete(self.send_async())
    }

    /// Sends the operations that wait, and reports on every operation of the batch.
    ///
    /// # Errors
    ///
    /// Fails without a report if the socket fails. To get a report in any case, call [`send`](Self::send) first.
    pub fn finish(self) -> Result<BatchReport, Error> {
        complete(self.finish_async())
    }

    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) async fn push_async(&mut self, request: &impl Command) -> Result<(), Error> {
        let aims = request.key().is_some() && self.aims(request.operation()).await?;
        if self.add(request, aims)? { self.send_async().await } else { Ok(()) }
    }

    async fn aims(&mut self, operation: Operation) -> Result<bool, Error> {
        if let Some(known) = self.aims {
            return Ok(known);
        }
        let aims = match self.client.has_zones(operation).await {
            // The kernel refuses the operation for the same reason, and the report says so.
            Err(error) if error.kernel().is_some() => false,
            probed => probed?,
        };
        self.aims = Some(aims);
        Ok(aims)
    }

    pub(crate) async fn send_async(&mut self) -> Result<(), Error> {
        self.pending.send(&mut self.client.connection).await
    }

    pub(crate) async fn finish_async(self) -> Result<BatchReport, Error> {
        self.pending.finish(&mut self.client.connection).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Errno,
        exchange::script::{Script, ScriptStep, acknowledgement, tuple},
        model::FlowKey,
        request::DeleteFlow,
    };

    fn client(steps: impl IntoIterator<Item = ScriptStep>) -> Client {
        let script = Script { steps: steps.into_iter().collect(), ..Script::default() };
        Client::over(Box::new(script), None)
    }

    /// Sent without the probe's result, the key could reach another flow.
    #[test]
    fn unanswered_probe_of_zones_ends_the_batch() {
        let mut client = client([]);
        let delete = DeleteFlow::new(FlowKey::original(tuple(5)));
        let error = client.batch().push(&delete).unwrap_err();
        assert!(error.is_timed_out(), "{error}");
    }

    #[test]
    fn refused_probe_of_zones_leaves_the_refusal_to_the_report() {
        let refusal = |sequence| ScriptStep::Datagram(acknowledgement(sequence, Errno::EPERM), 0);
        let mut client = client([refusal(1), refusal(2)]);
        let mut batch = client.batch();
        batch.push(&DeleteFlow::new(FlowKey::original(tuple(5)))).unwrap();
        let report = batch.finish().unwrap();
        assert_eq!((report.operations(), report.failures().len()), (1, 1));
    }
}
