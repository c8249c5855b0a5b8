//! Addresses and ports to which an endpoint is translated.

use super::{AddressSet, NumberSet, ranges::Ranges};
use crate::model::Endpoint;

/// The addresses and ports to which NAT translates an endpoint: any, or those in a set.
///
/// [`Filter::source_nat`](crate::Filter::source_nat), [`destination_nat`](crate::Filter::destination_nat) and
/// [`nat`](crate::Filter::nat) take it.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, Prefix, filter::Translation};
///
/// let network: Prefix = "192.0.2.0/24".parse()?;
/// let filter = Filter::source_nat(Translation::to(network).port(1024..));
/// assert_eq!(filter.to_string(), "src-nat 192.0.2.0/24 port 1024-65535");
/// assert_eq!(Filter::destination_nat(Translation::any()).to_string(), "dst-nat");
/// # Ok::<(), ctnetlink::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Translation {
    pub(super) addresses: Option<AddressSet>,
    pub(super) ports: Option<Ranges<u64>>,
}

impl Translation {
    /// A translation to any address and port.
    #[must_use]
    pub const fn any() -> Self {
        Self { addresses: None, ports: None }
    }

    /// A translation to one of these addresses.
    #[must_use]
    pub fn to(addresses: impl Into<AddressSet>) -> Self {
        Self { addresses: Some(addresses.into()), ports: None }
    }

    /// Requires that the endpoint has one of these ports after the translation (for GRE, one of these keys).
    ///
    /// The port itself need not have changed.
    #[must_use]
    pub fn port(self, ports: impl Into<NumberSet<u16>>) -> Self {
        Self { ports: Some(ports.into().into_ranges()), ..self }
    }

    pub(super) fn contains(&self, end: Endpoint) -> bool {
        self.addresses.as_ref().is_none_or(|set| set.contains(end.address))
            && self.ports.as_ref().is_none_or(|set| end.port.is_some_and(|port| set.contains(port.into())))
    }

    pub(super) fn is_impossible(&self) -> bool {
        self.addresses.as_ref().is_some_and(AddressSet::is_empty) || self.ports.as_ref().is_some_and(Ranges::is_empty)
    }
}
