//! AttributeSet → attributes, in the order in which they usually come.
//!
//! The plain walk over a nest is [`Attributes`]: it jumps on the number of each attribute. The kernel writes the
//! attributes of a flow in one order, most of them with one length. A walk that expects this order needs no jump: it
//! compares the next header with the candidates one after the other. An absent attribute costs one comparison, and the
//! length of a present one is known in advance.

use super::{
    Attribute, Attributes,
    header::{header, read_header},
};
use crate::error::DecodeError;

/// A walk that has read the header of the attribute that comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    rest: Attributes<'a>,
    /// Length and number of the next attribute, without the flags of its type; 0, which none has, at the end.
    next: u32,
}

impl<'a> Walk<'a> {
    #[inline]
    pub(crate) fn new(attributes: Attributes<'a>) -> Self {
        Self { rest: attributes, next: attributes.peek() }
    }

    /// The next attribute, if it has that number and exactly that length.
    #[inline]
    pub(crate) fn advance_if_usual(&mut self, number: u16, length: u16) -> Option<Attribute<'a>> {
        if self.next != header(length, number) {
            return None;
        }
        let attribute = self.rest.advance_by(length, number)?;
        self.next = self.rest.peek();
        Some(attribute)
    }

    /// The next attribute, if it has that number.
    #[inline]
    pub(crate) fn advance_if(&mut self, number: u16) -> Option<Attribute<'a>> {
        let (length, next) = read_header(&self.next.to_ne_bytes());
        if next != number {
            return None;
        }
        let attribute = self.rest.advance_by(length, number)?;
        self.next = self.rest.peek();
        Some(attribute)
    }

    /// Skips the next attribute, whatever it is.
    ///
    /// # Errors
    ///
    /// Fails if its header is malformed.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        if self.rest.advance().is_none() {
            return self.rest.end();
        }
        self.next = self.rest.peek();
        Ok(())
    }

    /// Returns true if both walks of the nest are at the same position.
    #[inline]
    pub(crate) const fn is_at(self, other: Self) -> bool {
        self.rest.as_bytes().len() == other.rest.as_bytes().len()
    }

    /// Returns true if nothing is left to walk.
    #[inline]
    pub(crate) const fn is_at_end(self) -> bool {
        self.rest.is_empty()
    }
}
