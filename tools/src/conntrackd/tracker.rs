//! The numbers of the messages that arrived, in FT-FW mode.

use super::wire::Range;

/// The decision on a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the message counts. Otherwise it is a duplicate, or was sent again already.
    pub(super) accepted: bool,
    /// Messages to acknowledge.
    pub(super) acknowledge: Option<Range>,
    /// Messages that are missing before this one.
    pub(super) missing: Option<Range>,
}

/// Acknowledges messages and finds gaps, as conntrackd does.
#[derive(Debug)]
pub(super) struct Tracker {
    last: Option<u32>,
    /// The oldest message that was not acknowledged.
    unacknowledged: Option<u32>,
    /// Messages until the next acknowledgement.
    left: u32,
    /// Messages between acknowledgements.
    window: u32,
}

/// Whether a number comes before another. Numbers wrap around.
const fn is_before(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() < 0
}

impl Tracker {
    pub(super) const fn new(window: u32) -> Self {
        Self { last: None, unacknowledged: None, left: window, window }
    }

    /// Returns whether no message has arrived yet.
    pub(super) const fn is_fresh(&self) -> bool {
        self.last.is_none()
    }

    /// Returns whether a message with this number comes after all others.
    pub(super) fn is_ahead(&self, number: u32) -> bool {
        self.last.is_none_or(|last| is_before(last, number))
    }

    /// Starts over with the first message of a peer that restarted.
    pub(super) fn restart(&mut self, number: u32) -> Verdict {
        *self = Self::new(self.window);
        self.accept(number)
    }

    /// Takes the next message.
    pub(super) fn accept(&mut self, number: u32) -> Verdict {
        let expected = self.last.map_or(number, |last| last.wrapping_add(1));
        if is_before(number, expected) {
            return Verdict::default();
        }
        let mut verdict = Verdict { accepted: true, ..Verdict::default() };
        if number != expected {
            verdict.acknowledge = self.take_unacknowledged();
            verdict.missing = Some(Range { from: expected, to: number.wrapping_sub(1) });
        }
        self.last = Some(number);
        self.unacknowledged.get_or_insert(number);
        self.left -= 1;
        if self.left == 0 {
            verdict.acknowledge = self.take_unacknowledged();
        }
        verdict
    }

    /// Returns the messages that were not acknowledged. The caller acknowledges them.
    pub(super) fn take_unacknowledged(&mut self) -> Option<Range> {
        let range = self.unacknowledged.take().zip(self.last).map(|(from, to)| Range { from, to })?;
        self.left = self.window;
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(from: u32, to: u32) -> Option<Range> {
        Some(Range { from, to })
    }

    #[test]
    fn every_window_is_acknowledged_once() {
        let mut tracker = Tracker::new(3);
        let acknowledged: Vec<_> = (0..7).map(|step| tracker.accept(u32::MAX.wrapping_add(step)).acknowledge).collect();
        assert_eq!(acknowledged, [None, None, range(u32::MAX, 1), None, None, range(2, 4), None]);
        assert_eq!(tracker.take_unacknowledged(), range(5, 5));
        assert_eq!(tracker.take_unacknowledged(), None);
    }

    #[test]
    fn gap_is_reported_and_late_messages_are_dropped() {
        let mut tracker = Tracker::new(10);
        assert!(tracker.accept(100).accepted);
        let verdict = tracker.accept(104);
        assert_eq!((verdict.acknowledge, verdict.missing), (range(100, 100), range(101, 103)));
        assert!(!tracker.accept(102).accepted && !tracker.accept(104).accepted);
        assert_eq!(tracker.take_unacknowledged(), range(104, 104));
        tracker.restart(7);
        assert_eq!(tracker.accept(8), Verdict { accepted: true, ..Verdict::default() });
    }

    /// conntrackd 1.4.7 underflows here.
    #[test]
    fn window_of_one_acknowledges_every_message_after_a_gap() {
        let mut tracker = Tracker::new(1);
        assert_eq!(tracker.accept(1).acknowledge, range(1, 1));
        assert_eq!(tracker.accept(3), Verdict { accepted: true, acknowledge: range(3, 3), missing: range(2, 2) });
        assert_eq!(tracker.accept(4).acknowledge, range(4, 4));
    }
}
