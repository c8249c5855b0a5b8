//! Flows: get, dump, create, change, delete.

use super::{
    Client,
    lookup::{Finder, Found, not_found, not_found_is_none},
};
use crate::{
    error::{EncodeError, Error, Operation},
    exchange::complete,
    model::{Direction, Family, Flow, FlowKey},
    request::{Aimed, Command, DeleteFlow, FlowUpdate, FlushFlows, GetFlow, NewFlow, zone_of},
};

impl Client {
    /// Returns the flow that a key names, or `None` if there is none.
    ///
    /// Tuple, direction, zone and, if the key has one, the identifier have to be those of the flow. A flow whose *replies*
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

    /// Returns the flow that a key names and sets its counters to zero in the same step, so that no packet is lost.
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
    /// deleted and created anew at once, 19,999 had the identifier of their predecessor.
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
