//! The report of an accountant: traffic, and the losses that make it incomplete.

use core::fmt;
use std::{collections::HashMap, hash::Hash};

use crate::model::Counters;

/// The traffic since the last report, by key, and the losses that make it incomplete.
///
/// # Example
///
/// ```
/// use ctnetlink::{AnyFlow, Flow, accounting::Accountant};
///
/// let mut accountant = Accountant::new(|flow: &dyn AnyFlow| flow.original().source);
/// let report = accountant.take_report();
/// assert!(report.traffic.is_empty());
/// // Nothing is known of the time before the first reading.
/// assert!(!report.is_exact());
/// assert!(accountant.take_report().is_exact());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficReport<K: Eq + Hash> {
    /// Traffic by key. Contains only keys with traffic, with an offloaded flow or with an incomplete count.
    pub traffic: HashMap<K, Traffic>,
    /// The reasons for missing traffic.
    pub losses: Losses,
}

impl<K: Eq + Hash> TrafficReport<K> {
    /// Returns true if nothing is missing: the counters of every flow were read until now or until its end. Offloaded flows
    /// can still be late: see [`Traffic::offloaded`].
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.losses == Losses::default()
    }

    /// Returns the traffic of all keys together.
    #[must_use]
    pub fn total(&self) -> Traffic {
        self.traffic.values().fold(Traffic::default(), |mut total, traffic| {
            total.original += traffic.original;
            total.reply += traffic.reply;
            total.offloaded |= traffic.offloaded;
            total.incomplete |= traffic.incomplete;
            total
        })
    }
}

impl<K: Eq + Hash> Default for TrafficReport<K> {
    fn default() -> Self {
        Self { traffic: HashMap::new(), losses: Losses::default() }
    }
}

/// The traffic of one key.
///
/// # Example
///
/// ```
/// use ctnetlink::accounting::Traffic;
///
/// assert_eq!(Traffic::default().total().bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Traffic {
    /// Packets and bytes from the initiators of flows.
    pub original: Counters,
    /// Packets and bytes from the responders.
    pub reply: Counters,
    /// True if a flow of the key was offloaded to a flow table or to hardware. Its counters may stand still while packets
    /// pass: their traffic is counted when the counters advance, or never.
    pub offloaded: bool,
    /// True if some traffic of a flow of the key was not counted: see [`Losses`].
    pub incomplete: bool,
}

impl Traffic {
    /// Returns packets and bytes of both directions together.
    #[must_use]
    pub fn total(&self) -> Counters {
        self.original + self.reply
    }
}

/// The reasons why traffic is missing from a [`TrafficReport`].
///
/// # Example
///
/// ```
/// use ctnetlink::{AnyFlow, accounting::{Accountant, Losses}};
///
/// let mut accountant = Accountant::new(|_: &dyn AnyFlow| ());
/// assert_eq!(accountant.take_report().losses.to_string(), "1 gap");
/// assert_eq!(Losses::default().to_string(), "none");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Losses {
    /// Times without observation: before the first reading, while events were lost, and between two dumps without events.
    /// Flows that began and ended in a gap were never seen.
    pub gaps: u64,
    /// Flows whose begin was not seen. Their traffic before the first reading is not counted.
    pub unseen_begins: u64,
    /// The counters of these flows at the first reading: an upper bound for their missing traffic.
    pub before_first_reading: Counters,
    /// Flows that ended without final counters. Their traffic after the last reading is not counted.
    pub unseen_ends: u64,
    /// Counters that went back, because another program set them to zero, or because the kernel gave the identifier of a
    /// flow to the next flow with the same tuple. Traffic between the last reading and that moment is not counted.
    pub resets: u64,
    /// Flows without counters, because `nf_conntrack_acct` was 0 when they began. Their traffic is not counted.
    pub uncounted: u64,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.gaps, "gap", "gaps"),
            (self.unseen_begins, "unseen begin", "unseen begins"),
            (self.unseen_ends, "unseen end", "unseen ends"),
            (self.resets, "reset", "resets"),
            (self.uncounted, "flow without counters", "flows without counters"),
        ];
        let mut separator = "";
        for (count, one, many) in parts {
            if count > 0 {
                write!(f, "{separator}{count} {}", if count == 1 { one } else { many })?;
                separator = ", ";
            }
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}
