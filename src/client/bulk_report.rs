//! What a change by a filter did.

use core::fmt;

use crate::{error::Error, model::FlowKey};

/// The result of changing or deleting by a filter.
///
/// `Display` is a sentence for an operator: `deleted 3 flows`, or `marked 1 flow, 2 had ended` with the verb of
/// [`display_as`](Self::display_as). Counts of zero are left out, and `stopped early` is added if it applies.
///
/// # Examples
///
/// ```no_run
/// use ctnetlink::{Client, Filter};
///
/// let mut client = Client::open()?;
/// let stale: Filter = "src 192.0.2.7 and not assured".parse()?;
/// let report = client.delete_matching(&stale)?;
/// println!("{report}");
/// for (key, error) in report.failures() {
///     println!("{}: {error}", key.tuple.source);
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
pub struct BulkReport {
    verb: &'static str,
    pub(super) matched: u64,
    pub(super) changed: u64,
    vanished: u64,
    failed: u64,
    pub(super) unanswered: u64,
    pub(super) undecodable: u64,
    failures: Vec<(FlowKey, Error)>,
    pub(super) decode_error: Option<Error>,
    pub(super) is_stopped: bool,
}

impl BulkReport {
    /// The most failures that a report keeps. All of them are counted.
    pub const FAILURES: usize = 16;

    pub(super) const fn new(verb: &'static str) -> Self {
        Self {
            verb,
            matched: 0,
            changed: 0,
            vanished: 0,
            failed: 0,
            unanswered: 0,
            undecodable: 0,
            failures: Vec::new(),
            decode_error: None,
            is_stopped: false,
        }
    }

    /// Returns the number of flows that the filter matched.
    #[must_use]
    pub const fn matched(&self) -> u64 {
        self.matched
    }

    /// Returns the number of flows that were changed or deleted.
    #[must_use]
    pub const fn changed(&self) -> u64 {
        self.changed
    }

    /// Returns the number of flows that ended by themselves before they could be changed.
    #[must_use]
    pub const fn vanished(&self) -> u64 {
        self.vanished
    }

    /// Returns the number of flows that the kernel refused to change or delete.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns the number of flows whose result is unknown, because the socket failed after they were sent.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Returns the number of entries that do not decode. They were compared with no filter and left alone.
    #[must_use]
    pub const fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Returns the first [`FAILURES`](Self::FAILURES) flows that the kernel refused to change or delete, with the reasons.
    #[must_use]
    pub fn failures(&self) -> &[(FlowKey, Error)] {
        &self.failures
    }

    /// Returns the error of the first entry that does not decode.
    #[must_use]
    pub const fn decode_error(&self) -> Option<&Error> {
        self.decode_error.as_ref()
    }

    /// Returns true if a [stop handle](crate::Client::stop_handle) ended the change early. The counts are exact, and the rest of
    /// the table was left alone.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Prints the report with another verb in the past tense: `marked 3 flows`.
    #[must_use]
    pub fn display_as<'r>(&'r self, verb: &'r str) -> impl fmt::Display + 'r {
        struct Sentence<'r>(&'r BulkReport, &'r str);
        impl fmt::Display for Sentence<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.print(self.1, f)
            }
        }
        Sentence(self, verb)
    }

    fn print(&self, verb: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = |count| if count == 1 { "flow" } else { "flows" };
        write!(f, "{verb} {} {}", self.changed, flows(self.changed))?;
        let rest = [
            (self.vanished, "had ended"),
            (self.failed, "failed"),
            (self.unanswered, "got no answer"),
            (self.undecodable, "could not be decoded"),
        ];
        rest.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))?;
        f.write_str(if self.is_stopped { ", stopped early" } else { "" })
    }

    /// Counts the result of one flow. Returns an error of the socket, which would also be that of the next flows.
    pub(super) fn note(&mut self, key: FlowKey, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Ok(()) => self.changed += 1,
            Err(error) if error.is_not_found() => self.vanished += 1,
            Err(error) if error.is_of_socket() => {
                self.unanswered += 1;
                return Err(error);
            }
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < Self::FAILURES {
                    self.failures.push((key, error));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for BulkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(self.verb, f)
    }
}

impl Error {
    /// Returns the report on the changes that were made before this error ended a change by a filter early.
    ///
    /// Changes that were made stay. The text of the error repeats the report if it counts anything.
    #[must_use]
    pub fn bulk_report(&self) -> Option<&BulkReport> {
        self.progress()?.downcast_ref()
    }
}

/// Adds the report to an error.
pub(super) fn ended_early(report: BulkReport, error: Error) -> Error {
    let text = if report.matched > 0 { format!(" ({report} before the error)") } else { String::new() };
    error.after_progress(text, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn error_reports_what_was_done_before_it() {
        let report = BulkReport { matched: 7, changed: 5, ..BulkReport::new("deleted") };
        let error = ended_early(report, Error::timed_out());
        assert_eq!(error.to_string(), "nothing arrived in time (deleted 5 flows before the error)");
        assert!(error.is_timed_out());
        assert_eq!(error.bulk_report().map(BulkReport::changed), Some(5));
        let error = ended_early(BulkReport::new("deleted"), Error::timed_out());
        assert_eq!(error.to_string(), "nothing arrived in time");
    }

    #[test]
    fn report_prints_for_an_operator() {
        let mut report = BulkReport { matched: 3, changed: 3, ..BulkReport::new("deleted") };
        assert_eq!(report.to_string(), "deleted 3 flows");
        (report.changed, report.vanished, report.failed) = (1, 1, 1);
        assert_eq!(report.display_as("marked").to_string(), "marked 1 flow, 1 had ended, 1 failed");
        report.is_stopped = true;
        assert_eq!(report.to_string(), "deleted 1 flow, 1 had ended, 1 failed, stopped early");
    }

    #[test]
    fn failures_are_counted_beyond_those_that_are_kept() {
        let mut report = BulkReport::new("deleted");
        let key = FlowKey::original(crate::Tuple::UNSPECIFIED);
        let refused = || Error::message(ErrorKind::Other, "other flows hide this flow");
        (0..100).for_each(|_| report.note(key, Err(refused())).unwrap());
        assert_eq!((report.failed(), report.failures().len()), (100, BulkReport::FAILURES));
    }
}
