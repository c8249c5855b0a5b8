//! Views of tuples in the receive buffer.

use core::net::IpAddr;

use super::{Endpoint, Layer4, Tuple, UsualTuple, fast_path};
use crate::{
    error::DecodeError,
    model::Protocol,
    wire::{Attribute, AttributeSet, Attributes},
};

/// A view of a tuple in the receive buffer.
///
/// Parsing checked its structure, so reading it cannot fail.
///
/// # Example
///
/// ```
/// use ctnetlink::{TupleRef, wire::{AttributeSet, Attributes}};
///
/// # #[rustfmt::skip]
/// # let bytes: Vec<u8> = [
/// #     [20_u16, 0x8001], [8, 1]].concat().iter().flat_map(|word| word.to_ne_bytes()).chain([10, 0, 0, 1])
/// #     .chain([8_u16, 2].iter().flat_map(|word| word.to_ne_bytes())).chain([10, 0, 0, 2])
/// #     .chain([12_u16, 0x8002, 5, 1].iter().flat_map(|word| word.to_ne_bytes())).chain([50, 0, 0, 0]).collect();
/// let tuple = TupleRef::parse(Attributes::new(&bytes, AttributeSet::Tuple))?;
/// assert_eq!(tuple.to_tuple().to_string(), "50 10.0.0.1 10.0.0.2");
/// # Ok::<(), ctnetlink::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TupleRef<'a> {
    bytes: &'a [u8],
}

impl<'a> TupleRef<'a> {
    /// Checks the payload of `CTA_TUPLE_ORIG`, or of any other attribute that holds a tuple.
    ///
    /// # Errors
    ///
    /// Fails if an attribute is malformed or missing. The path of the error names it.
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

    /// Copies the tuple into a value.
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
        // `parse` has walked these bytes, so this cannot fail.
        tuple.or_else(|| Tuple::walk(self.attributes()).ok()).unwrap_or(Tuple::UNSPECIFIED)
    }

    /// Returns the source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.to_tuple().source
    }

    /// Returns the destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.to_tuple().destination
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.to_tuple().protocol
    }

    /// Returns the protocol's part.
    #[must_use]
    pub fn layer4(&self) -> Layer4 {
        self.to_tuple().layer4
    }

    /// Returns the source: its address, and its port or key if the protocol has them.
    #[must_use]
    pub fn source_endpoint(&self) -> Endpoint {
        self.to_tuple().source_endpoint()
    }

    /// Returns the destination: its address, and its port or key if the protocol has them.
    #[must_use]
    pub fn destination_endpoint(&self) -> Endpoint {
        self.to_tuple().destination_endpoint()
    }

    /// Returns the source port, if the protocol has ports.
    #[must_use]
    pub fn source_port(&self) -> Option<u16> {
        self.to_tuple().source_port()
    }

    /// Returns the destination port, if the protocol has ports.
    #[must_use]
    pub fn destination_port(&self) -> Option<u16> {
        self.to_tuple().destination_port()
    }

    /// Returns the zone of this direction, if the flow has a zone for this direction only.
    #[must_use]
    pub fn zone(&self) -> Option<u16> {
        self.to_tuple().zone
    }

    /// Returns the attributes, known and unknown.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.bytes, AttributeSet::Tuple)
    }
}

/// Returns true if the bytes have a known layout, which makes a walk unnecessary.
#[inline(always)]
fn is_laid_out(bytes: &[u8]) -> bool {
    UsualTuple::recognise(bytes).is_some() || fast_path::query(bytes).is_some()
}

impl From<TupleRef<'_>> for Tuple {
    fn from(tuple: TupleRef<'_>) -> Self {
        tuple.to_tuple()
    }
}
