//! Finding the flow that a key names.
//!
//! [`request::aimed`](crate::request::aimed) explains why a key can reach another flow. Whatever form a key is sent in,
//! the flow that it names is among those that can answer. Therefore "not found" is final, and if another flow answers, the
//! next form is tried.

use super::Client;
use crate::{
    error::{Errno, Error, ErrorKind, KernelError, Operation},
    exchange::{Connection, Transport},
    model::{Direction, Flow, FlowKey, Protocol, Tuple},
    request::{DumpFlows, EncodeRequest, FlowUpdate, GetFlow, RequestHeader, UNUSED_ZONE, UpdateFlow, aimed, zone_of},
    wire::Encoder,
};

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

/// What a search needs to know.
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
