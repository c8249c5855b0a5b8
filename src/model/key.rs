//! Keys: the names of flows in requests.

use super::{Direction, Flow, FlowRef, Tuple};
use crate::{
    error::{DecodeError, EncodeError},
    macros::read_attributes,
    wire::{Attribute, Attributes, CTA_ID, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, Encoder, Family},
};

/// The name of one flow: a tuple of either direction, the zone, and the identifier if it is known.
///
/// A flow from a dump or an event is a key as it is: `FlowKey::from(&flow)`. With the identifier, a delete fails with
/// "not found" where the tuple now belongs to another flow; the kernel looks at it in deletes alone.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Tuple};
///
/// let tuple = Tuple::udp("10.0.0.1:5353".parse()?, "10.0.0.2:53".parse()?);
/// let key = FlowKey::original(tuple).in_zone(7);
/// assert_eq!(key.zone, Some(7));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FlowKey {
    /// The tuple.
    pub tuple: Tuple,
    /// The direction whose tuple it is. The kernel finds a flow by either.
    pub direction: Direction,
    /// The zone of both directions (`CTA_ZONE`); `None` means the default zone, or the zone in the tuple.
    pub zone: Option<u16>,
    /// The identifier (`CTA_ID`).
    pub id: Option<u32>,
}

impl FlowKey {
    /// Creates the key of the flow whose first packet had this tuple.
    #[must_use]
    pub const fn original(tuple: Tuple) -> Self {
        Self { tuple, direction: Direction::Original, zone: None, id: None }
    }

    /// Creates the key of the flow whose replies have this tuple.
    #[must_use]
    pub const fn reply(tuple: Tuple) -> Self {
        Self { direction: Direction::Reply, ..Self::original(tuple) }
    }

    /// In that zone.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone: Some(zone), ..self }
    }

    /// With that identifier.
    #[must_use]
    pub const fn with_id(self, id: u32) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The family, that of the tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.tuple.family()
    }

    /// Reads tuple, zone and identifier, preferring the original tuple. `None` without a tuple.
    pub(crate) fn decode(attributes: Attributes<'_>) -> Result<Option<Self>, DecodeError> {
        let tuple = Tuple::read;
        read_attributes!(attributes;
            CTA_TUPLE_ORIG => original = tuple,
            CTA_TUPLE_REPLY => reply = tuple,
            CTA_ZONE => zone = Attribute::u16,
            CTA_ID => id = Attribute::u32,
        );
        let key = original.map(Self::original).or(reply.map(Self::reply));
        Ok(key.map(|key| Self { zone, id, ..key }))
    }

    /// Writes tuple and zone, which get, update and delete have in common.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        if self.zone.is_some_and(|zone| zone != 0) && self.tuple.zone.is_some() {
            encoder.fail(EncodeError::Value("a key has a zone of both directions and one of its tuple's"));
        }
        let number = match self.direction {
            Direction::Original => CTA_TUPLE_ORIG,
            Direction::Reply => CTA_TUPLE_REPLY,
        };
        encoder.nested(number, &self.tuple);
        encoder.optional_u16(CTA_ZONE, self.zone);
    }

    pub(crate) fn encode_with_id(&self, encoder: &mut Encoder<'_>) {
        self.encode(encoder);
        encoder.optional_u32(CTA_ID, self.id);
    }
}

impl From<&Flow> for FlowKey {
    fn from(flow: &Flow) -> Self {
        Self { tuple: flow.original, direction: Direction::Original, zone: flow.zone, id: flow.id }
    }
}

impl From<&FlowRef<'_>> for FlowKey {
    fn from(flow: &FlowRef<'_>) -> Self {
        Self { tuple: flow.original().to_tuple(), direction: Direction::Original, zone: flow.zone(), id: flow.id() }
    }
}
