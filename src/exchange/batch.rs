//! Many operations in one datagram.

use core::ops::Range;

use super::{
    connection::{Connection, RequestBuffer},
    reply::{describe, refusal},
    transport::{Transport, Wait},
};
use crate::{
    error::{Errno, Error, KernelError, Operation},
    request::Request,
    wire::{Acknowledgement, Flags, MessageType, Messages, RawMessage},
};

/// The result of a batch: the number of operations, and the refusals of the kernel.
///
/// Operations that succeeded take no memory.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Client, FlowKey, request::DeleteFlow};
///
/// # fn example(keys: Vec<FlowKey>) -> Result<(), ctnetlink::Error> {
/// let mut client = Client::open()?;
/// let mut batch = client.batch();
/// for key in keys {
///     batch.push(&DeleteFlow::new(key))?;
/// }
/// let report = batch.finish()?;
/// println!("{} deleted", report.succeeded());
/// for (index, error) in report.failures() {
///     println!("operation {index}: {error}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    operations: usize,
    failures: Vec<(usize, KernelError)>,
    /// Operations that were sent before the socket failed. Unless a refusal arrived, their results are unknown.
    unanswered: Vec<Range<usize>>,
}

/// The result of one operation of a batch.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{BatchOutcome, NewFlow};
///
/// let mut batch = client.batch();
/// batch.push(&NewFlow::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?).timeout(60))?;
/// let report = batch.finish()?;
/// match report.outcomes().next() {
///     Some(BatchOutcome::Refused(error)) => eprintln!("{error}"),
///     outcome => println!("{outcome:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOutcome<'a> {
    /// The operation succeeded.
    Done,
    /// The kernel refused the operation.
    Refused(&'a KernelError),
    /// The socket failed before the answer arrived. The operation may have succeeded.
    Unknown,
}

impl BatchReport {
    /// Returns the number of operations.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.operations
    }

    /// Returns the number of operations that succeeded.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.operations - self.failures.len() - self.unanswered()
    }

    /// Returns the number of operations whose result is unknown, because the socket failed before their answers
    /// arrived. [`Batch`](crate::Batch) returned an error then.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let sent: usize = self.unanswered.iter().map(Range::len).sum();
        let answered = self.failures.iter().filter(|(place, _)| self.is_in_doubt(*place)).count();
        sent - answered
    }

    fn is_in_doubt(&self, place: usize) -> bool {
        self.unanswered.iter().any(|sent| sent.contains(&place))
    }

    /// Returns the operations that the kernel refused, in order, each with its index in the batch.
    #[must_use]
    pub fn failures(&self) -> &[(usize, KernelError)] {
        &self.failures
    }

    /// Converts the report into its [`failures`](Self::failures).
    #[must_use]
    pub fn into_failures(self) -> Vec<(usize, KernelError)> {
        self.failures
    }

    /// Iterates over the result of each operation, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = BatchOutcome<'_>> {
        let mut failures = self.failures.iter().peekable();
        (0..self.operations).map(move |place| match failures.next_if(|(failed, _)| *failed == place) {
            Some((_, error)) => BatchOutcome::Refused(error),
            None if self.is_in_doubt(place) => BatchOutcome::Unknown,
            None => BatchOutcome::Done,
        })
    }
}

/// Operations that wait to be sent, and the report on the operations that were sent.
#[derive(Debug, Default)]
pub(crate) struct PendingBatch {
    requests: RequestBuffer,
    messages: Vec<Pending>,
    /// Whether the messages were sent and their results are awaited.
    is_sent: bool,
    /// The failures that were reported before the messages were sent.
    failures_before: usize,
    report: BatchReport,
}

/// A message that waits to be sent, or for its answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// Where it starts.
    start: usize,
    sequence: u32,
    operation: Operation,
}

/// Bytes of the receive buffer for each acknowledgement. Measured for a refusal: 768 on arm64, 832 on x86-64 (Linux 6.18),
/// 1,280 on s390x.
pub(super) const ACKNOWLEDGEMENT_COST: usize = 2048;
/// Bytes of a datagram after which a batch is sent. A longer datagram saves nothing, a shorter one costs system calls.
const DATAGRAM_LENGTH: usize = 32 * 1024;

impl PendingBatch {
    /// Adds an operation, and sends the waiting operations if there are enough.
    pub(crate) async fn push<T: Transport>(
        &mut self,
        connection: &mut Connection<T>,
        request: &impl Request,
    ) -> Result<(), Error> {
        if self.add(connection, request)? { self.send(connection).await } else { Ok(()) }
    }

    /// Adds an operation. Returns whether the waiting operations have to be sent.
    pub(crate) fn add<T: Transport>(
        &mut self,
        connection: &mut Connection<T>,
        request: &impl Request,
    ) -> Result<bool, Error> {
        self.close_dropped();
        let start = self.requests.length();
        let sequence = connection.next_sequence();
        self.requests.push(request, sequence)?;
        set_acknowledged(self.requests.as_mut_bytes(), start, false);
        self.messages.push(Pending { start, sequence, operation: request.operation() });
        Ok(self.is_full(connection))
    }

    pub(crate) async fn finish<T: Transport>(mut self, connection: &mut Connection<T>) -> Result<BatchReport, Error> {
        self.send(connection).await?;
        Ok(self.report)
    }

    /// Whether everything that was pushed was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes the report on the operations that were sent so far.
    pub(crate) fn take_report(&mut self) -> BatchReport {
        core::mem::take(&mut self.report)
    }

    /// Whether the receive buffer has no room for the refusal of one more operation, or the datagram is long enough.
    fn is_full<T: Transport>(&self, connection: &Connection<T>) -> bool {
        let transport = connection.transport();
        self.requests.length() >= DATAGRAM_LENGTH.min(transport.send_capacity() / 2)
            || self.messages.len() >= (transport.receive_capacity() / ACKNOWLEDGEMENT_COST).max(1)
    }

    /// Sends the waiting operations and waits for their results.
    ///
    /// If the future is dropped before the operations are sent, they still wait. If it is dropped afterwards, they are
    /// not sent again, and their results are unknown.
    pub(crate) async fn send<T: Transport>(&mut self, connection: &mut Connection<T>) -> Result<(), Error> {
        self.close_dropped();
        if self.messages.is_empty() {
            return Ok(());
        }
        self.failures_before = self.report.failures.len();
        let answered = self.exchange(connection).await;
        self.close(answered.is_ok());
        answered
    }

    /// Ends an exchange whose future was dropped.
    fn close_dropped(&mut self) {
        if self.is_sent {
            self.close(false);
        }
    }

    /// Moves the operations that were sent into the report.
    fn close(&mut self, answered: bool) {
        let sent = self.messages.len();
        self.report.failures.get_mut(self.failures_before..).unwrap_or_default().sort_by_key(|(index, _)| *index);
        if !answered {
            // They are not sent again, whatever their results.
            self.report.unanswered.push(self.report.operations..self.report.operations + sent);
        }
        self.report.operations += sent;
        self.requests.clear();
        self.messages.clear();
        self.is_sent = false;
    }

    async fn exchange<T: Transport>(&mut self, connection: &mut Connection<T>) -> Result<(), Error> {
        connection.discard_unread().await?;
        if let Some(last) = self.messages.last() {
            set_acknowledged(self.requests.as_mut_bytes(), last.start, true);
        }
        connection.send(self.requests.as_bytes())?;
        connection.expect_unread();
        self.is_sent = true;
        let mut wait = Wait::Yes;
        loop {
            let length = match connection.fill(wait).await {
                Ok(datagram) => datagram.length,
                Err(error) if error.is_timed_out() && wait == Wait::No => break self.fail_all(Errno::EPERM),
                Err(error) => return Err(error),
            };
            match self.receive(connection.received(length))? {
                Answers::Complete => break,
                Answers::Partial => {}
                Answers::PerhapsDenied => wait = Wait::No,
            }
        }
        connection.forget_unread();
        Ok(())
    }

    /// Takes one datagram of answers.
    fn receive(&mut self, datagram: &[u8]) -> Result<Answers, Error> {
        let mut answers = Answers::Partial;
        for message in Messages::new(datagram) {
            let message = message?;
            if message.header().message_type != MessageType::ERROR {
                continue;
            }
            if let Some(index) = self.index_of(message.header().sequence) {
                answers = answers.max(self.note(&message, index));
            }
        }
        Ok(answers)
    }

    /// Finds the operation with that sequence number. Numbers ascend, with gaps where an operation could not be encoded
    /// or the numbers wrapped around.
    fn index_of(&self, sequence: u32) -> Option<usize> {
        let first = self.messages.first()?.sequence;
        let likely = sequence.wrapping_sub(first) as usize;
        match self.messages.get(likely) {
            Some(pending) if pending.sequence == sequence => Some(likely),
            _ => self.messages.iter().position(|pending| pending.sequence == sequence),
        }
    }

    /// Notes the answer to one operation.
    fn note(&mut self, message: &RawMessage<'_>, index: usize) -> Answers {
        let refusal = refusal(message);
        let denied = index == 0 && refusal.as_ref().is_some_and(|refusal| refusal.errno == Errno::EPERM);
        if let Some(refusal) = refusal {
            self.fail(index, refusal);
        }
        match index + 1 == self.messages.len() {
            true => Answers::Complete,
            false if denied => Answers::PerhapsDenied,
            false => Answers::Partial,
        }
    }

    /// Marks every operation as refused that has no refusal yet.
    fn fail_all(&mut self, errno: Errno) {
        for index in 0..self.messages.len() {
            self.fail(index, Acknowledgement::new(errno));
        }
    }

    fn fail(&mut self, index: usize, refusal: Acknowledgement) {
        let place = self.report.operations + index;
        let Some(&Pending { start, operation, .. }) = self.messages.get(index) else { return };
        // A repeated answer counts once.
        let known = self.report.failures.iter().rev().take(self.messages.len()).any(|(failed, _)| *failed == place);
        if !known {
            let request = self.requests.as_bytes().get(start..).unwrap_or_default();
            self.report.failures.push((place, describe(refusal, operation, request)));
        }
    }
}

/// The progress of the answers to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answers {
    /// More answers will arrive.
    Partial,
    /// The first operation was refused with EPERM. If the process lacks the capability, the kernel reads no message and
    /// answers the first one only. But an update of a flow with a fixed timeout is refused with EPERM too. All answers
    /// are queued when `send` returns, so one receive without waiting decides.
    PerhapsDenied,
    /// The last operation was answered.
    Complete,
}

/// Sets or clears `NLM_F_ACK` in the header of the message at `start`.
fn set_acknowledged(bytes: &mut [u8], start: usize, acknowledged: bool) {
    if let Some([low, high]) = bytes.get_mut(start + 6..start + 8) {
        let mut flags = Flags::from_bits_retain(u16::from_ne_bytes([*low, *high]));
        flags.set(Flags::ACK, acknowledged);
        [*low, *high] = flags.bits().to_ne_bytes();
    }
}
