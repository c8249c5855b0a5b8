//! Many operations at once.

use super::Client;
use crate::{
    error::{Error, Operation},
    exchange::{BatchReport, PendingBatch},
    request::{Aimed, Command},
};

/// Creates, updates and deletes that are sent many at a time, and answered one by one.
///
/// Operations are sent as soon as enough have gathered: as many as fit a datagram, and no more than the receive buffer
/// can hold answers for. What was sent before an error of the socket stays done; a batch that is dropped without
/// [`finish`](Self::finish) leaves the rest unsent.
///
/// See [`BatchReport`] for an example.
#[derive(Debug)]
#[must_use = "operations that were not sent yet wait for `finish`"]
pub struct Batch<'c> {
    pending: PendingBatch,
    client: &'c mut Client,
    /// Whether keys are aimed, once it is known.
    aims: Option<bool>,
}

impl Client {
    /// Begins a batch.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { pending: PendingBatch::default(), client: self, aims: None }
    }
}

impl Batch<'_> {
    /// Adds an operation that is answered by an acknowledgement: a create, update, delete or flush.
    ///
    /// # Errors
    ///
    /// Where the operation cannot be encoded, or the socket fails in sending what has gathered. That the kernel refuses
    /// an operation is no error here: it is in the report.
    pub fn push(&mut self, request: &impl Command) -> Result<(), Error> {
        match request.key().is_some() && self.aims(request.operation()) {
            true => self.pending.push(&mut self.client.connection, &Aimed(request)),
            false => self.pending.push(&mut self.client.connection, request),
        }
    }

    fn aims(&mut self, operation: Operation) -> bool {
        // If the probe is refused, so is the operation, and the report says so.
        *self.aims.get_or_insert_with(|| self.client.has_zones(operation).unwrap_or(false))
    }

    /// Sends what has gathered.
    ///
    /// # Errors
    ///
    /// Where the socket fails. The report of [`finish`](Self::finish) tells what was done by then.
    pub fn send(&mut self) -> Result<(), Error> {
        self.pending.send(&mut self.client.connection)
    }

    /// Sends what has gathered, and reports on every operation since the batch began.
    ///
    /// # Errors
    ///
    /// Where the socket fails: then there is no report. Who needs one calls [`send`](Self::send) first.
    pub fn finish(self) -> Result<BatchReport, Error> {
        self.pending.finish(&mut self.client.connection)
    }
}
