//! Events and dumps from scripts.

use std::io;

use super::*;
use crate::{
    ChangeKind, Errno, Tuple,
    exchange::{Datagram, Wait},
    wire::{Encoder, Family, Flags, MessageType},
};

/// What the next receive of events gives: a datagram, an error, or, as 0, nothing.
#[derive(Default)]
struct Events(VecDeque<Result<Vec<u8>, Errno>>);

const NOTHING: Errno = Errno(0);

impl Source for Events {
    fn receive(&mut self, buffer: &mut [u8], _wait: Wait) -> io::Result<Datagram> {
        match self.0.pop_front() {
            Some(Ok(bytes)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(Datagram { length: bytes.len(), sender: 0, namespace: None })
            }
            Some(Err(NOTHING)) | None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Err(errno)) => Err(io::Error::from_raw_os_error(errno.0)),
        }
    }

    fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        std::thread::sleep(patience.min(Duration::from_millis(1)));
        Ok(!self.0.is_empty())
    }

    fn capacity(&self) -> usize {
        212_992
    }
}

/// The datagrams of each dump, without the numbers that tie them to their request; or the error that it fails with.
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

/// A code of 0.
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

fn synchroniser(
    events: impl IntoIterator<Item = Step>,
    dumps: impl IntoIterator<Item = Vec<Step>>,
) -> Synchroniser<Events, Dumps> {
    let stream = EventStream::new(Events(events.into_iter().collect()), None);
    let dumps = Dumps { scripts: dumps.into_iter().collect(), ..Dumps::default() };
    Synchroniser::new(stream, Connection::new(dumps, Some(Duration::from_secs(10))), || None)
}

/// Everything until there is nothing more, errors without their text.
fn all(synchroniser: &mut Synchroniser<Events, Dumps>) -> Vec<Option<(ChangeKind, bool, u16)>> {
    let mut seen = Vec::new();
    loop {
        match synchroniser.next(Patience::None) {
            Ok(Some(change)) => {
                seen.push(Some((change.kind, change.inferred, change.flow.original.source_port().unwrap())));
            }
            Ok(None) if synchroniser.is_dumping() => {}
            Ok(None) => return seen,
            Err(_) => seen.push(None),
        }
    }
}

/// Has the table have the dumps that it needs, each of which waits for as long as the one before it took.
fn settle(synchroniser: &mut Synchroniser<Events, Dumps>, seen: &mut Vec<Option<(ChangeKind, bool, u16)>>) {
    for _ in 0..1000 {
        if synchroniser.table.is_synchronised() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
        seen.extend(all(synchroniser));
    }
    panic!("it does not get synchronised");
}

const fn inferred(kind: ChangeKind, port: u16) -> Option<(ChangeKind, bool, u16)> {
    Some((kind, true, port))
}

const fn told(kind: ChangeKind, port: u16) -> Option<(ChangeKind, bool, u16)> {
    Some((kind, false, port))
}

use ChangeKind::{Appeared, Vanished};

#[test]
fn it_dumps_and_follows() {
    let mut synchroniser = synchroniser([Err(NOTHING), Err(NOTHING), ends(2), begins(3)], [vec![entry(1), entry(2)]]);
    // The second look for events is before the first datagram, the third before the second, of which the end of 2 is
    // older.
    assert_eq!(all(&mut synchroniser), [inferred(Appeared, 1), told(Appeared, 3)]);
    assert_eq!((synchroniser.table.len(), synchroniser.dumps()), (2, 1));
}

#[test]
fn after_a_loss_it_tells_the_differences() {
    let mut synchroniser = synchroniser(
        [Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(NOTHING), Err(Errno::ENOBUFS), begins(5)],
        [vec![entry(1), entry(2)], vec![entry(2), entry(3), entry(5)]],
    );
    let mut seen = all(&mut synchroniser);
    settle(&mut synchroniser, &mut seen);
    let expected =
        [inferred(Appeared, 1), inferred(Appeared, 2), told(Appeared, 5), inferred(Appeared, 3), inferred(Vanished, 1)];
    assert_eq!(seen, expected);
    assert_eq!((synchroniser.stream.overruns(), synchroniser.dumps()), (1, 2));
}

#[test]
fn a_dump_that_fails_is_told_and_tried_again_later() {
    let mut synchroniser = synchroniser([], [vec![entry(1)], vec![entry(1), Err(Errno::ENOMEM)], vec![entry(2)]]);
    assert_eq!(all(&mut synchroniser), [inferred(Appeared, 1)]);
    synchroniser.audit();
    assert_eq!(all(&mut synchroniser), [None]);
    assert_eq!(synchroniser.table.len(), 1, "what the dump did not come to is not taken for gone");
    assert!(synchroniser.due().unwrap() > Instant::now());
    synchroniser.earliest = None;
    assert_eq!(all(&mut synchroniser), [inferred(Appeared, 2), inferred(Vanished, 1)]);
}

#[test]
fn an_event_that_does_not_decode_is_told_and_made_up_for() {
    let mut garbled = begins(1).unwrap();
    garbled[20..24].fill(0xff);
    let mut synchroniser =
        synchroniser([Err(NOTHING), Err(NOTHING), Err(NOTHING), Ok(garbled)], [vec![], vec![entry(1)]]);
    let mut seen = all(&mut synchroniser);
    settle(&mut synchroniser, &mut seen);
    assert_eq!(seen, [None, inferred(Appeared, 1)]);
}

#[test]
fn an_entry_that_does_not_decode_ends_the_dump() {
    let mut garbled = entry(1).unwrap();
    garbled[20..24].fill(0xff);
    let mut synchroniser = synchroniser([], [vec![Ok(garbled)], vec![entry(1)]]);
    assert_eq!(all(&mut synchroniser), [None]);
    assert!(!synchroniser.table.is_synchronised());
}

#[test]
fn the_dump_of_a_table_that_is_resized_meanwhile_is_repeated() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static BUCKETS: AtomicU32 = AtomicU32::new(0);
    let mut synchroniser = synchroniser([], [vec![entry(1)], vec![]]);
    synchroniser.buckets = || Some(BUCKETS.fetch_add(1, Ordering::Relaxed).min(2));
    let mut seen = all(&mut synchroniser);
    assert_eq!((seen.len(), synchroniser.dumps(), synchroniser.table.needs_dump()), (1, 0, true));
    settle(&mut synchroniser, &mut seen);
    assert_eq!(seen, [inferred(Appeared, 1), inferred(Vanished, 1)]);
}

#[test]
fn audits_are_due_when_their_period_is_over() {
    let mut synchroniser = synchroniser([], [vec![entry(1)], vec![entry(2)]]);
    assert_eq!(all(&mut synchroniser).len(), 1);
    assert_eq!(synchroniser.due(), None);
    synchroniser.audit();
    synchroniser.set_audit_period(Some(Duration::from_secs(3600)));
    assert_eq!(all(&mut synchroniser).len(), 2);
    assert!(synchroniser.due().unwrap() > Instant::now() + Duration::from_secs(3000));
}

#[test]
fn synchronising_leaves_nothing_to_tell() {
    let mut synchroniser = synchroniser([], [vec![entry(1), entry(2)]]);
    assert!(synchroniser.synchronise(None).unwrap());
    assert_eq!(synchroniser.table.len(), 2);
    assert_eq!(all(&mut synchroniser), []);
}

#[test]
fn synchronising_ends_with_its_time() {
    let mut synchroniser = synchroniser([], [(1..=50).map(entry).collect()]);
    assert!(!synchroniser.synchronise(Some(Instant::now())).unwrap());
    assert!(synchroniser.synchronise(Instant::now().checked_add(Duration::from_secs(10))).unwrap());
    assert_eq!(synchroniser.table.len(), 50);
}

#[test]
fn patience_ends() {
    let mut synchroniser = synchroniser([], []);
    assert!(synchroniser.next(Patience::Until(Instant::now())).unwrap().is_none());
    assert!(synchroniser.next(Patience::within(Duration::from_millis(2))).unwrap().is_none());
}

#[test]
fn a_dump_does_not_hold_up_whoever_waits_no_longer_than_that() {
    let mut synchroniser = synchroniser([], [(1..=50).map(entry).collect()]);
    // A piece of the dump, not all of it.
    assert!(synchroniser.next(Patience::None).unwrap().is_none());
    assert!(synchroniser.is_dumping() && synchroniser.due().unwrap() <= Instant::now());
    assert_eq!(all(&mut synchroniser).len(), 50);
    synchroniser.audit();
    assert!(synchroniser.next(Patience::Until(Instant::now())).unwrap().is_none());
    assert!(synchroniser.is_dumping());
}

#[test]
fn audits_that_are_asked_for_late_come_all_the_same() {
    let mut synchroniser = synchroniser([], [vec![entry(1)], vec![entry(2)]]);
    assert_eq!(all(&mut synchroniser).len(), 1);
    synchroniser.set_audit_period(Some(Duration::ZERO));
    assert!(synchroniser.due().is_some());
}

#[test]
fn an_audit_that_is_asked_for_during_a_dump_is_not_forgotten() {
    let mut synchroniser = synchroniser([], [(1..=50).map(entry).collect(), vec![entry(1)]]);
    assert!(synchroniser.next(Patience::None).unwrap().is_none());
    assert!(synchroniser.is_dumping());
    synchroniser.audit();
    assert_eq!(all(&mut synchroniser).len(), 50 + 49);
    assert_eq!(synchroniser.dumps(), 2);
}

/// With nobody to listen when the first flow began, the kernel tells no end of it.
#[test]
fn the_begin_of_a_tuple_that_is_used_again_is_told_where_no_end_was() {
    let mut synchroniser = synchroniser([], [vec![entry(1)]]);
    assert_eq!(all(&mut synchroniser), [inferred(Appeared, 1)]);
    let begin_again = |synchroniser: &mut super::Synchroniser<_, _>| {
        synchroniser.stream = EventStream::new(Events([begins(1)].into()), None);
        all(synchroniser)
    };
    assert_eq!(begin_again(&mut synchroniser), [], "it may be the begin of the flow that the dump told");
    synchroniser.audit();
    assert_eq!(all(&mut synchroniser), [inferred(Vanished, 1)]);
    synchroniser.audit();
    synchroniser.connection =
        Connection::new(Dumps { scripts: [vec![entry(1)]].into(), ..Dumps::default() }, Some(Duration::from_secs(10)));
    assert_eq!(all(&mut synchroniser), [inferred(Appeared, 1)]);
    synchroniser.dumped = Instant::now().checked_sub(LATE);
    assert_eq!(all(&mut synchroniser), []);
    assert_eq!(begin_again(&mut synchroniser), [inferred(Vanished, 1), told(Appeared, 1)]);
    assert_eq!(begin_again(&mut synchroniser), [], "it has been told by an event now");
}
