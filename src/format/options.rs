//! What text and XML have in common to be told, besides the flow.

use super::LabelMap;
use crate::{EventKind, Timestamp};

/// The options that both printers have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) kernel_timestamps: bool,
    pub(super) utc_offset_seconds: i32,
    pub(super) event: Option<EventKind>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) now: Option<Timestamp>,
    pub(super) labels: Option<&'a LabelMap>,
}

impl Options<'_> {
    pub(super) const fn new() -> Self {
        Self { kernel_timestamps: false, utc_offset_seconds: 0, event: None, timestamp: None, now: None, labels: None }
    }

    /// The present: what was named so, or the clock.
    pub(super) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }
}

/// Declares the setters of [`Options`] for a printer that has them in its field `options`.
macro_rules! options {
    ($printer:ident) => {
        impl<'a> $printer<'a> {
            /// Whether flows show when they began and ended (`-o ktimestamp`).
            #[must_use]
            pub const fn kernel_timestamps(mut self, kernel_timestamps: bool) -> Self {
                self.options.kernel_timestamps = kernel_timestamps;
                self
            }

            /// The time zone of dates, in seconds east of UTC; 0 unless set. conntrack(8) prints local time.
            #[must_use]
            pub const fn utc_offset_seconds(mut self, utc_offset_seconds: i32) -> Self {
                self.options.utc_offset_seconds = utc_offset_seconds;
                self
            }

            /// What the event that is printed tells (`-E`).
            #[must_use]
            pub const fn event(mut self, event: EventKind) -> Self {
                self.options.event = Some(event);
                self
            }

            /// When the event that is printed came in (`-E -o timestamp`).
            #[must_use]
            pub const fn timestamp(mut self, timestamp: Timestamp) -> Self {
                self.options.timestamp = Some(timestamp);
                self
            }

            /// The present, up to which the age of a flow counts. Unless set, each flow reads the clock.
            #[must_use]
            pub const fn now(mut self, now: Timestamp) -> Self {
                self.options.now = Some(now);
                self
            }

            /// The names of labels (`-o labels`): flows show those of their labels that have a name.
            #[must_use]
            pub const fn labels(mut self, labels: &'a LabelMap) -> Self {
                self.options.labels = Some(labels);
                self
            }
        }
    };
}
pub(super) use options;
