//! Counts of one end of the link.

use std::fmt;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were received and are well-formed.
    pub received: u64,
    /// Datagrams whose rest was shorter than a header.
    pub truncated: u64,
    /// Messages with a wrong length.
    pub wrong_size: u64,
    /// Messages of another version of the protocol.
    pub wrong_version: u64,
    /// Messages with an unknown type or unknown flags.
    pub wrong_header: u64,
    /// Messages with malformed attributes.
    pub wrong_payload: u64,
    /// Messages that name no flow or expectation, or whose values a kernel would refuse.
    pub unusable: u64,
    /// Flows and expectations that did not fit the table of the peer's.
    pub refused: u64,
    /// Messages about expectations, which are not kept unless they are enabled.
    pub expectations: u64,
    /// Duplicates and late messages, which were dropped.
    pub late: u64,
    /// Messages that were missing.
    pub missing: u64,
    /// Messages that the peer missed and that were sent again.
    pub sent_again: u64,
    /// Starts of the peer after the first.
    pub restarts: u64,
    /// Requests for the peer's whole table.
    pub resyncs_sent: u64,
    /// The peer's requests for the whole table.
    pub resyncs_received: u64,
    /// Flows and expectations that a restarted peer did not send again, and that were removed.
    pub swept: u64,
}

impl fmt::Display for Statistics {
    /// Prints a line for each count that is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("messages sent", self.sent),
            ("messages received", self.received),
            ("truncated datagrams", self.truncated),
            ("messages with a wrong length", self.wrong_size),
            ("messages of another version", self.wrong_version),
            ("messages with an unknown type or unknown flags", self.wrong_header),
            ("messages with malformed attributes", self.wrong_payload),
            ("messages that name nothing or carry values out of range", self.unusable),
            ("entries refused because the external table is full", self.refused),
            ("messages about expectations, ignored", self.expectations),
            ("late or duplicate messages, dropped", self.late),
            ("messages missing", self.missing),
            ("messages sent again", self.sent_again),
            ("restarts of the peer", self.restarts),
            ("requests for the peer's table", self.resyncs_sent),
            ("requests of the peer for this table", self.resyncs_received),
            ("entries removed that a restarted peer did not send again", self.swept),
        ];
        counts.iter().filter(|(_, count)| *count > 0).try_for_each(|(name, count)| writeln!(f, "{name}: {count}"))
    }
}
