//! The destination of a redirected connection before the redirection.

use std::net::SocketAddr;

use super::Client;
use crate::{
    error::{Error, ErrorKind},
    model::{Flow, FlowKey, Protocol, Tuple},
};

impl Client {
    /// Returns the address that a peer sent its packets to, before a rule redirected them (`redirect`, `dnat`) to a socket
    /// of this host: what `SO_ORIGINAL_DST` answers for TCP over IPv4 and IPv6, for any protocol with ports.
    ///
    /// `peer` and `local` are the addresses of the socket; for UDP, `local` is the address that the datagram arrived at
    /// (`IP_PKTINFO`), not the wildcard address. IPv4 addresses that are mapped into IPv6 (`::ffff:192.0.2.1`), as a
    /// dual-stack socket has them, are looked up, and returned, as IPv4.
    ///
    /// Returns `None` if the kernel tracks no such connection. A connection that is not redirected has its own
    /// destination.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    /// use ctnetlink::{Client, Protocol};
    ///
    /// let mut client = Client::open()?;
    /// let (connection, peer) = TcpListener::bind("[::]:8080")?.accept()?;
    /// if let Some(wanted) = client.original_destination(Protocol::TCP, peer, connection.local_addr()?)? {
    ///     println!("{peer} wants {wanted}");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the protocol has no ports or the addresses have different families; otherwise as for
    /// [`get`](Self::get).
    pub fn original_destination(
        &mut self,
        protocol: Protocol,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Option<SocketAddr>, Error> {
        self.original_destination_in_zone(protocol, peer, local, 0)
    }

    /// Returns the original destination of a connection in a conntrack zone: of both directions, or of the reply direction.
    ///
    /// # Errors
    ///
    /// As for [`original_destination`](Self::original_destination).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::Protocol;
    ///
    /// let (peer, local) = ("10.0.0.1:40000".parse()?, "10.0.0.2:8080".parse()?);
    /// let destination = client.original_destination_in_zone(Protocol::TCP, peer, local, 7)?;
    /// println!("{peer} wanted {destination:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn original_destination_in_zone(
        &mut self,
        protocol: Protocol,
        peer: SocketAddr,
        local: SocketAddr,
        zone: u16,
    ) -> Result<Option<SocketAddr>, Error> {
        let key = reply_key(protocol, peer, local, zone)?;
        Ok(self.get(key)?.and_then(destination_of))
    }
}

/// The key of the flow between two sockets, by its replies.
pub(crate) fn reply_key(protocol: Protocol, peer: SocketAddr, local: SocketAddr, zone: u16) -> Result<FlowKey, Error> {
    let [peer, local] = [peer, local].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
    if peer.is_ipv4() != local.is_ipv4() {
        return Err(Error::message(
            ErrorKind::InvalidInput,
            "the peer's and the local address have different families",
        ));
    }
    // The reply goes from the local socket to the peer, whatever the peer sent its packets to.
    let reply = match protocol {
        Protocol::TCP => Tuple::tcp(local, peer),
        Protocol::UDP => Tuple::udp(local, peer),
        Protocol::SCTP => Tuple::sctp(local, peer),
        Protocol::UDPLITE | Protocol::DCCP => Tuple::with_ports(protocol, local, peer),
        _ => return Err(Error::message(ErrorKind::InvalidInput, "the protocol has no ports")),
    };
    Ok(FlowKey::reply(reply).in_zone(zone))
}

pub(crate) fn destination_of(flow: Flow) -> Option<SocketAddr> {
    flow.original.destination_endpoint().socket_addr()
}
