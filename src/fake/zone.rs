//! Zones of flows and requests.

use crate::{error::Errno, model::Direction};

/// The zone of a flow or of a request (`struct nf_conntrack_zone`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: u16,
    /// The direction that the zone applies to; `None` for both.
    pub(super) direction: Option<Direction>,
}

impl Zone {
    /// A zone of both directions. No zone is zone 0.
    pub(super) fn of_both(id: Option<u16>) -> Self {
        Self { id: id.unwrap_or(0), direction: None }
    }

    /// Adds the zone of a tuple. The kernel refuses a second zone in a request.
    pub(super) fn with_tuple(self, direction: Direction, id: Option<u16>) -> Result<Self, Errno> {
        match id {
            None => Ok(self),
            Some(_) if self.id != 0 => Err(Errno::EINVAL),
            Some(id) => Ok(Self { id, direction: Some(direction) }),
        }
    }

    /// The number of the zone in a direction.
    pub(super) fn id_in(self, direction: Direction) -> u16 {
        if self.direction.is_none_or(|only| only == direction) { self.id } else { 0 }
    }

    /// The value of `CTA_ZONE`, if the flow has that attribute.
    pub(super) fn of_flow(self) -> Option<u16> {
        (self.id != 0 && self.direction.is_none()).then_some(self.id)
    }

    /// The value of `CTA_TUPLE_ZONE` in this direction, if the tuple has that attribute.
    pub(super) fn of_tuple(self, direction: Direction) -> Option<u16> {
        (self.id != 0 && self.direction == Some(direction)).then_some(self.id)
    }
}
