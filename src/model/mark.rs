//! Marks.

/// A mark and a mask of the bits that an update changes: `new = (old & !mask) | (mark & mask)`.
///
/// # Example
///
/// ```
/// use ctnetlink::MaskedMark;
///
/// assert_eq!(MaskedMark::exactly(7).applied_to(0xf0f0), 7);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "value and mask")]
pub struct MaskedMark {
    /// The mark (`CTA_MARK`).
    pub mark: u32,
    /// The bits that the update sets to their value in `mark` (`CTA_MARK_MASK`).
    pub mask: u32,
}

impl MaskedMark {
    /// Sets exactly this mark.
    #[must_use]
    pub const fn exactly(mark: u32) -> Self {
        Self { mark, mask: u32::MAX }
    }

    /// Returns the mark of a flow after the update.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::MaskedMark;
    ///
    /// assert_eq!(MaskedMark { mark: 0xff0a, mask: 0x00ff }.applied_to(0xf0f0), 0xf00a);
    /// ```
    #[must_use]
    pub const fn applied_to(self, old: u32) -> u32 {
        old & !self.mask | self.mark & self.mask
    }
}
