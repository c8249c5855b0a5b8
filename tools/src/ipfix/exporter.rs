//! The exporter: events in, messages out. It knows no socket and no clock.

use std::time::Duration;

use ctnetlink::{AnyFlow, Timestamp};

use super::{
    record::Observation,
    template::{Field, STATISTICS, STATISTICS_FIELDS, STATISTICS_LENGTH, TEMPLATES},
};

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;
const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;
/// The bit of an element with an enterprise number.
const ENTERPRISE: u16 = 1 << 15;
/// How long a record waits for others in its message.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two reports of lost events.
const LOSS_INTERVAL: Duration = Duration::from_secs(10);

/// The settings of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an argument that callers build")]
pub struct Settings {
    /// The observation domain. Together with the address, collectors identify an exporter by it.
    pub domain: u32,
    /// The largest message in octets, at least [`LEAST_MESSAGE`].
    pub message_size: usize,
    /// How often the templates are sent again. A collector that has started since the last time ignores records.
    pub template_interval: Duration,
    /// How often statistics are sent. A loss of events is sent in any case.
    pub statistics_interval: Option<Duration>,
    /// Leave out the ends of flows without translation.
    pub nat_only: bool,
}

/// The smallest allowed message size: every network carries it.
pub const LEAST_MESSAGE: usize = 512;
/// The largest allowed message size. nfacctd drops messages of more than 10,000 octets.
pub const LARGEST_MESSAGE: usize = 8972;

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: 1,
            message_size: 1400,
            template_interval: Duration::from_secs(60),
            statistics_interval: Some(Duration::from_secs(600)),
            nat_only: false,
        }
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an argument that callers build")]
pub struct Moment {
    /// The time since the start of the program, by a clock that is never set.
    pub steady: Duration,
    /// The time of day.
    pub wall: Timestamp,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Messages that were sent.
    pub messages: u64,
    /// Records of flows in them.
    pub records: u64,
    /// Events that were lost before they reached the exporter.
    pub lost: u64,
}

/// Turns events into messages.
///
/// Each method that may complete a message takes `send`, which is called with the octets of every message at once. All
/// collectors get the same messages.
///
/// **Invariants**: no message is longer than the settings allow; the sequence number of a message is the number of data
/// records in the messages before; templates come before the first record.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    /// The message that is being filled; empty, or longer than a header.
    message: Vec<u8>,
    /// The identifier and the place of the last set of the message.
    set: Option<(u16, usize)>,
    /// Data records in the message: flows and options.
    records: u32,
    /// Data records in all messages before.
    sequence: u32,
    /// When the message must be sent.
    flush: Option<Duration>,
    templates: Duration,
    statistics: Option<Duration>,
    /// When a loss was reported last.
    reported_loss: Option<Duration>,
    totals: Totals,
}

impl Exporter {
    /// Creates an exporter that will send the templates first.
    #[must_use]
    pub fn new(settings: Settings, now: Moment) -> Self {
        let message_size = settings.message_size.clamp(LEAST_MESSAGE, LARGEST_MESSAGE);
        Self {
            settings: Settings { message_size, ..settings },
            message: Vec::with_capacity(message_size),
            set: None,
            records: 0,
            sequence: 0,
            flush: None,
            templates: now.steady,
            statistics: settings.statistics_interval.map(|interval| now.steady + interval),
            reported_loss: None,
            totals: Totals::default(),
        }
    }

    /// Returns the counts so far.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Exports an event, if it has a record.
    pub fn observe(&mut self, event: &Observation<'_, impl AnyFlow>, now: Moment, mut send: impl FnMut(&[u8])) {
        self.advance(now, &mut send);
        let Some(template) = event.template() else { return };
        if self.settings.nat_only && !template.is_translated() {
            return;
        }
        self.open(template.id, template.record_length(), now, &mut send);
        event.write(template, &mut self.message);
        self.records += 1;
        self.totals.records += 1;
    }

    /// Notes that events were lost. The statistics report it soon.
    pub fn lose(&mut self, events: u64, now: Moment) {
        self.totals.lost = self.totals.lost.saturating_add(events);
        let earliest = self.reported_loss.map_or(now.steady, |last| now.steady.max(last + LOSS_INTERVAL));
        self.statistics = Some(self.statistics.map_or(earliest, |planned| planned.min(earliest)));
    }

    /// Sends the templates within a second, for a collector that may have been started just now.
    pub fn hasten_templates(&mut self, now: Moment) {
        self.templates = self.templates.min(now.steady + FLUSH_INTERVAL);
    }

    /// Does the work that is due: sends templates, statistics, and a message with old records.
    pub fn advance(&mut self, now: Moment, mut send: impl FnMut(&[u8])) {
        if self.templates <= now.steady {
            self.templates = now.steady + self.settings.template_interval;
            self.flush(now, &mut send);
            self.write_templates(now, &mut send);
            self.flush(now, &mut send);
        }
        if self.statistics.is_some_and(|due| due <= now.steady) {
            self.write_statistics(now, &mut send);
        }
        if self.flush.is_some_and(|due| due <= now.steady) {
            self.flush(now, &mut send);
        }
    }

    /// Returns when [`advance`](Self::advance) has work to do.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        [self.statistics, self.flush].into_iter().flatten().fold(self.templates, Duration::min)
    }

    /// Sends the rest: waiting records, and statistics of a loss that was not reported yet.
    pub fn finish(&mut self, now: Moment, mut send: impl FnMut(&[u8])) {
        if self.totals.lost > 0 {
            self.write_statistics(now, &mut send);
        }
        self.flush(now, &mut send);
    }

    fn write_templates(&mut self, now: Moment, send: &mut impl FnMut(&[u8])) {
        for template in &TEMPLATES {
            let count = template.fields().count();
            self.open(TEMPLATE_SET, 4 + template.fields().map(specifier_length).sum::<usize>(), now, send);
            put16(&mut self.message, template.id);
            put16(&mut self.message, count as u16);
            template.fields().for_each(|field| put_specifier(&mut self.message, field));
        }
        self.open(OPTIONS_TEMPLATE_SET, 6 + STATISTICS_FIELDS.map(specifier_length).iter().sum::<usize>(), now, send);
        for number in [STATISTICS, STATISTICS_FIELDS.len() as u16, 1] {
            put16(&mut self.message, number);
        }
        STATISTICS_FIELDS.iter().for_each(|field| put_specifier(&mut self.message, *field));
    }

    fn write_statistics(&mut self, now: Moment, send: &mut impl FnMut(&[u8])) {
        self.statistics = self.settings.statistics_interval.map(|interval| now.steady + interval);
        if self.totals.lost > 0 {
            self.reported_loss = Some(now.steady);
        }
        self.open(STATISTICS, STATISTICS_LENGTH, now, send);
        let Totals { messages, records, lost } = self.totals;
        self.message.extend_from_slice(&self.settings.domain.to_be_bytes());
        [messages, records, lost].iter().for_each(|count| self.message.extend_from_slice(&count.to_be_bytes()));
        self.records += 1;
    }

    /// Makes room for a number of octets in a set. Sends the message if they do not fit it.
    fn open(&mut self, set: u16, length: usize, now: Moment, send: &mut impl FnMut(&[u8])) {
        let header = |exporter: &Self| if exporter.is_open(set) { 0 } else { SET_HEADER };
        if self.message.len() + header(self) + length > self.settings.message_size {
            self.flush(now, send);
        }
        if self.message.is_empty() {
            self.message.resize(HEADER, 0);
            self.flush = Some(now.steady + FLUSH_INTERVAL);
        }
        if !self.is_open(set) {
            self.close_set();
            self.set = Some((set, self.message.len()));
            put16(&mut self.message, set);
            put16(&mut self.message, 0);
        }
    }

    fn is_open(&self, set: u16) -> bool {
        self.set.is_some_and(|(open, _)| open == set)
    }

    fn close_set(&mut self) {
        if let Some((_, place)) = self.set.take() {
            let length = (self.message.len() - place) as u16;
            overwrite(&mut self.message, place + 2, &length.to_be_bytes());
        }
    }

    fn flush(&mut self, now: Moment, send: &mut impl FnMut(&[u8])) {
        self.flush = None;
        if self.message.is_empty() {
            return;
        }
        self.close_set();
        let length = self.message.len() as u16;
        overwrite(&mut self.message, 0, &VERSION.to_be_bytes());
        overwrite(&mut self.message, 2, &length.to_be_bytes());
        overwrite(&mut self.message, 4, &(now.wall.seconds() as u32).to_be_bytes());
        overwrite(&mut self.message, 8, &self.sequence.to_be_bytes());
        overwrite(&mut self.message, 12, &self.settings.domain.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(core::mem::take(&mut self.records));
        self.totals.messages += 1;
        send(&self.message);
        self.message.clear();
    }
}

const fn specifier_length(field: Field) -> usize {
    if field.enterprise == 0 { 4 } else { 8 }
}

fn put_specifier(message: &mut Vec<u8>, field: Field) {
    if field.enterprise == 0 {
        put16(message, field.element);
        put16(message, field.length);
    } else {
        put16(message, field.element | ENTERPRISE);
        put16(message, field.length);
        message.extend_from_slice(&field.enterprise.to_be_bytes());
    }
}

fn put16(message: &mut Vec<u8>, number: u16) {
    message.extend_from_slice(&number.to_be_bytes());
}

fn overwrite(message: &mut [u8], place: usize, bytes: &[u8]) {
    if let Some(room) = message.get_mut(place..place + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}
