//! Accounting: counters of packets and bytes, and points in time.

use core::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub, SubAssign},
    time::Duration,
};
use std::time::SystemTime;

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_COUNTERS_BYTES, CTA_COUNTERS_PACKETS, CTA_COUNTERS32_BYTES,
        CTA_COUNTERS32_PACKETS, CTA_TIMESTAMP_START, CTA_TIMESTAMP_STOP, Encode, Encoder, FixedLayout, HeaderAt,
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
crate::serde::serialize_present!(FlowTimes { ; start, stop });

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
