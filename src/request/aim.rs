//! Keys that the kernel looks up in one direction only.
//!
//! The kernel keeps both tuples of a flow in one table and finds a flow by either, whichever attribute of the request
//! carries the tuple. A zone is a number and the directions that it holds for; in the other direction the number is 0.
//! An entry of the table answers a request if the tuples are equal and if flow and request have the same number *in the
//! direction of the entry*. So a tuple can name two flows: one by its original tuple and one, translated or with a zone
//! on one direction, by its reply tuple. The kernel takes the first that it finds (the newer one) and compares the
//! identifier in deletes only.
//!
//! A key in the default zone is therefore sent with an unused zone on the *opposite* direction: an entry of the key's own
//! direction still has to be in the default zone, and an entry of the other direction would have to be in the unused
//! zone. This costs eight bytes and no round trip.

use super::{Command, EncodeRequest, RequestHeader};
use crate::{
    error::Operation,
    model::{FlowKey, Tuple},
    wire::Encoder,
};

/// The zone on the opposite direction. Any number but 0 will do; an unlikely one reaches no flow by accident even if the
/// flow that is named does not exist.
pub(crate) const UNUSED_ZONE: u16 = 0xc7e1;

/// The zone in the direction of the key.
pub(crate) fn zone_of(key: &FlowKey) -> u16 {
    key.zone.filter(|zone| *zone != 0).or(key.tuple.zone).unwrap_or(0)
}

/// The form of a key in the default zone that entries of the other direction do not answer; `None` for a key in another
/// zone.
pub(crate) fn aimed(key: FlowKey) -> Option<FlowKey> {
    let tuple = Tuple { zone: Some(UNUSED_ZONE), ..key.tuple };
    (zone_of(&key) == 0).then_some(FlowKey { tuple, direction: !key.direction, zone: None, ..key })
}

/// A command whose key, if it has one, is aimed.
#[derive(Debug)]
pub(crate) struct Aimed<'r, R>(pub(crate) &'r R);

impl<R: EncodeRequest> EncodeRequest for Aimed<'_, R> {
    fn operation(&self) -> Operation {
        self.0.operation()
    }

    fn header(&self) -> RequestHeader {
        self.0.header()
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        match self.0.key().and_then(aimed) {
            Some(key) => self.0.encode_with_key(key, encoder),
            None => self.0.encode_attributes(encoder),
        }
    }
}

impl<R: Command> Command for Aimed<'_, R> {}
