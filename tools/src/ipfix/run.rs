//! The exporter between the kernel and the collectors.

use std::{
    fmt, io,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ctnetlink::{Error, ErrorKind, EventGroups, EventRef, EventSocket, Filter, Timestamp};

use super::{Exporter, Moment, Observation, Settings, Totals, dropped_events};

/// Everything that a user can choose.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "an argument that callers build")]
pub struct Configuration {
    /// Collectors. All get the same messages.
    pub collectors: Vec<SocketAddr>,
    /// The events to export.
    pub filter: Option<Filter>,
    /// The bytes that the kernel may keep for events that wait to be read.
    pub receive_buffer: usize,
    /// The settings of the messages.
    pub exporter: Settings,
}

/// The work that was done.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Counts of the exporter.
    pub totals: Totals,
    /// Messages that could not be sent to a collector.
    pub failed_sends: u64,
    /// Events that could not be decoded.
    pub undecodable: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { messages, records, lost } = self.totals;
        write!(f, "exported {records} records in {messages} messages")?;
        for (count, text) in [
            (lost, "events lost"),
            (self.failed_sends, "sends failed"),
            (self.undecodable, "events that could not be decoded"),
        ] {
            if count > 0 {
                write!(f, "; {count} {text}")?;
            }
        }
        Ok(())
    }
}

/// How often the request to stop is noticed, and how long waiting events are exported after it.
const STOP_CHECK: Duration = Duration::from_millis(100);
const LAST_WORK: Duration = Duration::from_secs(5);

/// Exports events until `stop` is true, and then the events that wait already. `ready` is called as soon as no event can be
/// missed any more.
///
/// # Errors
///
/// Fails if the socket for events or a socket for a collector cannot be opened, and if somebody switches events off. Other
/// failures are counted.
pub fn run(configuration: &Configuration, stop: &AtomicBool, ready: impl FnOnce()) -> Result<Summary, Error> {
    let groups = EventGroups::NEW | EventGroups::DESTROY;
    let mut builder = EventSocket::builder(groups).receive_buffer(configuration.receive_buffer);
    if let Some(filter) = &configuration.filter {
        builder = builder.filter(filter);
    }
    let mut events = builder.open()?;
    let mut collectors = Collectors::connect(&configuration.collectors)?;
    let begin = Instant::now();
    let mut exporter = Exporter::new(configuration.exporter, moment(begin));
    exporter.advance(moment(begin), |message| collectors.send(message));
    let (mut losses, mut undecodable, mut end) = (LossCounter::default(), 0, None);
    ready();
    loop {
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(begin.elapsed() + LAST_WORK);
        }
        let wait = exporter.deadline().saturating_sub(begin.elapsed()).min(STOP_CHECK);
        let event = events.next_view_within(if end.is_some() { Duration::ZERO } else { wait });
        let now = moment(begin);
        let mut is_overrun = false;
        match event {
            Ok(Some(EventRef::Overrun)) => is_overrun = true,
            Ok(Some(event)) => {
                if let Some((kind, event)) = event.flow() {
                    let by_program = event.port_id.is_some();
                    let observation = Observation { kind, flow: &event.flow, by_program, received: now.wall };
                    exporter.observe(&observation, now, |message| collectors.send(message));
                }
            }
            Ok(None) if end.is_some() => break,
            Ok(None) => exporter.advance(now, |message| collectors.send(message)),
            Err(error) if error.kind() == ErrorKind::Decode => undecodable += 1,
            Err(error) => return Err(error),
        }
        if core::mem::take(&mut collectors.was_refused) {
            exporter.hasten_templates(now);
        }
        if is_overrun {
            exporter.lose(losses.take(&events, true), now);
        }
        if end.is_some_and(|end| end < now.steady) {
            break;
        }
    }
    let now = moment(begin);
    exporter.lose(losses.take(&events, false), now);
    exporter.finish(now, |message| collectors.send(message));
    Ok(Summary { totals: exporter.totals(), failed_sends: collectors.failed, undecodable })
}

fn moment(begin: Instant) -> Moment {
    Moment { steady: begin.elapsed(), wall: Timestamp::now() }
}

/// Counts lost events.
#[derive(Default)]
struct LossCounter {
    known: u64,
}

impl LossCounter {
    /// Returns the number of events that were lost since the last call.
    fn take(&mut self, events: &EventSocket, is_overrun: bool) -> u64 {
        match dropped_events(events) {
            Ok(drops) => drops.saturating_sub(core::mem::replace(&mut self.known, drops)),
            // Without the kernel's count, an overrun is at least one event.
            Err(_) => u64::from(is_overrun),
        }
    }
}

/// One socket for each collector, for as long as the program runs: each socket may be a flow of its own in the table.
struct Collectors {
    sockets: Vec<UdpSocket>,
    failed: u64,
    /// Whether a collector was down and may have been started again without templates.
    was_refused: bool,
}

impl Collectors {
    fn connect(addresses: &[SocketAddr]) -> Result<Self, io::Error> {
        let connect = |address: &SocketAddr| {
            let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
            let socket = UdpSocket::bind(any)?;
            socket.set_write_timeout(Some(Duration::from_secs(1)))?;
            socket.connect(address)?;
            Ok(socket)
        };
        Ok(Self { sockets: addresses.iter().map(connect).collect::<io::Result<_>>()?, failed: 0, was_refused: false })
    }

    /// A collector that is down refuses datagrams: that is no reason to stop. The refusal is reported when the next message
    /// is sent, which then has to be sent again.
    fn send(&mut self, message: &[u8]) {
        for socket in &self.sockets {
            let mut result = socket.send(message);
            if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                self.failed += 1;
                self.was_refused = true;
                result = socket.send(message);
            }
            self.failed += u64::from(result.is_err());
        }
    }
}
