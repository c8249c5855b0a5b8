//! One end of a tuple.

use core::net::{IpAddr, SocketAddr};

use super::{GreKeys, Layer4, Tuple};
use crate::error::ParseError;

/// One end of a flow: an address, and a port if the protocol has ports.
///
/// # Example
///
/// ```
/// use std::net::SocketAddr;
/// use ctnetlink::{Endpoint, Tuple};
///
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let server: SocketAddr = tuple.destination_endpoint().try_into()?;
/// assert_eq!(server.port(), 22);
/// assert_eq!(Endpoint::from(server), tuple.destination_endpoint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "address and port")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port (for GRE the key), if the protocol has one.
    pub port: Option<u16>,
}

impl Endpoint {
    pub(super) const fn source(tuple: &Tuple) -> Self {
        let port = match tuple.layer4 {
            Layer4::Ports { source, .. } | Layer4::Gre(GreKeys { source, .. }) => Some(source),
            Layer4::Icmp { .. } | Layer4::None => None,
        };
        Self { address: tuple.source, port }
    }

    pub(super) const fn destination(tuple: &Tuple) -> Self {
        let port = match tuple.layer4 {
            Layer4::Ports { destination, .. } | Layer4::Gre(GreKeys { destination, .. }) => Some(destination),
            Layer4::Icmp { .. } | Layer4::None => None,
        };
        Self { address: tuple.destination, port }
    }

    /// Returns the address and port as a socket address. `None` without a port.
    #[must_use]
    pub fn socket_addr(self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.address, port))
    }
}

impl From<SocketAddr> for Endpoint {
    /// An IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`) becomes the IPv4 address, as in a [`Tuple`].
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip().to_canonical(), port: Some(address.port()) }
    }
}

impl From<IpAddr> for Endpoint {
    /// An address without a port. A mapped IPv4 address becomes the IPv4 address.
    fn from(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), port: None }
    }
}

impl TryFrom<Endpoint> for SocketAddr {
    type Error = ParseError;

    /// Fails for an endpoint without a port.
    fn try_from(endpoint: Endpoint) -> Result<Self, ParseError> {
        endpoint.socket_addr().ok_or_else(|| ParseError::new("an endpoint with a port", &endpoint.to_string()))
    }
}
