//! Scripts of every fault that a listener can meet.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::{
    ErrorKind, EventKind, Expectation, Flow,
    exchange::script::{ScriptStep, tuple},
    wire::{Encoder, Flags, MessageType},
};

const CAPACITY: usize = 2000;
const BEGINNING: Flags = Flags::CREATE.union(Flags::EXCLUSIVE);

#[derive(Default)]
struct Script {
    steps: VecDeque<ScriptStep>,
    /// The timeout of each wait.
    waits: Vec<Option<Duration>>,
    /// The error of the next wait.
    wait_failure: Option<Errno>,
    /// Set by a wait without a limit after the last step.
    is_stopped: bool,
    /// How many datagrams are received together; 0 is one.
    together: usize,
    capacity: usize,
}

impl Source for Script {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        ScriptStep::play(&mut self.steps, buffer)
    }

    /// Like the kernel: an error after the first datagram stays for the next call.
    fn receive_several(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.receive_several(|buffers, received| {
            for buffer in buffers.into_iter().take(self.together.max(1)) {
                let is_failure = matches!(self.steps.front(), Some(ScriptStep::Failure(_)) | None);
                if is_failure && !received.is_empty() {
                    break;
                }
                received.push(ScriptStep::play(&mut self.steps, buffer)?);
            }
            Ok(())
        })
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.waits.push(timeout);
        self.is_stopped = self.steps.is_empty() && timeout.is_none();
        self.wait_failure.take().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno.0)))
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

fn stream(steps: impl IntoIterator<Item = ScriptStep>) -> EventStream<Script> {
    let steps = steps.into_iter().collect();
    EventStream::new(Script { steps, capacity: CAPACITY, ..Script::default() }, None, None)
}

fn kernel(bytes: Vec<u8>) -> ScriptStep {
    ScriptStep::Datagram(bytes, 0)
}

const OVERRUN: ScriptStep = ScriptStep::Failure(Errno::ENOBUFS);

fn message(message_type: MessageType, flags: Flags, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(message_type, flags, 0, crate::Family::IPV4, write);
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}

fn event(message_type: MessageType, flags: Flags, port: u16) -> Vec<u8> {
    let flow = Flow::new(tuple(port), tuple(port).inverted().unwrap());
    message(message_type, flags, |body| flow.encode(body))
}

fn new(port: u16) -> Vec<u8> {
    event(MessageType::FLOW_NEW, BEGINNING, port)
}

/// An item of the stream, in short.
#[derive(Debug, PartialEq)]
enum Seen {
    Flow(EventKind, u16),
    Expectation(EventKind),
    Overrun,
    /// An event that does not decode, and the length of its message.
    Malformed(usize),
}

fn see(event: EventRef<'_>) -> Seen {
    match event {
        EventRef::Overrun => Seen::Overrun,
        EventRef::ExpectationNew(_) | EventRef::ExpectationDestroy(_) => Seen::Expectation(event.kind().unwrap()),
        _ => {
            let (kind, event) = event.flow().unwrap();
            Seen::Flow(kind, event.flow.original().source_port().unwrap())
        }
    }
}

fn begins(port: u16) -> Seen {
    Seen::Flow(EventKind::New, port)
}

/// All items that are available.
fn all(stream: &mut EventStream<Script>) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        match stream.next(Deadline::Now) {
            Ok(Some(event)) => seen.push(see(event)),
            Ok(None) => return seen,
            Err(error) if error.kind() == ErrorKind::Decode => seen.push(Seen::Malformed(stream.message().len())),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn flags_distinguish_new_from_update() {
    let mut stream = stream([
        kernel(event(MessageType::FLOW_NEW, BEGINNING, 1)),
        kernel(event(MessageType::FLOW_NEW, Flags::empty(), 2)),
        kernel(event(MessageType::FLOW_DELETE, Flags::empty(), 3)),
    ]);
    let expected = [begins(1), Seen::Flow(EventKind::Update, 2), Seen::Flow(EventKind::Destroy, 3)];
    assert_eq!(all(&mut stream), expected);
}

#[test]
fn type_distinguishes_expectation_events() {
    let expectation = Expectation::new(tuple(1), tuple(2), tuple(3));
    let [begin, end] = [MessageType::EXPECTATION_NEW, MessageType::EXPECTATION_DELETE]
        .map(|kind| kernel(message(kind, Flags::empty(), |body| expectation.encode(body))));
    let expected = [Seen::Expectation(EventKind::New), Seen::Expectation(EventKind::Destroy)];
    assert_eq!(all(&mut stream([begin, end])), expected);
}

#[test]
fn port_of_the_causing_process_is_reported() {
    let mut caused = new(1);
    caused[12..16].copy_from_slice(&4711_u32.to_ne_bytes());
    let mut stream = stream([kernel([new(1), caused].concat())]);
    for expected in [None, Some(4711)] {
        let (_, event) = stream.next(Deadline::Now).unwrap().unwrap().flow().unwrap();
        assert_eq!(event.port_id, expected);
    }
}

#[test]
fn messages_of_a_datagram_keep_their_order() {
    let mut stream = stream([kernel([new(1), new(2), new(3)].concat()), kernel(new(4))]);
    assert_eq!(all(&mut stream), [begins(1), begins(2), begins(3), begins(4)]);
}

#[test]
fn message_stays_until_the_next_one() {
    let mut stream = stream((1..=4).map(|port| kernel(new(port))).chain([OVERRUN]));
    stream.source.together = 16;
    for port in 1..=4 {
        assert_eq!(see(stream.next(Deadline::Now).unwrap().unwrap()), begins(port));
        assert_eq!(stream.message(), new(port));
    }
    assert_eq!(all(&mut stream), [Seen::Overrun]);
    assert_eq!(stream.message(), new(4));
}

/// The listener of ti-mo/conntrack and conntrack(8) end at the first ENOBUFS.
#[test]
fn overrun_follows_older_events() {
    let mut stream = stream([
        kernel(new(1)),
        OVERRUN,
        kernel([new(2), new(3)].concat()),
        kernel(new(4)),
        ScriptStep::EMPTY,
        kernel(new(5)),
    ]);
    assert_eq!(all(&mut stream), [begins(1), begins(2), begins(3), begins(4), Seen::Overrun, begins(5)]);
    assert_eq!(stream.overruns(), 1);
}

/// Otherwise a listener would wait before it reports the loss.
#[test]
fn no_wait_before_a_pending_overrun() {
    let mut stream = stream([OVERRUN, kernel(new(1)), ScriptStep::EMPTY]);
    assert_eq!(see(stream.next(Deadline::Never).unwrap().unwrap()), begins(1));
    assert_eq!(see(stream.next(Deadline::Never).unwrap().unwrap()), Seen::Overrun);
    assert_eq!(stream.source().waits, []);
}

#[test]
fn second_overrun_ends_the_search_for_the_first() {
    let mut stream = stream([OVERRUN, kernel(new(1)), OVERRUN, kernel(new(2)), ScriptStep::EMPTY]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Overrun, begins(2), Seen::Overrun]);
    assert_eq!(stream.overruns(), 2);
}

/// If events arrive as fast as they are read, the buffer is never found empty.
#[test]
fn overrun_is_yielded_after_a_full_buffer_at_the_latest() {
    let mut stream = stream([OVERRUN].into_iter().chain((1..=20).map(|port| kernel(new(port)))));
    let seen = all(&mut stream);
    let each = new(1).len() + LEAST_OVERHEAD;
    assert_eq!(seen.iter().position(|seen| *seen == Seen::Overrun), Some(CAPACITY / each + 1));
    assert_eq!(seen.len(), 21);
}

#[test]
fn datagrams_of_other_senders_are_rejected() {
    let mut stream = stream([
        ScriptStep::Datagram(new(66), 4711),
        kernel(new(1)),
        ScriptStep::Datagram(new(67), u32::MAX),
        ScriptStep::Failure(Errno::EINTR),
        kernel(new(2)),
    ]);
    assert_eq!(all(&mut stream), [begins(1), begins(2)]);
    assert_eq!(stream.rejected(), 2);
}

#[test]
fn malformed_event_is_an_error_with_its_bytes() {
    let mut garbled = new(5);
    garbled[20..24].fill(0xff);
    let length = garbled.len();
    let foreign_type = message(MessageType::DONE, Flags::empty(), |_| ());
    let mut stream = stream([kernel([new(1), garbled.clone(), new(2)].concat()), kernel(foreign_type), kernel(new(3))]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Malformed(length), begins(2), Seen::Malformed(20), begins(3)]);
}

#[test]
fn invalid_length_skips_the_rest_of_its_datagram() {
    let mut garbled = new(5);
    garbled[..4].copy_from_slice(&7_u32.to_ne_bytes());
    let rest = [garbled, new(6)].concat();
    let length = rest.len();
    let mut stream = stream([kernel([new(1), rest].concat()), kernel(new(2))]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Malformed(length), begins(2)]);
}

#[test]
fn empty_datagram_is_skipped() {
    assert_eq!(all(&mut stream([kernel(Vec::new()), kernel(new(1))])), [begins(1)]);
}

#[test]
fn truncated_datagram_is_an_error() {
    let mut stream = stream([ScriptStep::Truncated(40_000), kernel(new(1))]);
    assert_eq!(stream.next(Deadline::Now).unwrap_err().truncated_length(), Some(40_000));
    assert_eq!(all(&mut stream), [begins(1)]);
}

#[test]
fn stream_goes_on_after_a_socket_error() {
    let mut stream = stream([ScriptStep::Failure(Errno::ENOMEM), kernel(new(1))]);
    assert_eq!(stream.next(Deadline::Never).unwrap_err().errno(), Some(Errno::ENOMEM));
    assert_eq!(all(&mut stream), [begins(1)]);
}

#[derive(Debug, PartialEq)]
enum Found {
    Seen(Seen),
    Failure(Option<Errno>),
    Truncated(usize),
}

/// Everything until the script is over.
fn find_all(stream: &mut EventStream<Script>) -> Vec<Found> {
    let mut found = Vec::new();
    while !stream.source.steps.is_empty() || !stream.inbox.is_read() || stream.loss.is_some() {
        match stream.next(Deadline::Now).map(|event| event.map(see)) {
            Ok(event) => found.extend(event.map(Found::Seen)),
            Err(error) if error.kind() == ErrorKind::Decode => {
                found.push(Found::Seen(Seen::Malformed(stream.message().len())));
            }
            Err(error) => found.push(match error.truncated_length() {
                Some(length) => Found::Truncated(length),
                None => Found::Failure(error.errno()),
            }),
        }
    }
    found
}

fn step() -> impl Strategy<Value = ScriptStep> {
    let kernel = |bytes: Vec<u8>| ScriptStep::Datagram(bytes, 0);
    prop_oneof![
        8 => (1..100_u16).prop_map(move |port| kernel(new(port))),
        2 => (1..100_u16).prop_map(move |port| kernel([new(port), vec![1, 2, 3], new(port + 100)].concat())),
        1 => Just(kernel(Vec::new())),
        1 => (1..100_u16).prop_map(|port| ScriptStep::Datagram(new(port), 4711)),
        1 => Just(ScriptStep::Truncated(40_000)),
        1 => prop_oneof![Just(Errno::EINTR), Just(Errno::ENOMEM), Just(Errno::EAGAIN)].prop_map(ScriptStep::Failure),
        2 => Just(OVERRUN),
    ]
}

proptest! {
    #[test]
    fn receiving_several_together_changes_nothing(
        steps in proptest::collection::vec(step(), 0..60),
        together in 2..=16_usize,
    ) {
        let (mut single, mut several) = (stream(steps.clone()), stream(steps));
        several.source.together = together;
        // With a small buffer, a loss is yielded after all datagrams that were received together.
        (single.source.capacity, several.source.capacity) = (usize::MAX, usize::MAX);
        let (expected, found) = (find_all(&mut single), find_all(&mut several));
        prop_assert_eq!(found, expected);
        prop_assert_eq!((several.overruns(), several.rejected()), (single.overruns(), single.rejected()));
    }
}

/// A program that polls the descriptor after that would not see what the stream holds.
#[test]
fn call_that_skips_does_not_end_before_a_datagram_that_was_received() {
    let foreign = (0..40).map(|_| ScriptStep::Datagram(new(66), 4711));
    let mut stream = stream(foreign.chain([kernel(new(1))]));
    stream.source.together = 16;
    let mut calls = 1;
    while stream.next(Deadline::Now).unwrap().is_none() {
        assert!(stream.inbox.is_read());
        calls += 1;
    }
    assert!(calls > 1, "{calls}");
}

#[test]
fn wait_ends_with_an_error_or_none() {
    let mut impatient = stream([]);
    impatient.timeout = Some(Duration::ZERO);
    assert!(impatient.next_in_time().unwrap_err().is_timed_out());
    let mut patient = stream([]);
    assert!(patient.next(Deadline::after(Duration::from_millis(1))).unwrap().is_none());
    assert!(!patient.source().waits.is_empty());
    let mut now = stream([]);
    assert!(now.next(Deadline::Now).unwrap().is_none());
    assert_eq!(now.source().waits, []);
}

#[test]
fn stopped_stream_ends_without_an_error() {
    let mut stream = stream([kernel(new(1))]);
    assert_eq!(see(stream.next_in_time().unwrap().unwrap()), begins(1));
    assert!(stream.next_in_time().unwrap().is_none(), "the script stops the wait");
    stream.source.steps.push_back(kernel(new(2)));
    assert!(stream.next_in_time().unwrap().is_none() && stream.next(Deadline::Now).unwrap().is_none());
}

#[test]
fn interrupted_wait_goes_on() {
    let mut stream = stream([ScriptStep::EMPTY, ScriptStep::EMPTY, kernel(new(1))]);
    stream.timeout = Some(Duration::from_secs(10));
    stream.source.wait_failure = Some(Errno::EINTR);
    assert_eq!(see(stream.next_in_time().unwrap().unwrap()), begins(1));
    let waits = &stream.source().waits;
    assert!(waits.len() == 2 && waits[1] < waits[0] && waits[0] <= Some(Duration::from_secs(10)), "{waits:?}");
}

#[test]
fn foreign_datagrams_do_not_prolong_the_wait() {
    let mut stream = stream((0..5).map(|_| ScriptStep::Datagram(new(66), 4711)));
    stream.timeout = Some(Duration::ZERO);
    assert!(stream.next_in_time().unwrap_err().is_timed_out());
    assert_eq!(stream.rejected(), 1);
}

/// After as many as the buffer may have held when the call began: the others came later.
#[test]
fn flood_of_rejected_datagrams_ends_try_next() {
    let flood = 100;
    let mut stream = stream((0..flood).map(|_| ScriptStep::Datagram(new(66), 4711)).chain([kernel(new(1))]));
    let mut calls = 1;
    while stream.next(Deadline::Now).unwrap().is_none() {
        calls += 1;
        assert!(calls < flood, "the event is found");
    }
    assert!(calls > 5, "{calls}");
}

#[test]
fn events_that_do_not_match_are_skipped() {
    let filter = Filter::source_port(2) | Filter::source_port(4);
    let mut stream = stream((1..=5).map(|port| kernel(new(port))));
    stream.filter = Some(filter);
    assert_eq!(all(&mut stream), [begins(2), begins(4)]);
}

#[test]
fn flood_of_filtered_events_ends_try_next() {
    let mut stream = stream((0..100).map(|_| kernel(new(1))).chain([kernel(new(2))]));
    stream.filter = Some(Filter::source_port(2));
    let mut calls = 1;
    while stream.next(Deadline::Now).unwrap().is_none() {
        calls += 1;
        assert!(calls < 100, "the event is found");
    }
    assert!(calls > 5, "{calls}");
}
