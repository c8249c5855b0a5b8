//! Flows: get, create, change, delete, and the original destination of a connection.
//!
//! [`request::aimed`](crate::request::aimed) explains why a key can reach another flow. In every form of the key, the flow
//! that it names can answer. Therefore "not found" is final, and if another flow answers, the next form is tried.

use std::net::SocketAddr;

use super::Client;
use crate::{
    error::{EncodeError, Errno, Error, ErrorKind, KernelError, Operation},
    exchange::{Connection, Transport, complete},
    model::{Direction, Family, Flow, FlowKey, Protocol, Tuple},
    request::{
        Aimed, Command, DeleteFlow, DumpFlows, EncodeRequest, FlowUpdate, FlushFlows, GetFlow, NewFlow, RequestHeader,
        UNUSED_ZONE, UpdateFlow, aimed, zone_of,
    },
    wire::Encoder,
};

impl Client {
    /// Returns the flow that a key names, or `None` if there is none.
    ///
    /// Tuple, direction, zone and, if the key has one, the identifier have to match the flow. A flow whose *replies*
    /// have the original tuple of the key is another flow.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{FlowKey, Tuple};
    ///
    /// let key = FlowKey::original(Tuple::tcp("10.0.0.1:40000".parse()?, "192.0.2.1:443".parse()?));
    /// match client.get(key)? {
    ///     Some(flow) => println!("{flow}"),
    ///     None => println!("no such connection"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        complete(self.get_async(key.into()))
    }

    pub(crate) async fn get_async(&mut self, key: FlowKey) -> Result<Option<Flow>, Error> {
        Ok(self.find(Operation::GetFlow, key).await?.map(|found| found.flow))
    }

    /// Returns the flow that a key names and sets its counters to zero in the same step. No packet is lost.
    ///
    /// The flow is looked up first: the kernel compares no identifier here, and would zero the counters of another flow
    /// that took over the tuple.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{FlowKey, Tuple};
    ///
    /// let key = FlowKey::original(Tuple::tcp("10.0.0.1:40000".parse()?, "192.0.2.1:443".parse()?));
    /// if let Some(flow) = client.get_and_zero_counters(key)? {
    ///     println!("{:?} since the last call", flow.total_counters());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_and_zero_counters(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        complete(self.get_and_zero_counters_async(key.into()))
    }

    pub(crate) async fn get_and_zero_counters_async(&mut self, key: FlowKey) -> Result<Option<Flow>, Error> {
        let Some(Found { key, .. }) = self.find(Operation::GetFlow, key).await? else { return Ok(None) };
        let zeroed = self.connection.fetch(&GetFlow::new(key).and_zero_counters(), Flow::decode).await;
        not_found_is_none(zeroed).map(Option::flatten)
    }

    /// Creates a flow.
    ///
    /// # Errors
    ///
    /// [`is_already_exists`](Error::is_already_exists) if a flow with one of the tuples exists; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::NewFlow;
    ///
    /// let flow = NewFlow::udp("10.0.0.1:40000".parse()?, "192.0.2.1:53".parse()?).timeout(60);
    /// match client.create(&flow) {
    ///     Err(error) if error.is_already_exists() => println!("it exists already"),
    ///     result => result?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(&mut self, flow: &NewFlow) -> Result<(), Error> {
        self.execute(flow)
    }

    /// Changes a flow. Only the attributes that the update names are sent.
    ///
    /// The flow is looked up first, since the kernel compares no identifier in an update and wants the status bits of the
    /// flow repeated: an update by the key of a flow that has ended fails, even if another flow has taken over its tuple.
    /// An update to a timeout of 0 ends the flow at once.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) if there is no such flow; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others. The kernel applies an update attribute by
    /// attribute: those before the one that it refuses stay applied.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{FlowKey, FlowUpdate, Tuple};
    ///
    /// let key = FlowKey::original(Tuple::tcp("10.0.0.1:40000".parse()?, "192.0.2.1:443".parse()?));
    /// client.update(key, &FlowUpdate::new().mark(7).timeout(600))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(&mut self, key: impl Into<FlowKey>, update: &FlowUpdate) -> Result<(), Error> {
        complete(self.update_async(key.into(), update))
    }

    pub(crate) async fn update_async(&mut self, key: FlowKey, update: &FlowUpdate) -> Result<(), Error> {
        refuse_empty(update)?;
        let operation = Operation::UpdateFlow;
        let finder = Finder { operation, zones: self.has_zones(operation).await? };
        finder.update(&mut self.connection, key, update).await
    }

    /// Deletes one flow.
    ///
    /// A key with an identifier (as that of a flow from a dump) spares another flow that has the same tuple. It does not
    /// protect a *later* flow with the same tuple, because the kernel uses identifiers again: of 20,000 flows that were
    /// deleted and created again at once, 19,999 had the identifier of their predecessor.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) if there is no such flow.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{FlowKey, Tuple};
    ///
    /// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "192.0.2.1:53".parse()?));
    /// match client.delete(key) {
    ///     Err(error) if error.is_not_found() => println!("it has already ended"),
    ///     result => result?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete(&mut self, key: impl Into<FlowKey>) -> Result<(), Error> {
        complete(self.delete_async(key.into()))
    }

    pub(crate) async fn delete_async(&mut self, mut key: FlowKey) -> Result<(), Error> {
        if key.id.is_some() && key.direction == Direction::Original {
            match self.execute_async(&DeleteFlow::new(key)).await {
                // Another flow may have answered in its place.
                Err(error) if error.is_not_found() && zone_of(&key) != 0 => {}
                result => return result,
            }
        }
        let operation = Operation::DeleteFlow;
        let found = self.find(operation, key).await?.ok_or_else(|| not_found(operation))?;
        key = FlowKey { id: found.flow.id, ..found.key };
        self.connection.execute(&DeleteFlow::new(key)).await
    }

    /// Deletes every flow of the network namespace. An empty table is not an error.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// client.delete_all()?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_all(&mut self) -> Result<(), Error> {
        self.execute(&FlushFlows::all())
    }

    /// Deletes every flow of one family (before Linux 5.2: of both).
    ///
    /// # Errors
    ///
    /// As for [`delete_all`](Self::delete_all).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// client.delete_family(ctnetlink::Family::IPV6)?;
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn delete_family(&mut self, family: Family) -> Result<(), Error> {
        self.execute(&FlushFlows::of_family(family))
    }

    /// Sends a request that is answered with an acknowledgement only, and waits for it.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses the request or the socket fails.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{FlowKey, Tuple, request::DeleteFlow};
    ///
    /// // `Client::delete` would look the flow up first, because this key has no identifier.
    /// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "192.0.2.1:53".parse()?));
    /// client.execute(&DeleteFlow::new(key))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn execute(&mut self, request: &impl Command) -> Result<(), Error> {
        complete(self.execute_async(request))
    }

    pub(crate) async fn execute_async(&mut self, request: &impl Command) -> Result<(), Error> {
        if request.key().is_some() && self.has_zones(request.operation()).await? {
            return self.connection.execute(&Aimed(request)).await;
        }
        self.connection.execute(request).await
    }
}

/// The kernel would send an event although nothing changes.
pub(super) fn refuse_empty(update: &FlowUpdate) -> Result<(), Error> {
    if update.is_empty() {
        return Err(EncodeError::Value("the update changes nothing").into());
    }
    Ok(())
}

impl Client {
    /// Returns the address that a peer sent its packets to, before a rule redirected them (`redirect`, `dnat`) to a socket
    /// of this host. `SO_ORIGINAL_DST` answers the same for TCP; this works for any protocol with ports.
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

/// A flow, and a key that reaches it.
pub(super) struct Found {
    pub(super) key: FlowKey,
    pub(super) flow: Flow,
}

/// A get on behalf of another operation, which its errors name.
struct Lookup {
    get: GetFlow,
    operation: Operation,
}

impl EncodeRequest for Lookup {
    fn operation(&self) -> Operation {
        self.operation
    }

    fn header(&self) -> RequestHeader {
        self.get.header()
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.get.encode_attributes(encoder);
    }
}

impl Client {
    /// Returns true if the kernel was built with zones. One without them refuses a tuple that has a zone.
    pub(crate) async fn has_zones(&mut self, operation: Operation) -> Result<bool, Error> {
        if let Some(known) = self.zones {
            return Ok(known);
        }
        let nowhere = Tuple { protocol: Protocol(255), ..Tuple::UNSPECIFIED }.in_zone(UNUSED_ZONE);
        let lookup = Lookup { get: GetFlow::new(FlowKey::original(nowhere)), operation };
        let known = match self.connection.fetch(&lookup, |_| Ok(())).await {
            Err(error) if error.is_unsupported() => false,
            Err(error) if !error.is_not_found() => return Err(error),
            _ => true,
        };
        self.zones = Some(known);
        Ok(known)
    }

    /// Finds the flow of a key on behalf of an operation.
    pub(super) async fn find(&mut self, operation: Operation, key: FlowKey) -> Result<Option<Found>, Error> {
        let finder = Finder { operation, zones: self.has_zones(operation).await? };
        finder.find(&mut self.connection, key).await
    }
}

/// The circumstances of a search.
#[derive(Clone, Copy)]
pub(super) struct Finder {
    pub(super) operation: Operation,
    /// Whether the kernel was built with zones.
    pub(super) zones: bool,
}

impl Finder {
    /// Finds the flow of a key; `None` if there is none.
    pub(super) async fn find<T: Transport>(
        self,
        connection: &mut Connection<T>,
        key: FlowKey,
    ) -> Result<Option<Found>, Error> {
        let forms = match (other_form(key), aimed(key)) {
            (Some(other), _) => [Some(key), Some(other)],
            // Only the other direction of a flow in the unused zone can stand in its place.
            (None, Some(aimed)) if self.zones => [Some(aimed), Some(key)],
            // Without zones each tuple is in the table once.
            _ => [Some(key), None],
        };
        for form in forms.into_iter().flatten() {
            match self.get(connection, form).await? {
                None => return Ok(None),
                Some(flow) if names(&key, &flow) => return Ok(Some(Found { key: form, flow })),
                Some(flow) if is_tuple_of(&key, &flow) => return Ok(None),
                Some(_) if !self.zones => return Ok(None),
                Some(_) => {}
            }
        }
        self.find_hidden(connection, key).await
    }

    /// Finds a flow that other flows hide from both forms of its key, by a dump.
    #[cold]
    async fn find_hidden<T: Transport>(
        self,
        connection: &mut Connection<T>,
        key: FlowKey,
    ) -> Result<Option<Found>, Error> {
        let mut replies = connection.start(&DumpFlows::new().of_family(key.family())).await?;
        let mut found = None;
        while let Some(message) = replies.next(connection).await? {
            found = Some(Flow::decode(&message)?).filter(|flow| names(&key, flow)).or(found);
        }
        match found {
            None => Ok(None),
            Some(flow) if key.direction == Direction::Reply => {
                Box::pin(self.find(connection, FlowKey::from(&flow))).await
            }
            Some(_) => Err(Error::message(
                ErrorKind::Other,
                "other flows hide this flow: on this kernel neither of its tuples reaches it",
            )),
        }
    }

    async fn get<T: Transport>(self, connection: &mut Connection<T>, key: FlowKey) -> Result<Option<Flow>, Error> {
        let lookup = Lookup { get: GetFlow::new(key), operation: self.operation };
        not_found_is_none(connection.fetch(&lookup, Flow::decode).await).map(Option::flatten)
    }

    /// Changes a flow after it was looked up: an update carries no identifier, and has to repeat today's status bits.
    pub(super) async fn update<T: Transport>(
        self,
        connection: &mut Connection<T>,
        key: FlowKey,
        update: &FlowUpdate,
    ) -> Result<(), Error> {
        let Found { key, flow } = self.find(connection, key).await?.ok_or_else(|| not_found(self.operation))?;
        connection.execute(&UpdateFlow::new(key, update).with_current_status(flow.status.unwrap_or_default())).await
    }
}

/// "Not found" as an answer.
pub(super) fn not_found_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

/// "Not found" as the kernel reports it.
pub(super) fn not_found(operation: Operation) -> Error {
    KernelError::new(operation, Errno::ENOENT).into()
}

/// The same key with its zone on both directions instead of one, or the reverse; `None` in the default zone.
///
/// The zone on both directions stands for the flow that the key names, and for a flow whose *other* tuple is the same and
/// whose zone on that direction is the same. The zone on one direction stands for the flow that the key names, and for
/// flows of the default zone.
fn other_form(key: FlowKey) -> Option<FlowKey> {
    let zone = Some(zone_of(&key)).filter(|zone| *zone != 0);
    let (in_tuple, in_key) = if key.tuple.zone == zone { (None, zone) } else { (zone, None) };
    zone.map(|_| FlowKey { tuple: Tuple { zone: in_tuple, ..key.tuple }, zone: in_key, ..key })
}

/// The form of a key whose zone is on one direction alone: on kernels that hash zones (Linux 5.15) no other flow answers it
/// while the flow that it names exists.
pub(super) fn directed(key: FlowKey) -> FlowKey {
    match other_form(key) {
        Some(other) if key.tuple.zone.is_none() => other,
        _ => key,
    }
}

/// Returns true if the key is a tuple of this flow in its own direction, and in its zone.
fn is_tuple_of(key: &FlowKey, flow: &Flow) -> bool {
    let tuple = match key.direction {
        Direction::Original => flow.original,
        Direction::Reply => flow.reply,
    };
    let zone = flow.zone.or(tuple.zone).unwrap_or(0);
    Tuple { zone: None, ..tuple } == Tuple { zone: None, ..key.tuple } && zone == zone_of(key)
}

/// Returns true if the key names this flow: tuple, direction, zone, and the identifier if the key has one.
fn names(key: &FlowKey, flow: &Flow) -> bool {
    is_tuple_of(key, flow) && (key.id.is_none() || key.id == flow.id)
}
