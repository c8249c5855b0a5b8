//! One end of a tuple.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{GreKeys, Layer4, Tuple};

/// One end of a flow: an address, and a port where the protocol has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        Self { address: tuple.source, port: source(tuple.layer4) }
    }

    pub(super) const fn destination(tuple: &Tuple) -> Self {
        Self { address: tuple.destination, port: destination(tuple.layer4) }
    }
}

impl fmt::Display for Endpoint {
    /// Prints `192.0.2.1:80`, `[2001:db8::1]:80`, or the address alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

const fn source(layer4: Layer4) -> Option<u16> {
    match layer4 {
        Layer4::Ports { source, .. } | Layer4::Gre(GreKeys { source, .. }) => Some(source),
        Layer4::Icmp { .. } | Layer4::None => None,
    }
}

const fn destination(layer4: Layer4) -> Option<u16> {
    match layer4 {
        Layer4::Ports { destination, .. } | Layer4::Gre(GreKeys { destination, .. }) => Some(destination),
        Layer4::Icmp { .. } | Layer4::None => None,
    }
}
