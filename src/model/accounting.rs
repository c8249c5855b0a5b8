//! Counters and times of a flow, and the statistics of the table and of each processor.

use core::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub, SubAssign},
    time::Duration,
};
use std::time::SystemTime;

use crate::{
    error::DecodeError,
    macros::{pad_if_asked, read_attributes},
    wire::{
        Attribute, AttributeSet, Attributes, CTA_COUNTERS_BYTES, CTA_COUNTERS_PACKETS, CTA_COUNTERS32_BYTES,
        CTA_COUNTERS32_PACKETS, CTA_STATS_CHAIN_TOOLONG, CTA_STATS_CLASH_RESOLVE, CTA_STATS_DELETE,
        CTA_STATS_DELETE_LIST, CTA_STATS_DROP, CTA_STATS_EARLY_DROP, CTA_STATS_ERROR, CTA_STATS_EXP_CREATE,
        CTA_STATS_EXP_DELETE, CTA_STATS_EXP_NEW, CTA_STATS_FOUND, CTA_STATS_GLOBAL_ENTRIES,
        CTA_STATS_GLOBAL_MAX_ENTRIES, CTA_STATS_IGNORE, CTA_STATS_INSERT, CTA_STATS_INSERT_FAILED, CTA_STATS_INVALID,
        CTA_STATS_NEW, CTA_STATS_SEARCH_RESTART, CTA_STATS_SEARCHED, CTA_TIMESTAMP_START, CTA_TIMESTAMP_STOP, Encode,
        Encoder, FixedLayout, HeaderAt, RawMessage,
    },
};

/// Packets and bytes of one direction of a flow (`CTA_COUNTERS_ORIG`, `CTA_COUNTERS_REPLY`).
///
/// The kernel sends them in dumps and when a flow is destroyed, if `net.netfilter.nf_conntrack_acct` was on when the flow
/// began. Events for new and changed flows never carry them. Bytes include the layer 3 header.
///
/// # Example
///
/// ```
/// use ctnetlink::Counters;
///
/// let total: Counters = [Counters::new(1, 60), Counters::new(2, 150)].iter().sum();
/// assert_eq!(total, Counters::new(3, 210));
/// assert_eq!(total - Counters::new(1, 60), Counters::new(2, 150));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel counts nothing else")]
pub struct Counters {
    /// Packets (`CTA_COUNTERS_PACKETS`).
    pub packets: u64,
    /// Bytes including the layer 3 header (`CTA_COUNTERS_BYTES`).
    pub bytes: u64,
}

/// The kernel's layout.
const COUNTERS_LAYOUT: FixedLayout<24, 2> =
    FixedLayout::new([HeaderAt::value(0, 12, CTA_COUNTERS_PACKETS), HeaderAt::value(12, 12, CTA_COUNTERS_BYTES)]);

impl Counters {
    /// Creates counters from both numbers.
    #[must_use]
    pub const fn new(packets: u64, bytes: u64) -> Self {
        Self { packets, bytes }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        match COUNTERS_LAYOUT.recognise(attribute.payload()) {
            Some(nest) => Ok(Self { packets: nest.u64(4), bytes: nest.u64(16) }),
            None => attribute.walk(AttributeSet::Counters, Self::walk),
        }
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_COUNTERS_PACKETS => packets = Attribute::u64,
            CTA_COUNTERS_BYTES => bytes = Attribute::u64,
            CTA_COUNTERS32_PACKETS => packets32 = Attribute::u32,
            CTA_COUNTERS32_BYTES => bytes32 = Attribute::u32,
        );
        let packets = packets.or(packets32.map(u64::from));
        let bytes = bytes.or(bytes32.map(u64::from));
        match (packets, bytes) {
            (Some(packets), Some(bytes)) => Ok(Self { packets, bytes }),
            (None, _) => Err(attributes.missing(CTA_COUNTERS_PACKETS)),
            (_, None) => Err(attributes.missing(CTA_COUNTERS_BYTES)),
        }
    }
}

impl Encode for Counters {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u64(CTA_COUNTERS_PACKETS, self.packets);
        encoder.u64(CTA_COUNTERS_BYTES, self.bytes);
    }
}

impl Add for Counters {
    type Output = Self;

    /// Adds packets and bytes. The sums stop at `u64::MAX`.
    fn add(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_add(other.packets), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Counters {
    type Output = Self;

    /// Subtracts packets and bytes: the traffic between two readings. The differences stop at 0, because a kernel may
    /// have reset the counters in between.
    fn sub(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_sub(other.packets), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

impl SubAssign for Counters {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Self> for Counters {
    fn sum<I: Iterator<Item = &'a Self>>(counters: I) -> Self {
        counters.copied().sum()
    }
}

/// Nanoseconds since 1970 in UTC by the kernel's clock (`CLOCK_REALTIME`).
///
/// # Example
///
/// ```
/// use ctnetlink::Timestamp;
///
/// let time = Timestamp(1_500_000_000);
/// assert_eq!(time.to_string(), "1.500000");
/// assert_eq!(time.since(Timestamp(500_000_000)).as_secs(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[allow(clippy::exhaustive_structs, reason = "a number")]
pub struct Timestamp(
    /// Nanoseconds.
    pub u64,
);

impl Timestamp {
    /// Returns the present by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Returns whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Returns nanoseconds since the last whole second.
    #[must_use]
    pub const fn subsecond_nanoseconds(self) -> u32 {
        (self.0 % 1_000_000_000) as u32
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Timestamp {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.u64().map(Self)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(since.as_nanos().try_into().unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_nanos(timestamp.0)
    }
}

impl fmt::Display for Timestamp {
    /// Prints seconds and microseconds since 1970, as `conntrack -o timestamp` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad_if_asked!(self, f);
        write!(f, "{}.{:06}", self.seconds(), self.subsecond_nanoseconds() / 1000)
    }
}

/// The times when a flow began and ended (`CTA_TIMESTAMP`).
///
/// The kernel sends them if `net.netfilter.nf_conntrack_timestamp` was on when the flow began: the start in dumps, start
/// and stop in DESTROY events, neither in NEW and UPDATE events. The stop of an expired flow is the time at which it
/// expired, however late the kernel noticed.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowTimes, Timestamp};
///
/// let times = FlowTimes::new(Timestamp(1_000), None);
/// assert_eq!((times.start, times.stop), (Some(Timestamp(1_000)), None));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct FlowTimes {
    /// The begin of the flow (`CTA_TIMESTAMP_START`).
    pub start: Option<Timestamp>,
    /// The end of the flow (`CTA_TIMESTAMP_STOP`).
    pub stop: Option<Timestamp>,
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(FlowTimes { ; start, stop });

/// The kernel's layout in a dump.
const TIMES_LAYOUT: FixedLayout<12, 1> = FixedLayout::new([HeaderAt::value(0, 12, CTA_TIMESTAMP_START)]);

impl FlowTimes {
    /// Creates the times of a flow from its begin and, if it has ended, its end.
    #[must_use]
    pub const fn new(start: Timestamp, stop: Option<Timestamp>) -> Self {
        Self { start: Some(start), stop }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        match TIMES_LAYOUT.recognise(attribute.payload()) {
            Some(nest) => Ok(Self { start: Some(Timestamp(nest.u64(4))), stop: None }),
            None => attribute.walk(AttributeSet::Timestamp, Self::walk),
        }
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_TIMESTAMP_START => start = Attribute::u64,
            CTA_TIMESTAMP_STOP => stop = Attribute::u64,
        );
        Ok(Self { start: start.map(Timestamp), stop: stop.map(Timestamp) })
    }
}

impl Encode for FlowTimes {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.optional_u64(CTA_TIMESTAMP_START, self.start.map(|start| start.0));
        encoder.optional_u64(CTA_TIMESTAMP_STOP, self.stop.map(|stop| stop.0));
    }
}

/// Declares a set of 32-bit counts: the struct, its decoding and encoding, and the names under which conntrack(8)
/// prints them.
macro_rules! statistics {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($nest:ident) $(of each $cpu:ident)? {
            $( $(#[$field_meta:meta])* $field:ident = $number:ident => $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
        #[non_exhaustive]
        pub struct $name {
            $(
                /// The processor (`res_id` of the header). There is one message for each possible one.
                pub $cpu: u16,
            )?
            $(
                $(#[$field_meta])*
                #[doc = concat!("\n\n`", stringify!($number), "`.")]
                pub $field: Option<u32>,
            )*
        }

        #[cfg(feature = "serde")]
        crate::macros::serialize_present!($name { $( $cpu )?; $( $field ),* });

        impl $name {
            pub(crate) fn decode(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
                let netfilter = message.netfilter()?;
                let read = || {
                    read_attributes!(netfilter.attributes(AttributeSet::$nest); $( $number => $field = Attribute::u32, )*);
                    Ok(Self { $( $cpu: netfilter.resource(), )? $( $field, )* })
                };
                read().map_err(|error: DecodeError| error.moved(message.attributes_offset()))
            }

            pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
                $( if let Some(value) = self.$field { encoder.u32($number, value); } )*
            }

            /// Iterates over the counts that this kernel sends, in its order, under the names that conntrack(8) prints.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
                [$( ($text, self.$field), )*].into_iter().filter_map(|(name, value)| Some((name, value?)))
            }

            /// Adds the counts of another processor. The counts wrap at 32 bits as the kernel's do.
            #[must_use]
            pub fn sum(self, other: &Self) -> Self {
                let add = |a: Option<u32>, b: Option<u32>| match (a, b) {
                    (Some(a), Some(b)) => Some(a.wrapping_add(b)),
                    (one, None) | (None, one) => one,
                };
                Self { $( $field: add(self.$field, other.$field), )* ..self }
            }
        }
    };
}

statistics! {
    /// One processor's statistics of packets in this namespace (`CTA_STATS_*`, `struct ip_conntrack_stat`).
    ///
    /// The counts have 32 bits and wrap. Which of them are present depends on the kernel: Linux 6.18 sends found, invalid, insert,
    /// insert_failed, drop, early_drop, error, search_restart, clash_resolve and chain_too_long.
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::CpuStatistics::default();
    /// statistics.found = Some(3);
    /// assert_eq!(statistics.iter().collect::<Vec<_>>(), [("found", 3)]);
    /// ```
    pub struct CpuStatistics(CpuStatistics) of each cpu {
        /// Look-ups (not sent by current kernels).
        searched = CTA_STATS_SEARCHED => "searched",
        /// Look-ups that found a flow.
        found = CTA_STATS_FOUND => "found",
        /// Flows added (not sent by current kernels).
        new = CTA_STATS_NEW => "new",
        /// Packets that could not be tracked.
        invalid = CTA_STATS_INVALID => "invalid",
        /// Packets of flows already tracked (before Linux 5.10).
        ignore = CTA_STATS_IGNORE => "ignore",
        /// Flows removed (not sent by current kernels).
        delete = CTA_STATS_DELETE => "delete",
        /// Flows put on the dying list (not sent by current kernels).
        delete_list = CTA_STATS_DELETE_LIST => "delete_list",
        /// Flows inserted into the table.
        insert = CTA_STATS_INSERT => "insert",
        /// Flows that lost a race for their tuple.
        insert_failed = CTA_STATS_INSERT_FAILED => "insert_failed",
        /// Packets dropped because the table was full or memory was short.
        drop = CTA_STATS_DROP => "drop",
        /// Flows removed early to make room in a full table.
        early_drop = CTA_STATS_EARLY_DROP => "early_drop",
        /// ICMP errors and packets with broken headers.
        error = CTA_STATS_ERROR => "error",
        /// Look-ups restarted because the table was resized.
        search_restart = CTA_STATS_SEARCH_RESTART => "search_restart",
        /// Races for a tuple that both sides survived (Linux 5.10 and later).
        clash_resolve = CTA_STATS_CLASH_RESOLVE => "clash_resolve",
        /// Inserts refused because a hash chain was too long (Linux 5.15 and later).
        chain_too_long = CTA_STATS_CHAIN_TOOLONG => "chaintoolong",
    }
}

statistics! {
    /// The size of the table of this namespace (`CTA_STATS_GLOBAL_*`).
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::TableStatistics::default();
    /// statistics.entries = Some(17);
    /// assert_eq!(statistics.iter().collect::<Vec<_>>(), [("entries", 17)]);
    /// ```
    pub struct TableStatistics(TableStatistics) {
        /// Flows, including flows that are being created or removed.
        entries = CTA_STATS_GLOBAL_ENTRIES => "entries",
        /// The maximum number of flows: `net.netfilter.nf_conntrack_max` (Linux 4.18 and later).
        max_entries = CTA_STATS_GLOBAL_MAX_ENTRIES => "max_entries",
    }
}

statistics! {
    /// One processor's statistics of expectations in this namespace (`CTA_STATS_EXP_*`).
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::ExpectationStatistics::default();
    /// statistics.new = Some(2);
    /// assert_eq!(statistics.sum(&statistics).new, Some(4));
    /// ```
    pub struct ExpectationStatistics(ExpectationStatistics) of each cpu {
        /// Expected flows that arrived.
        new = CTA_STATS_EXP_NEW => "expect_new",
        /// Expectations created.
        create = CTA_STATS_EXP_CREATE => "expect_create",
        /// Expectations removed.
        delete = CTA_STATS_EXP_DELETE => "expect_delete",
    }
}
