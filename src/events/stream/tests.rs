//! Every fault that a listener can meet, played from a script.

use std::collections::VecDeque;

use super::*;
use crate::{
    ErrorKind, EventKind, Expectation, Flow,
    exchange::script::{Step, tuple},
    wire::{Encoder, Flags, MessageType},
};

const CAPACITY: usize = 2000;
const BEGINNING: Flags = Flags::CREATE.union(Flags::EXCLUSIVE);

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    /// The timeout of each wait.
    waits: Vec<Option<Duration>>,
    /// What the next wait fails with.
    wait_failure: Option<Errno>,
    /// The source is stopped by a wait that comes to nothing.
    is_stopped: bool,
}

impl Source for Script {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        Step::play(&mut self.steps, buffer)
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
        CAPACITY
    }
}

fn stream(steps: impl IntoIterator<Item = Step>) -> EventStream<Script> {
    EventStream::new(Script { steps: steps.into_iter().collect(), ..Script::default() }, None, None)
}

fn kernel(bytes: Vec<u8>) -> Step {
    Step::Datagram(bytes, 0)
}

const OVERRUN: Step = Step::Failure(Errno::ENOBUFS);

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

/// What the stream yielded, in short.
#[derive(Debug, PartialEq)]
enum Seen {
    Flow(EventKind, u16),
    Expectation(EventKind),
    Overrun,
    /// An event does not decode; its message has so many bytes.
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

/// Everything until there is nothing more.
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
fn the_flags_tell_new_from_update() {
    let mut stream = stream([
        kernel(event(MessageType::FLOW_NEW, BEGINNING, 1)),
        kernel(event(MessageType::FLOW_NEW, Flags::empty(), 2)),
        kernel(event(MessageType::FLOW_DELETE, Flags::empty(), 3)),
    ]);
    let expected = [begins(1), Seen::Flow(EventKind::Update, 2), Seen::Flow(EventKind::Destroy, 3)];
    assert_eq!(all(&mut stream), expected);
}

#[test]
fn expectations_are_told_apart_by_their_type() {
    let expectation = Expectation::new(tuple(1), tuple(2), tuple(3));
    let [begin, end] = [MessageType::EXPECTATION_NEW, MessageType::EXPECTATION_DELETE]
        .map(|kind| kernel(message(kind, Flags::empty(), |body| expectation.encode(body))));
    let expected = [Seen::Expectation(EventKind::New), Seen::Expectation(EventKind::Destroy)];
    assert_eq!(all(&mut stream([begin, end])), expected);
}

#[test]
fn the_port_of_who_caused_an_event_is_told() {
    let mut caused = new(1);
    caused[12..16].copy_from_slice(&4711_u32.to_ne_bytes());
    let mut stream = stream([kernel([new(1), caused].concat())]);
    for expected in [None, Some(4711)] {
        let (_, event) = stream.next(Deadline::Now).unwrap().unwrap().flow().unwrap();
        assert_eq!(event.port_id, expected);
    }
}

#[test]
fn many_messages_of_a_datagram_come_in_order() {
    let mut stream = stream([kernel([new(1), new(2), new(3)].concat()), kernel(new(4))]);
    assert_eq!(all(&mut stream), [begins(1), begins(2), begins(3), begins(4)]);
}

/// ti-mo's worker ends at the first ENOBUFS, and conntrack -E with it.
#[test]
fn an_overrun_comes_behind_what_is_older_and_the_stream_goes_on() {
    let mut stream = stream([
        kernel(new(1)),
        OVERRUN,
        kernel([new(2), new(3)].concat()),
        kernel(new(4)),
        Step::EMPTY,
        kernel(new(5)),
    ]);
    assert_eq!(all(&mut stream), [begins(1), begins(2), begins(3), begins(4), Seen::Overrun, begins(5)]);
    assert_eq!(stream.overruns(), 1);
}

/// Otherwise a listener would wait for ever before it tells.
#[test]
fn nothing_is_waited_for_while_an_overrun_is_to_be_told() {
    let mut stream = stream([OVERRUN, kernel(new(1)), Step::EMPTY]);
    assert_eq!(see(stream.next(Deadline::Never).unwrap().unwrap()), begins(1));
    assert_eq!(see(stream.next(Deadline::Never).unwrap().unwrap()), Seen::Overrun);
    assert_eq!(stream.source().waits, []);
}

#[test]
fn a_second_overrun_ends_the_search_for_the_place_of_the_first() {
    let mut stream = stream([OVERRUN, kernel(new(1)), OVERRUN, kernel(new(2)), Step::EMPTY]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Overrun, begins(2), Seen::Overrun]);
    assert_eq!(stream.overruns(), 2);
}

/// New events may come as fast as they are read, so that the buffer is never found empty.
#[test]
fn an_overrun_is_told_at_the_latest_when_the_buffer_cannot_have_held_more() {
    let mut stream = stream([OVERRUN].into_iter().chain((1..=20).map(|port| kernel(new(port)))));
    let seen = all(&mut stream);
    let each = new(1).len() + LEAST_OVERHEAD;
    assert_eq!(seen.iter().position(|seen| *seen == Seen::Overrun), Some(CAPACITY / each + 1));
    assert_eq!(seen.len(), 21);
}

#[test]
fn look_alikes_from_other_senders_are_dropped_and_counted() {
    let mut stream = stream([
        Step::Datagram(new(66), 4711),
        kernel(new(1)),
        Step::Datagram(new(67), u32::MAX),
        Step::Failure(Errno::EINTR),
        kernel(new(2)),
    ]);
    assert_eq!(all(&mut stream), [begins(1), begins(2)]);
    assert_eq!(stream.rejected(), 2);
}

#[test]
fn what_does_not_decode_is_an_item_with_its_bytes_and_the_stream_goes_on() {
    let mut garbled = new(5);
    garbled[20..24].fill(0xff);
    let length = garbled.len();
    let foreign_type = message(MessageType::DONE, Flags::empty(), |_| ());
    let mut stream = stream([kernel([new(1), garbled.clone(), new(2)].concat()), kernel(foreign_type), kernel(new(3))]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Malformed(length), begins(2), Seen::Malformed(20), begins(3)]);
}

#[test]
fn a_length_that_cannot_be_costs_the_rest_of_its_datagram_alone() {
    let mut garbled = new(5);
    garbled[..4].copy_from_slice(&7_u32.to_ne_bytes());
    let rest = [garbled, new(6)].concat();
    let length = rest.len();
    let mut stream = stream([kernel([new(1), rest].concat()), kernel(new(2))]);
    assert_eq!(all(&mut stream), [begins(1), Seen::Malformed(length), begins(2)]);
}

#[test]
fn an_empty_datagram_is_passed_over() {
    assert_eq!(all(&mut stream([kernel(Vec::new()), kernel(new(1))])), [begins(1)]);
}

#[test]
fn a_truncated_datagram_is_an_error_and_the_stream_goes_on() {
    let mut stream = stream([Step::Truncated(40_000), kernel(new(1))]);
    assert_eq!(stream.next(Deadline::Now).unwrap_err().truncated_length(), Some(40_000));
    assert_eq!(all(&mut stream), [begins(1)]);
}

#[test]
fn errors_of_the_socket_are_told_and_the_stream_goes_on() {
    let mut stream = stream([Step::Failure(Errno::ENOMEM), kernel(new(1))]);
    assert_eq!(stream.next(Deadline::Never).unwrap_err().errno(), Some(Errno::ENOMEM));
    assert_eq!(all(&mut stream), [begins(1)]);
}

#[test]
fn a_wait_ends_in_an_error_a_none_or_at_once() {
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
fn a_stopped_stream_ends_without_an_error() {
    let mut stream = stream([kernel(new(1))]);
    assert_eq!(see(stream.next_in_time().unwrap().unwrap()), begins(1));
    assert!(stream.next_in_time().unwrap().is_none(), "the script stops the wait");
    stream.source.steps.push_back(kernel(new(2)));
    assert!(stream.next_in_time().unwrap().is_none() && stream.next(Deadline::Now).unwrap().is_none());
}

#[test]
fn an_interrupted_wait_goes_on_for_the_rest_of_its_time() {
    let mut stream = stream([Step::EMPTY, Step::EMPTY, kernel(new(1))]);
    stream.timeout = Some(Duration::from_secs(10));
    stream.source.wait_failure = Some(Errno::EINTR);
    assert_eq!(see(stream.next_in_time().unwrap().unwrap()), begins(1));
    let waits = &stream.source().waits;
    assert!(waits.len() == 2 && waits[1] < waits[0] && waits[0] <= Some(Duration::from_secs(10)), "{waits:?}");
}

#[test]
fn foreign_datagrams_do_not_prolong_the_wait() {
    let mut stream = stream((0..5).map(|_| Step::Datagram(new(66), 4711)));
    stream.timeout = Some(Duration::ZERO);
    assert!(stream.next_in_time().unwrap_err().is_timed_out());
    assert_eq!(stream.rejected(), 1);
}

/// As many as the buffer may have held when the call began: whatever is there then came later.
#[test]
fn a_flood_of_foreign_datagrams_ends_a_call_that_does_not_wait() {
    let flood = 100;
    let mut stream = stream((0..flood).map(|_| Step::Datagram(new(66), 4711)).chain([kernel(new(1))]));
    let mut calls = 1;
    while stream.next(Deadline::Now).unwrap().is_none() {
        calls += 1;
        assert!(calls < flood, "the event is found");
    }
    assert!(calls > 5, "{calls}");
}

#[test]
fn events_that_the_filter_does_not_match_are_skipped() {
    let filter = Filter::source_port(2) | Filter::source_port(4);
    let mut stream = stream((1..=5).map(|port| kernel(new(port))));
    stream.filter = Some(filter);
    assert_eq!(all(&mut stream), [begins(2), begins(4)]);
}

#[test]
fn a_flood_of_other_events_ends_a_call_that_does_not_wait() {
    let mut stream = stream((0..100).map(|_| kernel(new(1))).chain([kernel(new(2))]));
    stream.filter = Some(Filter::source_port(2));
    let mut calls = 1;
    while stream.next(Deadline::Now).unwrap().is_none() {
        calls += 1;
        assert!(calls < 100, "the event is found");
    }
    assert!(calls > 5, "{calls}");
}
