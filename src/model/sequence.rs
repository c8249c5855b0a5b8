//! Shifted TCP sequence numbers.

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_SEQADJ_CORRECTION_POS, CTA_SEQADJ_OFFSET_AFTER,
        CTA_SEQADJ_OFFSET_BEFORE, Encode, Encoder,
    },
};

/// The shift of TCP sequence numbers of one direction, after a helper changed the length of a payload
/// (`CTA_SEQ_ADJ_ORIG`, `CTA_SEQ_ADJ_REPLY`; `struct nf_ct_seqadj`).
///
/// Dumps contain it for flows with [`Status::SEQ_ADJUST`](super::Status::SEQ_ADJUST).
///
/// # Example
///
/// ```
/// use ctnetlink::SequenceAdjustment;
///
/// let adjustment = SequenceAdjustment { correction_position: 1000, offset_before: 0, offset_after: 5 };
/// assert_eq!(adjustment.offset_after, 5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel asks for all three and has no other")]
pub struct SequenceAdjustment {
    /// The sequence number at which the last change was made (`CTA_SEQADJ_CORRECTION_POS`).
    pub correction_position: u32,
    /// Bytes that are added to sequence numbers before that position (`CTA_SEQADJ_OFFSET_BEFORE`).
    pub offset_before: i32,
    /// Bytes that are added to sequence numbers after it (`CTA_SEQADJ_OFFSET_AFTER`).
    pub offset_after: i32,
}

impl SequenceAdjustment {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::SequenceAdjustment, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_SEQADJ_CORRECTION_POS => position = Attribute::u32,
            CTA_SEQADJ_OFFSET_BEFORE => before = Attribute::u32,
            CTA_SEQADJ_OFFSET_AFTER => after = Attribute::u32,
        );
        // A missing part must not make the whole flow unreadable: no offset is an offset of 0.
        Ok(Self {
            correction_position: position.unwrap_or(0),
            offset_before: before.unwrap_or(0) as i32,
            offset_after: after.unwrap_or(0) as i32,
        })
    }
}

impl Encode for SequenceAdjustment {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u32(CTA_SEQADJ_CORRECTION_POS, self.correction_position);
        encoder.u32(CTA_SEQADJ_OFFSET_BEFORE, self.offset_before as u32);
        encoder.u32(CTA_SEQADJ_OFFSET_AFTER, self.offset_after as u32);
    }
}
