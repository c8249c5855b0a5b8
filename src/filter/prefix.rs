//! Addresses with a prefix length.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::{error::ParseError, wire::Family};

/// A network: an address and the number of its leading bits that are compared.
///
/// A single address is the network of all its bits. Bits after the prefix are zero: equal networks compare equal.
///
/// # Example
///
/// ```
/// use ctnetlink::Prefix;
///
/// let network: Prefix = "10.1.2.3/8".parse()?;
/// assert_eq!(network.to_string(), "10.0.0.0/8");
/// assert!(network.contains([10, 200, 0, 1].into()));
/// assert_eq!(network, Prefix::new([10, 0, 0, 0].into(), 8)?);
/// assert_eq!(Prefix::new([10, 0, 0, 0].into(), 33).unwrap_err().to_string(),
///     "expected a prefix length of at most 32, found `33`");
/// # Ok::<(), ctnetlink::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Returns the network of the address, with the bits after `length` cleared.
    ///
    /// # Errors
    ///
    /// Fails if `length` exceeds the width of the address: 32 bits for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, ParseError> {
        match address {
            IpAddr::V4(_) if length > 32 => Err(ParseError::new("a prefix length of at most 32", &length.to_string())),
            IpAddr::V6(_) if length > 128 => {
                Err(ParseError::new("a prefix length of at most 128", &length.to_string()))
            }
            address => Ok(Self::masked(address, length)),
        }
    }

    /// As [`new`](Self::new), with lengths above the width of the address taken for the width.
    pub(super) fn masked(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(address.to_bits() & mask).into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), length }
            }
        }
    }

    /// Returns the first address of the network.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the number of leading bits that are compared.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Returns the family of the addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Returns whether the address is in the network. An address of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::masked(address, self.length) == *self
    }

    const fn is_single(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.length == 32,
            IpAddr::V6(_) => self.length == 128,
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::masked(address, u8::MAX)
    }
}

impl From<Ipv4Addr> for Prefix {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Ipv6Addr> for Prefix {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}

macro_rules! from_references {
    ($($address:ty)*) => { $(
        impl From<&$address> for Prefix {
            fn from(address: &$address) -> Self {
                (*address).into()
            }
        }
    )* };
}

from_references!(Prefix IpAddr Ipv4Addr Ipv6Addr);

impl fmt::Display for Prefix {
    /// Prints `10.0.0.0/8`, or only the address if all its bits are compared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.length) }
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    /// Reads an address, or an address, a slash and a length.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseError::new("an address or prefix", text);
        let Some((address, length)) = text.split_once('/') else {
            return text.parse().map(|address: IpAddr| address.into()).map_err(|_| refuse());
        };
        // `u8::from_str` accepts a plus sign.
        if length.starts_with('+') {
            return Err(refuse());
        }
        let address = address.parse().map_err(|_| refuse())?;
        let length = length.parse().map_err(|_| refuse())?;
        Self::new(address, length).map_err(|_| refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_beyond_the_address_is_refused() {
        for text in ["10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/+8", "/8", ""] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert!(Prefix::new([10, 0, 0, 0].into(), 33).is_err());
        assert!(Prefix::new(Ipv6Addr::LOCALHOST.into(), 129).is_err());
        assert_eq!(Prefix::new(Ipv6Addr::LOCALHOST.into(), 128), Ok(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn empty_prefix_contains_every_address_of_its_family_only() {
        let all: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([255, 255, 255, 255].into()));
        assert!(!all.contains(Ipv6Addr::UNSPECIFIED.into()));
    }
}
