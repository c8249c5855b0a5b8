//! Sets of addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{prefix::Prefix, ranges::Ranges};

/// A set of addresses of both families, made of addresses and prefixes.
///
/// It has one form whatever it was made of: neighbours and overlaps are merged. Looking an address up in a set of
/// 10,000 takes a search, not 10,000 comparisons.
///
/// # Example
///
/// ```
/// use ctnetlink::filter::{AddressSet, Prefix};
///
/// let set: AddressSet = ["10.0.0.0/25", "10.0.0.128/25", "fd00::1"]
///     .iter()
///     .map(|text| text.parse::<Prefix>())
///     .collect::<Result<_, _>>()?;
/// assert!(set.contains([10, 0, 0, 200].into()));
/// assert_eq!(set.prefixes().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), ["10.0.0.0/24", "fd00::1"]);
/// # Ok::<(), ctnetlink::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressSet {
    pub(super) ipv4: Ranges<u32>,
    pub(super) ipv6: Ranges<u128>,
}

impl AddressSet {
    /// Whether the address is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.contains(address.to_bits()),
            IpAddr::V6(address) => self.ipv6.contains(address.to_bits()),
        }
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// The fewest prefixes that make up the set, IPv4 first, in order.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        let ipv4 = self.ipv4.as_slice().iter().flat_map(|(first, last)| {
            blocks((*first).into(), (*last).into())
                .map(|(start, bits)| Prefix::new(Ipv4Addr::from_bits(start as u32).into(), 32_u8.saturating_sub(bits)))
        });
        let ipv6 = self.ipv6.as_slice().iter().flat_map(|(first, last)| {
            blocks(*first, *last)
                .map(|(start, bits)| Prefix::new(Ipv6Addr::from_bits(start).into(), 128_u8.saturating_sub(bits)))
        });
        ipv4.chain(ipv6)
    }

    /// Adds the addresses of other sets.
    pub(super) fn extend<'a>(&mut self, sets: impl Iterator<Item = &'a Self> + Clone) {
        self.ipv4.extend(sets.clone().flat_map(|set| set.ipv4.as_slice().iter().copied()));
        self.ipv6.extend(sets.flat_map(|set| set.ipv6.as_slice().iter().copied()));
    }
}

impl<P: Into<Prefix>> FromIterator<P> for AddressSet {
    fn from_iter<I: IntoIterator<Item = P>>(prefixes: I) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for prefix in prefixes.into_iter().map(Into::into) {
            match prefix.address() {
                IpAddr::V4(first) => {
                    let hosts = u32::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
                    ipv4.push((first.to_bits(), first.to_bits() | hosts));
                }
                IpAddr::V6(first) => {
                    let hosts = u128::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
                    ipv6.push((first.to_bits(), first.to_bits() | hosts));
                }
            }
        }
        Self { ipv4: Ranges::new(ipv4), ipv6: Ranges::new(ipv6) }
    }
}

impl<P: Into<Prefix>> From<P> for AddressSet {
    fn from(prefix: P) -> Self {
        core::iter::once(prefix).collect()
    }
}

/// The fewest aligned blocks that make up a range: start and number of free bits of each.
fn blocks(first: u128, last: u128) -> impl Iterator<Item = (u128, u8)> {
    let mut next = Some(first);
    core::iter::from_fn(move || {
        let start = next?;
        // The largest block that starts here, and does not end past the end. `left` is one less than what is left.
        let left = last.checked_sub(start)?;
        let fitting = left.checked_add(1).map_or(128, |count| count.ilog2());
        let bits = fitting.min(start.trailing_zeros());
        let hosts = u128::MAX.checked_shr(128 - bits).unwrap_or(0);
        next = (start | hosts).checked_add(1);
        Some((start, bits as u8))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_whole_of_a_family_is_one_prefix() {
        for text in ["0.0.0.0/0", "::/0", "::1", "255.255.255.255"] {
            let set = AddressSet::from(text.parse::<Prefix>().unwrap());
            assert_eq!(set.prefixes().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), [text]);
        }
    }

    proptest! {
        #[test]
        fn the_prefixes_of_a_set_make_the_same_set(
            ipv4 in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..8),
            ipv6 in prop::collection::vec((any::<u128>(), 0_u8..=128), 0..8),
        ) {
            let ipv4 = ipv4.iter().map(|(bits, length)| Prefix::new(Ipv4Addr::from_bits(*bits).into(), *length));
            let ipv6 = ipv6.iter().map(|(bits, length)| Prefix::new(Ipv6Addr::from_bits(*bits).into(), *length));
            let set: AddressSet = ipv4.chain(ipv6).collect();
            prop_assert_eq!(set.prefixes().collect::<AddressSet>(), set);
        }
    }
}
