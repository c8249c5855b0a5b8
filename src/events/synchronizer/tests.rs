//! Scripted events and dumps.

use std::{cell::RefCell, collections::VecDeque, io};

use super::*;
use crate::{
    ChangeKind, Errno, Tuple,
    exchange::{Datagram, Wait},
    wire::{Encoder, Family, Flags, MessageType},
};

/// The results of receiving events: a datagram, an error, or nothing (error 0).
#[derive(Default)]
struct Events {
    steps: VecDeque<Result<Vec<u8>, Errno>>,
    /// The number of buckets that each read returns; the last one stays.
    buckets: RefCell<VecDeque<u32>>,
    is_disabled: bool,
    is_stopped: bool,
    /// When the first step arrives.
    quiet_until: Option<Instant>,
}

const NOTHING: Errno = Errno(0);

impl Source for Events {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Datagram> {
        if self.quiet_until.is_some_and(|end| Instant::now() < end) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.steps.pop_front() {
            Some(Ok(bytes)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(Datagram { length: bytes.len(), sender: 0, namespace: None })
            }
            Some(Err(NOTHING)) | None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Err(errno)) => Err(io::Error::from_raw_os_error(errno.0)),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        std::thread::sleep(timeout.unwrap_or_default().min(Duration::from_millis(1)));
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    fn capacity(&self) -> usize {
        212_992
    }
}

impl Settings for Events {
    fn buckets(&self) -> Option<u32> {
        let mut buckets = self.buckets.borrow_mut();
        if buckets.len() > 1 { buckets.pop_front() } else { buckets.front().copied() }
    }

    fn events_enabled(&self) -> bool {
        !self.is_disabled
    }
}

/// The datagrams of each dump, without sequence numbers, or the error that it fails with.
#[derive(Debug, Default)]
struct Dumps {
    scripts: VecDeque<Vec<Result<Vec<u8>, Errno>>>,
    current: VecDeque<Result<Vec<u8>, Errno>>,
    sequence: [u8; 4],
}

impl Transport for Dumps {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.sequence = datagram[8..12].try_into().unwrap();
        let script = self.scripts.pop_front().unwrap_or_default();
        self.current = script.into_iter().chain([Ok(done())]).collect();
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _wait: Wait) -> io::Result<Datagram> {
        let mut bytes = match self.current.pop_front() {
            Some(Ok(bytes)) => bytes,
            Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno.0)),
            None => return Err(io::ErrorKind::WouldBlock.into()),
        };
        bytes[8..12].copy_from_slice(&self.sequence);
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(Datagram { length: bytes.len(), sender: 0, namespace: None })
    }

    fn wait(&mut self, _patience: Duration) -> io::Result<bool> {
        Ok(!self.current.is_empty())
    }

    fn renew(&mut self) -> io::Result<bool> {
        self.current.clear();
        Ok(true)
    }

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        Ok(Box::new(Self::default()))
    }

    fn receive_capacity(&self) -> usize {
        212_992
    }

    fn send_capacity(&self) -> usize {
        212_992
    }
}

fn message(message_type: MessageType, flags: Flags, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(message_type, flags, 0, Family::IPV4, write);
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}

/// A `DONE` with code 0.
fn done() -> Vec<u8> {
    let mut bytes = message(MessageType::DONE, Flags::MULTI, |_| ());
    bytes[16..20].fill(0);
    bytes
}

fn flow(port: u16) -> Flow {
    let tuple = Tuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into());
    Flow::new(tuple, tuple.inverted().unwrap())
}

type Step = Result<Vec<u8>, Errno>;

fn entry(port: u16) -> Step {
    Ok(message(MessageType::FLOW_NEW, Flags::MULTI, |body| flow(port).encode(body)))
}

fn begins(port: u16) -> Step {
    Ok(message(MessageType::FLOW_NEW, Flags::CREATE, |body| flow(port).encode(body)))
}

fn ends(port: u16) -> Step {
    Ok(message(MessageType::FLOW_DELETE, Flags::empty(), |body| flow(port).encode(body)))
}

fn source(events: impl IntoIterator<Item = Step>) -> Events {
    Events { steps: events.into_iter().collect(), ..Events::default() }
}

fn synchronizer(
    events: impl IntoIterator<Item = Step>,
    dumps: impl IntoIterator<Item = Vec<Step>>,
) -> Synchronizer<Events, Dumps> {
    let stream = EventStream::new(source(events), None, None);
    let dumps = Dumps { scripts: dumps.into_iter().collect(), ..Dumps::default() };
    Synchronizer::new(stream, Connection::new(dumps, Some(Duration::from_secs(10))))
}

/// All changes that are available; an error is `None`.
fn all(synchronizer: &mut Synchronizer<Events, Dumps>) -> Vec<Option<(ChangeKind, bool, u16)>> {
    let mut seen = Vec::new();
    loop {
        match synchronizer.next(Deadline::Now) {
            Ok(Some(change)) => {
                seen.push(Some((change.kind, change.inferred, change.flow.original.source_port().unwrap())));
            }
            Ok(None) if synchronizer.is_dumping() => {}
            Ok(None) => return seen,
            Err(_) => seen.push(None),
        }
    }
}

/// Runs the dumps that the table needs. Each waits for as long as the last dump took.
fn dump_until_synchronized(
    synchronizer: &mut Synchronizer<Events, Dumps>,
    seen: &mut Vec<Option<(ChangeKind, bool, u16)>>,
) {
    for _ in 0..1000 {
        if synchronizer.table.is_synchronized() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
        seen.extend(all(synchronizer));
    }
    panic!("it does not get synchronized");
}

const fn inferred(kind: ChangeKind, port: u16) -> Option<(ChangeKind, bool, u16)> {
    Some((kind, true, port))
}

const fn reported(kind: ChangeKind, port: u16) -> Option<(ChangeKind, bool, u16)> {
    Some((kind, false, port))
}

use ChangeKind::{Appeared, Vanished};

#[test]
fn table_is_dumped_then_follows_events() {
    let mut synchronizer = synchronizer([Err(NOTHING), Err(NOTHING), ends(2), begins(3)], [vec![entry(1), entry(2)]]);
    // Events are read a second time before the first datagram, and a third time before the second. The end of 2 is older
    // than the second datagram.
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 1), reported(Appeared, 3)]);
    assert_eq!((synchronizer.table.len(), synchronizer.dumps()), (2, 1));
}

#[test]
fn differences_after_a_loss_are_yielded() {
    let mut synchronizer = synchronizer(
        [Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(Errno::ENOBUFS), begins(5)],
        [vec![entry(1), entry(2)], vec![entry(2), entry(3), entry(5)]],
    );
    let mut seen = all(&mut synchronizer);
    dump_until_synchronized(&mut synchronizer, &mut seen);
    let expected = [
        inferred(Appeared, 1),
        inferred(Appeared, 2),
        reported(Appeared, 5),
        inferred(Appeared, 3),
        inferred(Vanished, 1),
    ];
    assert_eq!(seen, expected);
    assert_eq!((synchronizer.stream.overruns(), synchronizer.dumps()), (1, 2));
}

#[test]
fn events_before_an_undecodable_one_are_applied_first() {
    let nonsense = Ok(message(MessageType::FLOW_NEW, Flags::CREATE, |_| ()));
    let mut synchronizer = synchronizer([Err(NOTHING), Err(NOTHING), begins(1), nonsense, ends(1)], [vec![]]);
    let mut seen = all(&mut synchronizer);
    seen.truncate(3);
    assert_eq!(seen, [None, reported(Appeared, 1), reported(Vanished, 1)]);
}

#[test]
fn failed_dump_is_reported_and_retried() {
    let mut synchronizer = synchronizer([], [vec![entry(1)], vec![entry(1), Err(Errno::ENOMEM)], vec![entry(2)]]);
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 1)]);
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer), [None]);
    assert_eq!(synchronizer.table.len(), 1, "flows that the dump did not reach stay");
    assert!(synchronizer.next_deadline().unwrap() > Instant::now());
    synchronizer.schedule.earliest = None;
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 2), inferred(Vanished, 1)]);
}

#[test]
fn malformed_event_is_reported_and_repaired() {
    let mut garbled = begins(1).unwrap();
    garbled[20..24].fill(0xff);
    let mut synchronizer =
        synchronizer([Err(NOTHING), Err(NOTHING), Err(NOTHING), Ok(garbled)], [vec![], vec![entry(1)]]);
    let mut seen = all(&mut synchronizer);
    dump_until_synchronized(&mut synchronizer, &mut seen);
    assert_eq!(seen, [None, inferred(Appeared, 1)]);
}

fn garbled_entry() -> Step {
    let mut garbled = entry(66).unwrap();
    garbled[20..24].fill(0xff);
    Ok(garbled)
}

#[test]
fn entry_that_does_not_decode_is_reported_once() {
    let (whole, lacking) = (vec![entry(1), entry(2)], vec![garbled_entry(), entry(1), garbled_entry()]);
    let mut synchronizer = synchronizer([], [lacking.clone(), lacking.clone(), whole, lacking]);
    assert_eq!(all(&mut synchronizer), [None, inferred(Appeared, 1)]);
    assert!(synchronizer.table.is_synchronized() && synchronizer.dumps() == 1, "no other dump would show more");
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer), []);
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 2)]);
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer), [None, inferred(Vanished, 2)], "every entry of the last dump decoded");
    assert_eq!(synchronizer.dumps(), 4);
}

#[test]
fn dump_that_would_not_help_is_not_made_at_once() {
    let mut synchronizer = synchronizer([], [vec![garbled_entry()], vec![garbled_entry(), entry(1)]]);
    assert_eq!(all(&mut synchronizer), [None]);
    let mut receive = |event| {
        synchronizer.stream = EventStream::new(source([event]), None, None);
        let seen = all(&mut synchronizer);
        let minute = Instant::now() + Duration::from_secs(50);
        (seen, synchronizer.next_dump().is_some_and(|due| due > minute))
    };
    assert_eq!(receive(garbled_entry()), (vec![None], true), "the flow of the event may be that of the entry");
    let (mut seen, waits) = receive(Err(Errno::ENOBUFS));
    assert!(!waits, "only a dump repairs a loss");
    dump_until_synchronized(&mut synchronizer, &mut seen);
    assert_eq!(seen, [inferred(Appeared, 1)]);
}

/// After as many as the buffer may have held when the call began: the others came later.
#[test]
fn flood_of_events_without_changes_ends_try_next() {
    let mut synchronizer = synchronizer([], [vec![]]);
    assert_eq!(all(&mut synchronizer), []);
    let flood = 20_000;
    let unknown = (0..flood).map(|_| ends(9));
    synchronizer.stream = EventStream::new(source(unknown.chain([begins(2)])), None, None);
    let mut calls = 1;
    while synchronizer.next(Deadline::Now).unwrap().is_none() {
        calls += 1;
        assert!(calls < flood, "the change is found");
    }
    assert!(calls > 5, "{calls}");
}

/// Plays an audit of a table of 1,000 flows that shows a single flow. `buckets` are the numbers of buckets that are
/// read before and after each receive. Returns the number of completed dumps and of changes.
fn dump_of_a_resized_table(buckets: impl IntoIterator<Item = u32>) -> (u64, usize) {
    let whole: Vec<Step> = (1..=1000).map(entry).collect();
    let mut synchronizer = synchronizer([], [whole.clone(), vec![entry(1)], whole]);
    assert_eq!(all(&mut synchronizer).len(), 1000);
    synchronizer.stream.source_mut().buckets = RefCell::new(buckets.into_iter().collect());
    synchronizer.audit();
    let mut seen = all(&mut synchronizer);
    dump_until_synchronized(&mut synchronizer, &mut seen);
    (synchronizer.dumps(), seen.len())
}

#[test]
fn dump_is_trusted_if_the_size_is_stable() {
    assert_eq!(dump_of_a_resized_table([1024]), (2, 999));
}

#[test]
fn dump_of_a_resized_table_is_repeated() {
    assert_eq!(dump_of_a_resized_table([1024, 2048]), (2, 0));
}

#[test]
fn undone_resize_is_noticed() {
    for looks_before in 1..=4 {
        let buckets = std::iter::repeat_n(1024, looks_before).chain([2048, 1024]);
        assert_eq!(dump_of_a_resized_table(buckets), (2, 0), "{looks_before}");
    }
}

#[test]
fn dump_that_contradicts_events_is_repeated_once() {
    let begin = |port| begins(port);
    let whole = || (1..=100).map(entry).collect::<Vec<Step>>();
    let mut synchronizer = synchronizer((1..=100).map(begin), [whole(), vec![entry(1)], whole(), vec![], vec![]]);
    assert_eq!(all(&mut synchronizer).len(), 100);
    for (expected_dumps, vanished) in [(2, 0), (3, 100)] {
        synchronizer.audit();
        let mut seen = all(&mut synchronizer);
        while synchronizer.dumps() < expected_dumps {
            std::thread::sleep(Duration::from_millis(1));
            seen.extend(all(&mut synchronizer));
        }
        assert_eq!(seen.len(), vanished, "the second dump is believed");
    }
}

#[test]
fn disabled_events_are_reported_once() {
    let mut synchronizer = synchronizer([], [vec![], vec![entry(1)]]);
    assert_eq!(all(&mut synchronizer), []);
    let look = |synchronizer: &mut super::Synchronizer<Events, Dumps>, is_disabled| {
        synchronizer.stream.source_mut().is_disabled = is_disabled;
        synchronizer.schedule.check = Some(Instant::now());
        synchronizer.next(Deadline::Now)
    };
    assert_eq!(look(&mut synchronizer, true).unwrap_err().kind(), ErrorKind::EventsDisabled);
    assert_eq!(look(&mut synchronizer, true).unwrap(), None);
    assert!(synchronizer.table.is_synchronized());
    look(&mut synchronizer, false).unwrap();
    assert!(synchronizer.dumps() == 1 && !synchronizer.table.is_synchronized(), "a dump is due");
    let mut seen = Vec::new();
    dump_until_synchronized(&mut synchronizer, &mut seen);
    assert_eq!(seen, [inferred(Appeared, 1)]);
}

#[test]
fn stopped_mirror_yields_the_rest_and_ends() {
    let mut synchronizer = synchronizer([], [vec![entry(1), entry(2)]]);
    while synchronizer.changes.is_empty() {
        complete(synchronizer.work()).unwrap();
    }
    synchronizer.stream.source_mut().is_stopped = true;
    assert!(synchronizer.next(Deadline::Never).unwrap().is_some());
    assert!(synchronizer.next(Deadline::Never).unwrap().is_none());
    assert!(!synchronizer.synchronize(Deadline::Never).unwrap());
}

#[test]
fn audits_follow_their_period() {
    let mut synchronizer = synchronizer([], [vec![entry(1)], vec![entry(2)]]);
    assert_eq!(all(&mut synchronizer).len(), 1);
    synchronizer.schedule.dumped = Instant::now().checked_sub(LATE);
    assert_eq!(all(&mut synchronizer), []);
    assert_eq!(synchronizer.next_deadline(), None);
    synchronizer.audit();
    synchronizer.set_audit_period(Some(Duration::from_secs(3600)));
    assert_eq!(all(&mut synchronizer).len(), 2);
    synchronizer.schedule.dumped = Instant::now().checked_sub(LATE);
    assert_eq!(all(&mut synchronizer), []);
    assert!(synchronizer.next_deadline().unwrap() > Instant::now() + Duration::from_secs(3000));
}

#[test]
fn synchronizing_drops_the_changes() {
    let mut synchronizer = synchronizer([], [vec![entry(1), entry(2)]]);
    assert!(synchronizer.synchronize(Deadline::Never).unwrap());
    assert_eq!(synchronizer.table.len(), 2);
    assert_eq!(all(&mut synchronizer), []);
}

#[test]
fn synchronizing_ends_at_its_deadline() {
    let mut synchronizer = synchronizer([], [(1..=50).map(entry).collect()]);
    assert!(!synchronizer.synchronize(Deadline::Now).unwrap());
    assert!(synchronizer.synchronize(Deadline::after(Duration::from_secs(10))).unwrap());
    assert_eq!(synchronizer.table.len(), 50);
}

#[test]
fn wait_ends_at_its_deadline() {
    let mut synchronizer = synchronizer([], []);
    assert!(synchronizer.next(Deadline::after(Duration::ZERO)).unwrap().is_none());
    assert!(synchronizer.next(Deadline::after(Duration::from_millis(2))).unwrap().is_none());
}

#[test]
fn dump_does_not_delay_a_caller_beyond_its_deadline() {
    let mut synchronizer = synchronizer([], [(1..=50).map(entry).collect()]);
    // A part of the dump, not all of it.
    assert!(synchronizer.next(Deadline::Now).unwrap().is_none());
    assert!(synchronizer.is_dumping() && synchronizer.next_deadline().unwrap() <= Instant::now());
    assert_eq!(all(&mut synchronizer).len(), 50);
    synchronizer.audit();
    assert!(synchronizer.next(Deadline::after(Duration::ZERO)).unwrap().is_none());
    assert!(synchronizer.is_dumping());
}

#[test]
fn audit_period_may_be_set_late() {
    let mut synchronizer = synchronizer([], [vec![entry(1)], vec![entry(2)]]);
    assert_eq!(all(&mut synchronizer).len(), 1);
    synchronizer.set_audit_period(Some(Duration::ZERO));
    assert!(synchronizer.next_deadline().is_some());
}

#[test]
fn audit_requested_during_a_dump_runs() {
    let mut synchronizer = synchronizer([], [(1..=50).map(entry).collect(), vec![entry(1)]]);
    assert!(synchronizer.next(Deadline::Now).unwrap().is_none());
    assert!(synchronizer.is_dumping());
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer).len(), 50 + 49);
    assert_eq!(synchronizer.dumps(), 2);
}

/// Nobody listened when the first flow began, so the kernel sends no event of its end.
#[test]
fn begin_after_a_silent_end_is_noticed() {
    let mut synchronizer = synchronizer([], [vec![entry(1)]]);
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 1)]);
    let begin_again = |synchronizer: &mut super::Synchronizer<_, _>| {
        synchronizer.stream = EventStream::new(source([begins(1)]), None, None);
        all(synchronizer)
    };
    assert_eq!(begin_again(&mut synchronizer), [], "it may be the begin of the flow that the dump showed");
    synchronizer.audit();
    assert_eq!(all(&mut synchronizer), [inferred(Vanished, 1)]);
    synchronizer.audit();
    synchronizer.connection =
        Connection::new(Dumps { scripts: [vec![entry(1)]].into(), ..Dumps::default() }, Some(Duration::from_secs(10)));
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 1)]);
    synchronizer.schedule.dumped = Instant::now().checked_sub(LATE);
    assert_eq!(all(&mut synchronizer), []);
    assert_eq!(begin_again(&mut synchronizer), [inferred(Vanished, 1), reported(Appeared, 1)]);
    assert_eq!(begin_again(&mut synchronizer), [], "an event has shown it now");
}

/// A caller that waits for events, and is not called in between, learns of the quiet second too.
#[test]
fn begin_after_a_silent_end_is_noticed_by_a_waiting_caller() {
    let mut synchronizer = synchronizer([], [vec![entry(1)]]);
    assert_eq!(all(&mut synchronizer), [inferred(Appeared, 1)]);
    synchronizer.schedule.dumped = Instant::now().checked_sub(LATE - Duration::from_millis(20));
    let mut events = source([begins(1)]);
    events.quiet_until = Some(Instant::now() + Duration::from_millis(60));
    synchronizer.stream = EventStream::new(events, None, None);
    let mut next = || synchronizer.next(Deadline::after(Duration::from_secs(2))).unwrap().map(|change| change.kind);
    assert_eq!([next(), next()], [Some(Vanished), Some(Appeared)]);
}
