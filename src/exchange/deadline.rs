//! How long to wait.

use std::time::{Duration, Instant};

/// The end of a wait. One deadline covers every step of a wait, so that interruptions and rejected datagrams do not
/// prolong it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// No waiting at all.
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// A timeout too large for `Instant` means no deadline.
    pub(crate) fn after(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Never, Self::At)
    }

    /// No timeout means no deadline.
    pub(crate) fn after_optional(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Never, Self::after)
    }

    /// The time that is left; `None` without a deadline.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
            Self::Never => None,
        }
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_some_and(|remaining| remaining.is_zero())
    }

    /// The earlier of the two.
    pub(crate) fn or_at(self, other: Option<Instant>) -> Self {
        match (self, other) {
            (Self::At(one), Some(other)) => Self::At(one.min(other)),
            (Self::Never, Some(other)) => Self::At(other),
            (earlier, _) => earlier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_ordered_by_time() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let (sooner, later) = (now + hour, now + 2 * hour);
        assert_eq!(Deadline::At(later).or_at(Some(sooner)), Deadline::At(sooner));
        assert_eq!(Deadline::At(sooner).or_at(Some(later)), Deadline::At(sooner));
        assert_eq!(Deadline::Never.or_at(Some(later)), Deadline::At(later));
        assert_eq!(Deadline::Now.or_at(Some(later)), Deadline::Now);
        assert!(Deadline::Now.has_passed() && Deadline::At(now).has_passed());
        assert!(!Deadline::At(later).has_passed() && !Deadline::Never.has_passed());
    }

    #[test]
    fn a_timeout_too_large_for_the_clock_means_no_deadline() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::Never);
        assert_eq!(Deadline::after_optional(None), Deadline::Never);
    }
}
