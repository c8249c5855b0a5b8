//! Flows: get, dump, create, change, delete.

use super::{Client, FlowDump, Socket};
use crate::{
    error::{EncodeError, Errno, Error, KernelError, Operation},
    exchange::Connection,
    model::{Family, Flow, FlowKey, FlowRef, Status},
    request::{Command, DeleteFlow, DumpFlows, FlowUpdate, FlushFlows, GetFlow, NewFlow, UpdateFlow},
};

/// What an update is told of the flow: its key, and the status that it has, where that is known.
///
/// Made from a key, or from a flow as it came from a dump or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateTarget {
    key: FlowKey,
    status: Option<Status>,
}

impl UpdateTarget {
    /// A flow that is known to have these status bits.
    #[must_use]
    pub const fn with_status(self, status: Status) -> Self {
        Self { status: Some(status), ..self }
    }
}

impl From<FlowKey> for UpdateTarget {
    fn from(key: FlowKey) -> Self {
        Self { key, status: None }
    }
}

impl From<&Flow> for UpdateTarget {
    fn from(flow: &Flow) -> Self {
        Self { key: flow.into(), status: flow.status }
    }
}

impl From<&FlowRef<'_>> for UpdateTarget {
    fn from(flow: &FlowRef<'_>) -> Self {
        Self { key: flow.into(), status: flow.status() }
    }
}

impl Client {
    /// The flow of that key; `None` where there is none.
    ///
    /// The kernel looks it up by the tuple and the zone. Where the key has an identifier, a flow that has another is
    /// not the one that was meant, and `None` is the answer.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn get(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        let key = key.into();
        fetch_flow(&mut self.connection, &GetFlow::new(key), key)
    }

    /// As [`get`](Self::get), and sets the counters to zero in the same moment: nothing is lost in between.
    ///
    /// The kernel does not look at the identifier of the key: where another flow has taken over the tuple, its counters
    /// are zeroed, and `None` is the answer all the same.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_and_zero_counters(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        let key = key.into();
        fetch_flow(&mut self.connection, &GetFlow::new(key).and_zero_counters(), key)
    }

    /// All flows of the namespace, both families.
    ///
    /// # Errors
    ///
    /// Where the request cannot be sent. That the kernel refuses is an item of the dump.
    pub fn dump(&mut self) -> Result<FlowDump<'_>, Error> {
        self.dump_with(&DumpFlows::new())
    }

    /// The flows that a request asks for: another table, one family, with counters set to zero.
    ///
    /// # Errors
    ///
    /// As [`dump`](Self::dump).
    pub fn dump_with(&mut self, request: &DumpFlows) -> Result<FlowDump<'_>, Error> {
        let replies = self.connection.start(request)?;
        Ok(FlowDump::new(replies, &mut self.connection))
    }

    /// Creates a flow.
    ///
    /// # Errors
    ///
    /// [`is_already_exists`](Error::is_already_exists) where a flow with one of the tuples is there; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others.
    pub fn create(&mut self, flow: &NewFlow) -> Result<(), Error> {
        self.execute(flow)
    }

    /// Changes a flow. Only what the update names is sent.
    ///
    /// Give a flow as it came from a dump, or a key. An update of status bits has to know those of today: where only a
    /// key is given, the flow is asked for them first.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) where there is no such flow; see
    /// [`KernelError::meaning`](crate::KernelError::meaning) for the others. The kernel does not look at the identifier
    /// of the key in an update.
    pub fn update(&mut self, target: impl Into<UpdateTarget>, update: &FlowUpdate) -> Result<(), Error> {
        let UpdateTarget { key, status } = target.into();
        refuse_nothing(update)?;
        if status.is_none() && update.needs_status() {
            return update_as_it_is(&mut self.connection, key, update);
        }
        match self.execute(&UpdateFlow::new(key, update).with_current_status(status.unwrap_or_default())) {
            // An answer may have come since the status was read.
            Err(error) if error.is_busy() && update.needs_status() => {
                update_as_it_is(&mut self.connection, key, update)
            }
            other => other,
        }
    }

    /// Deletes one flow.
    ///
    /// With the identifier in the key (a flow that came from a dump has it), a flow that reuses the tuple is left alone.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) where there is no such flow.
    pub fn delete(&mut self, key: impl Into<FlowKey>) -> Result<(), Error> {
        self.execute(&DeleteFlow::new(key.into()))
    }

    /// Deletes every flow of the namespace.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails. That there was none is no error.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.execute(&FlushFlows::all())
    }

    /// Deletes every flow of one family (Linux 5.2 and later; before it, of all).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn flush_family(&mut self, family: Family) -> Result<(), Error> {
        self.execute(&FlushFlows::of_family(family))
    }

    /// Sends any request that is answered by an acknowledgement, and waits for it.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses or the socket fails.
    pub fn execute(&mut self, request: &impl Command) -> Result<(), Error> {
        self.connection.execute(request)
    }
}

fn fetch_flow(connection: &mut Connection<Socket>, request: &GetFlow, key: FlowKey) -> Result<Option<Flow>, Error> {
    match connection.fetch(request, Flow::decode) {
        Ok(flow) => Ok(flow.filter(|flow| key.id.is_none() || flow.id == key.id)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the status bits of a flow as it is now: an update has to name those that it has.
pub(super) fn update_as_it_is(
    connection: &mut Connection<Socket>,
    key: FlowKey,
    update: &FlowUpdate,
) -> Result<(), Error> {
    let gone = || KernelError::new(Operation::UpdateFlow, Errno::ENOENT);
    let flow = fetch_flow(connection, &GetFlow::new(key), key)?.ok_or_else(gone)?;
    connection.execute(&UpdateFlow::new(key, update).with_current_status(flow.status.unwrap_or_default()))
}

/// The kernel sends an event for an update even if nothing changes.
pub(super) fn refuse_nothing(update: &FlowUpdate) -> Result<(), Error> {
    if update.is_empty() {
        return Err(EncodeError::Value("the update names nothing").into());
    }
    Ok(())
}
