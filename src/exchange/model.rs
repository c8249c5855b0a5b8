//! A model of a connection: whatever arrives in whatever order, each request gets its whole answer and nothing else.
//!
//! A connection is compared with a naive reading of the same script: lists of messages, read from the front.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a law that panics is broken")]

use std::collections::{BTreeMap, VecDeque};

use super::{
    Connection, PendingBatch,
    connection::complete,
    script::{Script, ScriptStep, acknowledgement, control, done, entry, tuple},
};
use crate::{
    Errno, Error, ErrorKind, FlowKey,
    request::{DeleteFlow, DumpFlows, GetFlow},
    wire::{Flags, MessageType, Messages, RawMessage},
};

/// Plays requests and received datagrams that are chosen by the bytes.
///
/// # Panics
///
/// Panics if connection and model disagree.
pub fn check(bytes: &[u8]) {
    let mut choices = bytes.iter().copied();
    let mut next = || choices.next().unwrap_or(0);
    let traits = next();
    let first_sequence = if traits & 2 == 0 { 0 } else { u32::MAX - 3 };
    let most_answers = Some(usize::from(traits >> 2 & 7)).filter(|most| *most > 0);
    let questions: Vec<_> = (0..=next() & 3).map(|_| Question::new(next(), next())).collect();
    let steps = steps(&mut choices, first_sequence);

    let script = Script { steps: steps.clone(), cannot_renew: traits & 1 == 1, most_answers, ..Script::default() };
    let mut connection = Connection::new(script, None);
    connection.set_sequence(first_sequence);
    let mut naive = Naive {
        steps,
        cannot_renew: traits & 1 == 1,
        most_answers: most_answers.unwrap_or(usize::MAX),
        sequence: first_sequence,
        stale: Stale::No,
        sent: Vec::new(),
    };
    for question in questions {
        assert_eq!(question.ask(&mut connection), naive.answer(question), "{question:?}");
    }
    let sent: Vec<Vec<u32>> = connection.transport().sent.iter().map(|datagram| sequences(datagram)).collect();
    assert_eq!(sent, naive.sent);
}

/// The sequence numbers of the requests in a datagram. Only the last requests an acknowledgement.
fn sequences(datagram: &[u8]) -> Vec<u32> {
    let headers: Vec<_> = Messages::new(datagram).map(|message| message.unwrap().header()).collect();
    let (last, others) = headers.split_last().unwrap();
    assert!(last.flags.intersects(Flags::ACK | Flags::DUMP));
    assert!(others.iter().all(|header| !header.flags.contains(Flags::ACK)));
    headers.iter().map(|header| header.sequence).collect()
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// A dump that is abandoned after that many messages and errors.
    Dump(usize),
    Get,
    Delete,
    Batch(u16),
}

/// The result of a question.
#[derive(Debug, PartialEq)]
enum Outcome {
    Answer(Vec<Result<Item, Failure>>),
    Report { operations: usize, unanswered: usize, failures: Vec<(usize, Errno)>, error: Option<Failure> },
}

#[derive(Clone, Debug, PartialEq)]
struct Item {
    message_type: MessageType,
    sequence: u32,
    payload: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Failure {
    Refused(Errno),
    Malformed,
    Lost,
    TimedOut,
    Truncated(usize),
    System(Option<Errno>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match (error.kernel(), error.truncated_length(), error.kind()) {
            (Some(error), ..) => Self::Refused(error.errno()),
            (_, Some(length), _) => Self::Truncated(length),
            (.., ErrorKind::Decode) => Self::Malformed,
            (.., ErrorKind::Overrun) => Self::Lost,
            (.., ErrorKind::TimedOut) => Self::TimedOut,
            _ => Self::System(error.errno()),
        }
    }
}

impl From<&RawMessage<'_>> for Item {
    fn from(message: &RawMessage<'_>) -> Self {
        let header = message.header();
        Self { message_type: header.message_type, sequence: header.sequence, payload: message.payload().to_vec() }
    }
}

impl Question {
    fn new(kind: u8, number: u8) -> Self {
        match kind % 6 {
            0 | 1 => Self::Dump(usize::MAX),
            2 => Self::Dump(usize::from(number & 3)),
            3 => Self::Get,
            4 => Self::Delete,
            _ => Self::Batch(u16::from(number & 7) + 1),
        }
    }

    fn ask(self, connection: &mut Connection<Script>) -> Outcome {
        match self {
            Self::Dump(most) => Outcome::Answer(dump(connection, most)),
            Self::Get => {
                let item = complete(
                    connection.fetch(&GetFlow::new(FlowKey::original(tuple(1))), |message| Ok(message.into())),
                );
                Outcome::Answer(item.map_err(Failure::from).transpose().into_iter().collect())
            }
            Self::Delete => {
                let done = complete(connection.execute(&DeleteFlow::new(FlowKey::original(tuple(1)))));
                Outcome::Answer(done.err().map(|error| Err(error.into())).into_iter().collect())
            }
            Self::Batch(operations) => batch(connection, operations),
        }
    }
}

fn dump(connection: &mut Connection<Script>, most: usize) -> Vec<Result<Item, Failure>> {
    let mut replies = match complete(connection.start(&DumpFlows::new())) {
        Ok(replies) => replies,
        Err(error) => return vec![Err(error.into())],
    };
    let mut given = Vec::new();
    while given.len() < most {
        match replies.next_blocking(connection) {
            Ok(Some(message)) => given.push(Ok((&message).into())),
            Ok(None) => break,
            Err(error) => given.push(Err(error.into())),
        }
    }
    given
}

fn batch(connection: &mut Connection<Script>, operations: u16) -> Outcome {
    let mut batch = PendingBatch::default();
    let push = |port| complete(batch.push(connection, &DeleteFlow::new(FlowKey::original(tuple(port)))));
    let mut error = (1..=operations).try_for_each(push).err();
    error = error.or_else(|| complete(batch.send(connection)).err());
    let report = batch.take_report();
    let done = report.outcomes().filter(|outcome| *outcome == crate::BatchOutcome::Done).count();
    assert_eq!((report.outcomes().count(), done), (report.operations(), report.succeeded()));
    let failed = report.failures().len() + report.unanswered();
    assert_eq!(report.succeeded() + failed, report.operations());
    Outcome::Report {
        operations: report.operations(),
        unanswered: report.unanswered(),
        failures: report.failures().iter().map(|(place, error)| (*place, error.errno())).collect(),
        error: error.map(Into::into),
    }
}

/// The plainest implementation of a connection.
struct Naive {
    steps: VecDeque<ScriptStep>,
    cannot_renew: bool,
    most_answers: usize,
    sequence: u32,
    stale: Stale,
    sent: Vec<Vec<u32>>,
}

/// Whether part of an answer may still arrive.
#[derive(Clone, Copy)]
enum Stale {
    No,
    Of(u32),
    OfBatch,
}

impl Naive {
    fn answer(&mut self, question: Question) -> Outcome {
        match question {
            Question::Dump(most) => Outcome::Answer(self.take(most, false)),
            Question::Get => {
                let mut given = self.take(usize::MAX, true);
                Outcome::Answer(given.pop().into_iter().collect())
            }
            Question::Delete => {
                let failure = self.take(usize::MAX, true).pop().filter(Result::is_err);
                Outcome::Answer(failure.into_iter().collect())
            }
            Question::Batch(operations) => self.batch(operations),
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = after(self.sequence);
        self.sequence
    }

    /// The answer to one request: at most that many messages, or up to the first failure.
    fn take(&mut self, most: usize, until_failure: bool) -> Vec<Result<Item, Failure>> {
        if let Err(failure) = self.settle() {
            return vec![Err(failure)];
        }
        let sequence = self.next_sequence();
        self.sent.push(vec![sequence]);
        self.stale = Stale::Of(sequence);
        let mut given = Vec::new();
        while given.len() < most {
            let (items, is_malformed) = match self.receive() {
                Ok(datagram) => datagram,
                Err(failure) => {
                    given.push(Err(failure));
                    return given;
                }
            };
            for item in items.into_iter().filter(|item| item.sequence == sequence) {
                if given.len() == most {
                    return given;
                }
                match item.end() {
                    None if item.message_type.0 < 16 => {}
                    None => given.push(Ok(item)),
                    Some(end) => {
                        self.stale = Stale::No;
                        given.extend(end.err().map(|errno| Err(Failure::Refused(errno))));
                        return given;
                    }
                }
            }
            if is_malformed && given.len() < most {
                given.push(Err(Failure::Malformed));
                if until_failure {
                    return given;
                }
            }
        }
        given
    }

    fn batch(&mut self, operations: u16) -> Outcome {
        let (mut failures, mut done, mut unanswered, mut error) = (Vec::new(), 0, 0, None);
        while done < operations.into() && error.is_none() {
            let count = self.most_answers.min(usize::from(operations) - done);
            let sequences: Vec<u32> = (0..count).map(|_| self.next_sequence()).collect();
            let mut refused = BTreeMap::new();
            error = self.batch_part(&sequences, &mut refused).err();
            unanswered += if error.is_some() { count - refused.len() } else { 0 };
            failures.extend(refused.into_iter().map(|(index, errno)| (done + index, errno)));
            done += count;
        }
        Outcome::Report { operations: done, unanswered, failures, error }
    }

    fn batch_part(&mut self, sequences: &[u32], refused: &mut BTreeMap<usize, Errno>) -> Result<(), Failure> {
        self.settle()?;
        self.sent.push(sequences.to_vec());
        self.stale = Stale::OfBatch;
        let (mut is_denied, mut is_complete) = (false, false);
        while !is_complete {
            let (items, is_malformed) = match self.receive() {
                Err(Failure::TimedOut) if is_denied => {
                    for index in 0..sequences.len() {
                        refused.entry(index).or_insert(Errno::EPERM);
                    }
                    break;
                }
                datagram => datagram?,
            };
            for item in items.iter().filter(|item| item.message_type == MessageType::ERROR) {
                let Some(index) = sequences.iter().position(|sequence| *sequence == item.sequence) else { continue };
                is_complete |= index + 1 == sequences.len();
                if let Some(Err(errno)) = item.end() {
                    is_denied |= index == 0 && errno == Errno::EPERM;
                    refused.entry(index).or_insert(errno);
                }
            }
            if is_malformed {
                return Err(Failure::Malformed);
            }
        }
        self.stale = Stale::No;
        Ok(())
    }

    /// Ends an earlier answer: a new socket has none of it, the old one is read to its end.
    fn settle(&mut self) -> Result<(), Failure> {
        if let (Stale::Of(sequence), true) = (self.stale, self.cannot_renew) {
            let mut is_finished = false;
            while !is_finished {
                match self.receive() {
                    Ok((items, _)) => {
                        let mut own = items.iter().filter(|item| item.sequence == sequence);
                        is_finished = own.any(|item| item.end().is_some());
                    }
                    Err(Failure::TimedOut | Failure::Lost) => break,
                    Err(failure) => return Err(failure),
                }
            }
        }
        self.stale = Stale::No;
        Ok(())
    }

    /// The messages of the kernel's next datagram, and whether the rest of it is malformed.
    fn receive(&mut self) -> Result<(Vec<Item>, bool), Failure> {
        loop {
            return match self.steps.pop_front() {
                Some(ScriptStep::Datagram(bytes, 0)) => {
                    let messages: Vec<_> = Messages::new(&bytes).collect();
                    let items = messages.iter().flatten().map(Item::from).collect();
                    Ok((items, messages.iter().any(Result::is_err)))
                }
                Some(ScriptStep::Datagram(..) | ScriptStep::Failure(Errno::EINTR)) => continue,
                Some(ScriptStep::Failure(Errno::ENOBUFS)) => Err(Failure::Lost),
                Some(ScriptStep::Failure(Errno::EAGAIN)) | None => Err(Failure::TimedOut),
                Some(ScriptStep::Failure(errno)) => Err(Failure::System(Some(errno))),
                Some(ScriptStep::Truncated(length)) => Err(Failure::Truncated(length)),
            };
        }
    }
}

impl Item {
    /// The end of the answer, if it ends here.
    fn end(&self) -> Option<Result<(), Errno>> {
        let code = self.payload.first_chunk().map(|code| i32::from_ne_bytes(*code).saturating_neg());
        match (self.message_type, code) {
            (MessageType::ERROR | MessageType::DONE, Some(0)) | (MessageType::DONE, None) => Some(Ok(())),
            (MessageType::ERROR | MessageType::DONE, code) => Some(Err(Errno(code.unwrap_or(0)))),
            _ => None,
        }
    }
}

/// The next sequence number. 0 is the number of events.
fn after(sequence: u32) -> u32 {
    if sequence == u32::MAX { 1 } else { sequence + 1 }
}

/// Received datagrams and errors, until the choices are used up.
fn steps(choices: &mut impl Iterator<Item = u8>, first: u32) -> VecDeque<ScriptStep> {
    let mut steps = VecDeque::new();
    while let Some(kind) = choices.next() {
        steps.push_back(match kind % 16 {
            0 => ScriptStep::Failure(Errno::EINTR),
            1 => ScriptStep::Failure(Errno::ENOBUFS),
            2 => ScriptStep::Failure(Errno::EAGAIN),
            3 => ScriptStep::Failure(Errno::ENOMEM),
            4 => ScriptStep::Truncated(40_000),
            5 => ScriptStep::Datagram(datagram(choices, first), 4711),
            _ => ScriptStep::Datagram(datagram(choices, first), 0),
        });
    }
    steps
}

fn datagram(choices: &mut impl Iterator<Item = u8>, first: u32) -> Vec<u8> {
    let mut next = || choices.next().unwrap_or(0);
    let mut bytes = Vec::new();
    for _ in 0..next() % 4 {
        let (kind, place, value) = (next(), next() % 12, next());
        let sequence = if place == 0 { 0 } else { (0..place).fold(first, |sequence, _| after(sequence)) };
        let errno = [Errno(0), Errno::EPERM, Errno::ENOENT, Errno(value.into())][usize::from(value & 3)];
        match kind % 8 {
            0..=2 => bytes.extend(entry(sequence, value.into())),
            3 | 4 => bytes.extend(acknowledgement(sequence, errno)),
            5 => bytes.extend(done(sequence, -errno.0)),
            6 => {
                let payload: Vec<u8> = (0..value & 7).map(|_| next()).collect();
                bytes.extend(control(MessageType(place.into()), Flags::empty(), sequence, &payload));
            }
            _ => bytes.extend((0..value & 31).map(|_| next())),
        }
    }
    bytes
}
