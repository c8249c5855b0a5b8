//! Packets and bytes.

use core::{
    iter::Sum,
    ops::{Add, AddAssign, Sub, SubAssign},
};

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_COUNTERS_BYTES, CTA_COUNTERS_PACKETS, CTA_COUNTERS32_BYTES,
        CTA_COUNTERS32_PACKETS, Encode, Encoder, FixedLayout, HeaderAt,
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
const USUAL: FixedLayout<24, 2> =
    FixedLayout::new([HeaderAt::value(0, 12, CTA_COUNTERS_PACKETS), HeaderAt::value(12, 12, CTA_COUNTERS_BYTES)]);

impl Counters {
    /// Creates counters from both numbers.
    #[must_use]
    pub const fn new(packets: u64, bytes: u64) -> Self {
        Self { packets, bytes }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        match USUAL.recognise(attribute.payload()) {
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
