//! The layer 3 family in the header of every netfilter message.

use core::net::IpAddr;

use crate::macros::open_enum;

open_enum! {
    /// A layer 3 family (`nfgen_family`): the number of an address family.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Family;
    ///
    /// assert_eq!(Family::of([10, 0, 0, 1].into()), Family::IPV4);
    /// assert_eq!("ipv6".parse(), Ok(Family::IPV6));
    /// ```
    #[derive(Default)]
    pub struct Family(u8) as "a family" {
        /// Any: in a dump, all families.
        #[doc(alias = "AF_UNSPEC")]
        UNSPEC = 0 => "unspec",
        /// IPv4.
        #[doc(alias = "AF_INET")]
        IPV4 = 2 => "ipv4",
        /// IPv6.
        #[doc(alias = "AF_INET6")]
        IPV6 = 10 => "ipv6",
    }
}

impl Family {
    /// The family of an address.
    #[must_use]
    #[inline]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::IPV4,
            IpAddr::V6(_) => Self::IPV6,
        }
    }
}
