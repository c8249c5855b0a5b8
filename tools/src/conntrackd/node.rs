//! One end of the link: datagrams and time in, datagrams out.

use std::time::Duration;

use super::{
    convert::Key,
    expectation::{ExpectationKey, Subject},
    external::{Applied, External},
    outbox::{Control, Item, Outbox},
    record::{ExpectationRecord, FlowRecord},
    statistics::Statistics,
    tracker::{Tracker, Verdict},
    wire::{Body, Kind, Malformed, Message, Messages, Range},
};

/// How messages are exchanged. Both ends need the same mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the modes that are implemented")]
pub enum Mode {
    /// Messages are sent once (`NOTRACK`).
    NoTrack,
    /// Messages are acknowledged, and sent again if they get lost (`FTFW`).
    FtFw,
}

/// The settings of a node.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "every setting has to be chosen")]
pub struct Settings {
    /// The mode.
    pub mode: Mode,
    /// Datagrams stay shorter than this many bytes.
    pub datagram: usize,
    /// Messages that are acknowledged together (conntrackd: `ACKWindowSize`). At least 2: with 1, two nodes would
    /// acknowledge each other's acknowledgements without a pause.
    pub window: u32,
    /// Messages that the peer keeps until they are acknowledged (conntrackd: `ResendQueueSize`).
    pub resend_queue: usize,
    /// The most unacknowledged messages. Further flows wait, which keeps the peer's receive buffer from overflowing.
    pub in_flight: usize,
    /// The most flows of the peer to keep.
    pub external: usize,
    /// The most expectations of the peer to keep, 0 if none are exchanged.
    pub expectations: usize,
    /// The number of the first message. conntrackd takes the seconds of the clock.
    pub first_sequence: u32,
}

impl Settings {
    /// Returns the settings of a conntrackd that was not configured otherwise, for an MTU of 1500 and a million flows. No
    /// expectations are exchanged.
    #[must_use]
    pub const fn new(mode: Mode, first_sequence: u32) -> Self {
        Self {
            mode,
            datagram: 1500 - 28,
            window: 300,
            resend_queue: 131_072,
            in_flight: 4096,
            external: 1 << 20,
            expectations: 0,
            first_sequence,
        }
    }
}

/// The flows and expectations of this end, as they are now.
pub trait Table {
    /// Returns a flow.
    fn flow(&self, key: &Key) -> Option<FlowRecord>;
    /// Returns an expectation.
    fn expectation(&self, key: &ExpectationKey) -> Option<ExpectationRecord>;
    /// Calls `take` with each flow, and then with each expectation.
    fn for_each(&self, take: &mut dyn FnMut(Subject));
}

/// The state of the handshake, which both ends do for themselves (`HELLO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hello {
    /// Nothing was sent yet.
    Initial,
    /// Every message says hello until the peer answers.
    Saying,
    /// The peer answered.
    Done,
}

/// A request for the peer's table, not sent more often than the peer can answer.
#[derive(Debug)]
struct Resync {
    wanted: bool,
    not_before: Duration,
    pause: Duration,
}

/// The pause after a request for the peer's table. It doubles while requests follow each other.
const LEAST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// Something is sent at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// After messages that have to arrive, something is sent this soon: only a later number reveals that the last was lost.
/// The pause doubles up to that of keep-alives.
const PROBE: Duration = Duration::from_millis(100);
/// A peer that was heard within this time is alive.
const ALIVE: Duration = Duration::from_secs(3);
/// Messages that a live peer does not acknowledge for this long are sent again.
const STUCK: Duration = Duration::from_secs(10);

/// One end of the link.
///
/// The owner calls [`note`](Self::note) for each change of its table and [`receive`](Self::receive) for each datagram, and
/// sends the datagrams that [`transmit`](Self::transmit) returns, no later than at [`next_deadline`](Self::next_deadline). Times count
/// from any moment before the first call.
///
/// The rules of conntrackd's FT-FW mode are followed, with these additions, which conntrackd understands:
///
/// - Data wait until the peer has answered the hello, because conntrackd does not notice messages that are lost before.
/// - Data wait while too many messages are on their way, so the resend queue never overflows.
/// - After a gap that the peer's resend queue cannot have kept, its whole table is requested. conntrackd loses flows then.
/// - Messages that a live peer does not acknowledge in time are sent again.
/// - When the peer restarts, each end sends its table and requests the other's.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    outbox: Outbox,
    external: External,
    tracker: Tracker,
    hello: Hello,
    owes_hello_back: bool,
    peer_says_hello: bool,
    next_sequence: u32,
    transmitted: Option<Duration>,
    /// How long to be silent after that.
    silence: Duration,
    received: Option<Duration>,
    /// The oldest message that the peer has not acknowledged, and since when it is the oldest.
    oldest: Option<u32>,
    oldest_since: Duration,
    resync: Resync,
    owes_table: bool,
    statistics: Statistics,
}

impl Node {
    /// Creates a node. In NOTRACK mode, it begins with a request for the peer's table and with its own, and does so again
    /// when it hears the peer after a silence.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let starts_at_once = settings.mode == Mode::NoTrack;
        Self {
            outbox: Outbox::default(),
            external: External::new(settings.external, settings.expectations),
            tracker: Tracker::new(settings.window.max(2)),
            hello: Hello::Initial,
            owes_hello_back: false,
            peer_says_hello: false,
            next_sequence: settings.first_sequence,
            transmitted: None,
            silence: KEEP_ALIVE,
            received: None,
            oldest: None,
            oldest_since: Duration::ZERO,
            resync: Resync { wanted: starts_at_once, not_before: Duration::ZERO, pause: LEAST_PAUSE },
            owes_table: starts_at_once,
            statistics: Statistics::default(),
            settings,
        }
    }

    /// Notes a change of the table, which the peer has to hear of.
    pub fn note(&mut self, kind: Kind, subject: impl Into<Subject>) {
        self.outbox.note(subject.into(), kind);
    }

    /// Sends the whole table with the next datagrams.
    pub const fn send_table(&mut self) {
        self.owes_table = true;
    }

    /// Requests the peer's whole table.
    pub const fn request_table(&mut self) {
        self.resync.wanted = true;
    }

    /// Returns the peer's flows and expectations.
    #[must_use]
    pub const fn external(&self) -> &External {
        &self.external
    }

    /// Removes the peer's flows and expectations.
    pub fn clear_external(&mut self) {
        self.external.clear();
    }

    /// Returns the counts.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Returns the number of flows and expectations that wait to be sent, or were not acknowledged.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbox.subjects()
    }

    /// Returns whether the peer has been heard within the last three seconds, and has answered the hello if there is one.
    #[must_use]
    pub fn is_connected(&self, now: Duration) -> bool {
        self.has_started() && self.is_peer_alive(now)
    }

    fn is_peer_alive(&self, now: Duration) -> bool {
        self.received.is_some_and(|at| now.saturating_sub(at) < ALIVE)
    }

    fn has_started(&self) -> bool {
        self.settings.mode == Mode::NoTrack || self.hello == Hello::Done
    }
}

/// Reception.
impl Node {
    /// Takes a datagram of the peer.
    pub fn receive(&mut self, datagram: &[u8], now: Duration) {
        for message in Messages::new(datagram) {
            match message {
                Ok(message) => self.take(&message, now),
                Err(malformed) => self.count(malformed),
            }
        }
    }

    fn count(&mut self, malformed: Malformed) {
        let statistics = &mut self.statistics;
        let count = match malformed {
            Malformed::Truncated => &mut statistics.truncated,
            Malformed::Size => &mut statistics.wrong_size,
            Malformed::Version => &mut statistics.wrong_version,
            Malformed::Header { .. } => &mut statistics.wrong_header,
            Malformed::Payload => &mut statistics.wrong_payload,
        };
        *count += 1;
        self.owes_hello_back |= malformed == Malformed::Header { hello: true } && self.settings.mode == Mode::FtFw;
    }

    fn take(&mut self, message: &Message<&[u8]>, now: Duration) {
        if self.settings.mode == Mode::NoTrack && !self.is_peer_alive(now) {
            // It has just started, or messages were lost. A request that was sent while it was away did not reach it.
            self.exchange_tables();
        }
        self.received = Some(now);
        self.statistics.received += 1;
        let counts = match self.settings.mode {
            Mode::NoTrack => self.is_expected_without_tracking(message),
            Mode::FtFw => self.is_expected(message, now),
        };
        if counts {
            self.process(message.body, now);
        }
    }

    fn is_expected_without_tracking(&mut self, message: &Message<&[u8]>) -> bool {
        let is_unknown = matches!(message.body, Body::Acknowledge(_) | Body::Missing(_));
        self.statistics.wrong_header += u64::from(is_unknown);
        if let Some(Range { from, to }) = self.tracker.accept(message.sequence).missing {
            self.statistics.missing += u64::from(to.wrapping_sub(from)) + 1;
        }
        !is_unknown
    }

    /// Checks the number of a message and answers a hello.
    fn is_expected(&mut self, message: &Message<&[u8]>, now: Duration) -> bool {
        if message.hello_back && self.hello == Hello::Saying {
            self.hello = Hello::Done;
            self.exchange_tables();
        }
        if let Body::Acknowledge(Range { from, to }) | Body::Missing(Range { from, to }) = message.body
            && to.wrapping_sub(from).cast_signed() < 0
        {
            self.count(Malformed::Header { hello: message.hello });
            return false;
        }
        let began = message.hello && (!self.peer_says_hello || !self.tracker.is_ahead(message.sequence));
        self.peer_says_hello = message.hello;
        self.owes_hello_back |= message.hello;
        let Verdict { accepted, acknowledge, missing } = match began {
            true => self.meet(message.sequence, now),
            false => self.tracker.accept(message.sequence),
        };
        self.statistics.late += u64::from(!accepted);
        let controls = [acknowledge.map(Control::Acknowledge), missing.map(Control::Missing)];
        for control in controls.into_iter().flatten() {
            self.resync.wanted |= !self.outbox.control(control);
        }
        if let Some(Range { from, to }) = missing {
            let count = u64::from(to.wrapping_sub(from)) + 1;
            self.statistics.missing += count;
            // While the peer sent these, and until it hears of the gap, others pushed the first of them out of its queue.
            self.resync.wanted |= count > self.settings.resend_queue as u64 / 2;
        }
        accepted
    }

    /// Takes the first message of a peer that has started, or the first again after a restart.
    fn meet(&mut self, sequence: u32, now: Duration) -> Verdict {
        if !self.tracker.is_fresh() {
            self.statistics.restarts += 1;
            self.external.begin_session(now);
            self.outbox.start_over();
            if self.hello == Hello::Done {
                self.exchange_tables();
            }
        }
        self.tracker.restart(sequence)
    }

    const fn exchange_tables(&mut self) {
        self.owes_table = true;
        self.resync.wanted = true;
    }

    fn process(&mut self, body: Body<&[u8]>, now: Duration) {
        match body {
            Body::Flow(kind, attributes) => {
                let applied = self.external.apply_flow(kind, attributes, now);
                self.count_applied(applied);
            }
            Body::Expectation(..) if self.settings.expectations == 0 => self.statistics.expectations += 1,
            Body::Expectation(kind, attributes) => {
                let applied = self.external.apply_expectation(kind, attributes, now);
                self.count_applied(applied);
            }
            Body::Acknowledge(range) => self.outbox.acknowledge(range),
            Body::Missing(range) => self.statistics.sent_again += self.outbox.missing(range) as u64,
            Body::Resync => {
                self.statistics.resyncs_received += 1;
                self.owes_table = true;
            }
            Body::Alive => {}
        }
    }

    fn count_applied(&mut self, applied: Result<Applied, Malformed>) {
        match applied {
            Ok(Applied::Done) => {}
            Ok(Applied::Unusable) => self.statistics.unusable += 1,
            Ok(Applied::Full) => self.statistics.refused += 1,
            Err(malformed) => self.count(malformed),
        }
    }
}

/// Transmission.
impl Node {
    /// Replaces `datagram` by the next one to send. Returns false if there is none now.
    pub fn transmit(&mut self, now: Duration, table: &impl Table, datagram: &mut Vec<u8>) -> bool {
        datagram.clear();
        self.prepare(now, table);
        while let Some(item) = self.outbox.take(self.may_send_data()) {
            let body = self.body(&item, table);
            let message = self.message(body);
            if !datagram.is_empty() && datagram.len() + message.encoded_len() >= self.settings.datagram {
                self.outbox.put_back(item);
                break;
            }
            self.append(&message, datagram, now);
            match self.settings.mode {
                Mode::NoTrack => self.outbox.forget(&item),
                Mode::FtFw => {
                    self.keep(message.sequence, item);
                    self.silence = PROBE;
                }
            }
        }
        if datagram.is_empty() && self.is_silent_for_too_long(now) {
            self.break_the_silence(datagram, now);
        }
        !datagram.is_empty()
    }

    /// Returns when [`transmit`](Self::transmit) has to be called, if nothing is received and nothing changes until then.
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Duration {
        if self.owes_table && self.has_started() || self.outbox.has_waiting(self.may_send_data()) {
            return now;
        }
        let keep_alive = match self.transmitted {
            Some(at) if !self.owes_hello_back => at + self.silence,
            _ => now,
        };
        let resync = (self.resync.wanted && self.has_started()).then_some(self.resync.not_before);
        [resync, self.external.next_sweep()].into_iter().flatten().fold(keep_alive, Duration::min)
    }

    fn prepare(&mut self, now: Duration, table: &impl Table) {
        self.statistics.swept += self.external.sweep(now) as u64;
        if self.owes_table && self.has_started() {
            self.owes_table = false;
            table.for_each(&mut |subject| self.outbox.note_again(subject));
        }
        if self.resync.wanted && self.has_started() && now >= self.resync.not_before {
            let follows = self.resync.not_before > Duration::ZERO && now < self.resync.not_before + self.resync.pause;
            self.resync.pause = if follows { (self.resync.pause * 2).min(LONGEST_PAUSE) } else { LEAST_PAUSE };
            self.resync.not_before = now + self.resync.pause;
            self.resync.wanted = false;
            self.outbox.control(Control::Resync);
            self.statistics.resyncs_sent += 1;
        }
        if self.is_stuck(now) && self.is_peer_alive(now) {
            self.outbox.send_everything_again();
        }
    }

    /// Returns whether the oldest message was not acknowledged in time.
    ///
    /// Others may be: if the peer gave up the acknowledgement of the oldest, it acknowledges only what follows, and the
    /// oldest would take up the room of flows for ever.
    fn is_stuck(&mut self, now: Duration) -> bool {
        let oldest = self.outbox.oldest_unacknowledged();
        if self.oldest != oldest {
            (self.oldest, self.oldest_since) = (oldest, now);
        }
        oldest.is_some() && now.saturating_sub(self.oldest_since) > STUCK
    }

    fn may_send_data(&self) -> bool {
        self.has_started() && self.outbox.unacknowledged() < self.settings.in_flight
    }

    fn body(&self, item: &Item, table: &impl Table) -> Body<Vec<u8>> {
        match item {
            Item::Control(Control::Acknowledge(range)) => Body::Acknowledge(*range),
            Item::Control(Control::Missing(range)) => Body::Missing(*range),
            Item::Control(Control::Resync) => Body::Resync,
            Item::Data(subject) => {
                let noted = self.outbox.kind(subject);
                match subject {
                    Subject::Flow(key) => match table.flow(key) {
                        Some(record) => Body::Flow(present(noted), record.encode()),
                        None => Body::Flow(Kind::Delete, FlowRecord::of_key(key).encode()),
                    },
                    Subject::Expectation(key) => match table.expectation(key) {
                        Some(record) => Body::Expectation(present(noted), record.encode()),
                        None => Body::Expectation(Kind::Delete, ExpectationRecord::of_key(key).encode()),
                    },
                }
            }
        }
    }

    fn message(&self, body: Body<Vec<u8>>) -> Message<Vec<u8>> {
        let says_hello = self.settings.mode == Mode::FtFw && self.hello != Hello::Done;
        Message { sequence: self.next_sequence, hello: says_hello, hello_back: self.owes_hello_back, body }
    }

    fn append(&mut self, message: &Message<Vec<u8>>, datagram: &mut Vec<u8>, now: Duration) {
        message.encode(datagram);
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.owes_hello_back = false;
        if self.hello == Hello::Initial {
            self.hello = Hello::Saying;
        }
        self.transmitted = Some(now);
        self.statistics.sent += 1;
    }

    fn keep(&mut self, sequence: u32, item: Item) {
        self.outbox.keep(sequence, item);
        self.outbox.bound_sent(self.settings.resend_queue);
    }

    fn is_silent_for_too_long(&self, now: Duration) -> bool {
        self.owes_hello_back || self.transmitted.is_none_or(|at| now.saturating_sub(at) >= self.silence)
    }

    /// Acknowledges the last messages, or sends a keep-alive, whose number reveals the loss of the messages before it.
    fn break_the_silence(&mut self, datagram: &mut Vec<u8>, now: Duration) {
        self.silence = (self.silence * 2).min(KEEP_ALIVE);
        let tracks = self.settings.mode == Mode::FtFw;
        let control = self.tracker.take_unacknowledged().filter(|_| tracks);
        let message = self.message(control.map_or(Body::Alive, Body::Acknowledge));
        self.append(&message, datagram, now);
        if let Some(range) = control {
            self.keep(message.sequence, Item::Control(Control::Acknowledge(range)));
        }
    }

    /// Returns the number of entries of all queues and tables, which memory depends on.
    #[cfg(any(test, fuzzing))]
    pub(super) fn entries(&self) -> usize {
        self.outbox.entries() + self.external.flows().len() + self.external.expectations().len()
    }
}

/// Returns the kind of a message about a subject that is there: since its end was noted, another has taken its place.
const fn present(noted: Kind) -> Kind {
    match noted {
        Kind::Delete => Kind::New,
        noted => noted,
    }
}
