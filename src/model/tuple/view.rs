//! A tuple in the datagram it was received in.

use core::net::IpAddr;

use super::{Endpoint, Layer4, Tuple, UsualTuple, fast_path};
use crate::{
    error::DecodeError,
    model::Protocol,
    wire::{Attribute, AttributeSet, Attributes},
};

/// A tuple in the datagram it was received in.
///
/// Its structure was checked when the message was parsed, so that reading it cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct TupleRef<'a> {
    bytes: &'a [u8],
}

impl<'a> TupleRef<'a> {
    /// Checks the payload of `CTA_TUPLE_ORIG`, or of any other attribute that holds a tuple.
    ///
    /// # Errors
    ///
    /// Where an attribute is malformed or missing, as the error's path says.
    #[inline]
    pub fn parse(attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        let bytes = attributes.as_bytes();
        if !is_laid_out(bytes) {
            Tuple::walk(Attributes::new(bytes, AttributeSet::Tuple))?;
        }
        Ok(Self { bytes })
    }

    #[inline(always)]
    pub(crate) fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        if !is_laid_out(attribute.payload()) {
            attribute.walk(AttributeSet::Tuple, Tuple::walk)?;
        }
        Ok(Self { bytes: attribute.payload() })
    }

    /// The tuple as a value.
    #[must_use]
    #[inline]
    pub fn to_tuple(&self) -> Tuple {
        match UsualTuple::ipv4(self.bytes) {
            Some(tuple) => tuple.to_tuple(),
            None => self.to_other_tuple(),
        }
    }

    #[inline(never)]
    fn to_other_tuple(self) -> Tuple {
        let tuple = UsualTuple::ipv6(self.bytes).map(UsualTuple::to_tuple).or_else(|| fast_path::query(self.bytes));
        // `parse` has walked these very bytes: that cannot fail now.
        tuple.or_else(|| Tuple::walk(self.attributes()).ok()).unwrap_or(Tuple::UNSPECIFIED)
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.to_tuple().source
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.to_tuple().destination
    }

    /// Layer 4 protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.to_tuple().protocol
    }

    /// What the protocol adds.
    #[must_use]
    pub fn layer4(&self) -> Layer4 {
        self.to_tuple().layer4
    }

    /// The source: its address, and its port or key where the protocol has them.
    #[must_use]
    pub fn source_endpoint(&self) -> Endpoint {
        self.to_tuple().source_endpoint()
    }

    /// The destination: its address, and its port or key where the protocol has them.
    #[must_use]
    pub fn destination_endpoint(&self) -> Endpoint {
        self.to_tuple().destination_endpoint()
    }

    /// The source port, if the protocol has ports.
    #[must_use]
    pub fn source_port(&self) -> Option<u16> {
        self.to_tuple().source_port()
    }

    /// The destination port, if the protocol has ports.
    #[must_use]
    pub fn destination_port(&self) -> Option<u16> {
        self.to_tuple().destination_port()
    }

    /// The zone of this direction, where the flow has one for this direction only.
    #[must_use]
    pub fn zone(&self) -> Option<u16> {
        self.to_tuple().zone
    }

    /// The attributes, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, AttributeSet::Tuple)
    }
}

/// Whether the kernel's own layout vouches for it: else it is walked.
#[inline(always)]
fn is_laid_out(bytes: &[u8]) -> bool {
    UsualTuple::recognise(bytes).is_some() || fast_path::query(bytes).is_some()
}

impl From<TupleRef<'_>> for Tuple {
    fn from(tuple: TupleRef<'_>) -> Self {
        tuple.to_tuple()
    }
}
