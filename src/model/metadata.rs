//! Labels, marks and helpers, which rules and users attach to flows.

use core::fmt;

use crate::{
    error::DecodeError,
    macros::{pad_if_asked, read_attributes},
    wire::{Attribute, AttributeSet, Attributes, CTA_HELP_INFO, CTA_HELP_NAME, Encode, Encoder},
};

/// The labels of a flow: a bitmap of 128 bits, numbered from 0 (`CTA_LABELS`).
///
/// A flow has room for labels only if a rule in its namespace used labels when it began. Names for the numbers are in
/// `/etc/xtables/connlabel.conf`. Source: `net/netfilter/nf_conntrack_labels.c`.
///
/// # Example
///
/// ```
/// use ctnetlink::Labels;
///
/// let labels: Labels = [3, 5].into_iter().collect();
/// assert!(labels.contains(5) && !labels.contains(4));
/// assert_eq!(labels.to_string(), "3,5");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the kernel's bitmap is that wide")]
pub struct Labels(
    /// Bit `n` is label `n`.
    pub u128,
);

impl Labels {
    /// Bytes on the wire (`NF_CT_LABELS_MAX_SIZE`).
    const LENGTH: usize = 16;
    /// Bytes of a word of the kernel's bitmap, `unsigned long`, which it sends in the order of the host.
    const WORD: usize = size_of::<usize>();

    /// Every label.
    pub const ALL: Self = Self(u128::MAX);

    /// Returns true if the flow has no label.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if the flow has the label `bit`. Numbers above 127 are never set.
    #[must_use]
    pub fn contains(self, bit: u8) -> bool {
        self.0.checked_shr(bit.into()).is_some_and(|rest| rest & 1 == 1)
    }

    /// Adds the label `bit`. Numbers above 127 are ignored.
    #[must_use]
    pub fn with(self, bit: u8) -> Self {
        Self(self.0 | 1_u128.checked_shl(bit.into()).unwrap_or(0))
    }

    /// Iterates over the numbers of the labels, in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..128).filter(move |bit| self.contains(*bit))
    }

    /// Reads a bitmap of any length. Missing bits are not set.
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        let mut bits = 0;
        for (place, word) in attribute.payload().chunks(Self::WORD).take(Self::LENGTH / Self::WORD).enumerate() {
            let mut bytes = [0; Self::WORD];
            for (target, byte) in bytes.iter_mut().zip(word) {
                *target = *byte;
            }
            bits |= (usize::from_ne_bytes(bytes) as u128) << (place * Self::WORD * 8);
        }
        Ok(Self(bits))
    }

    pub(crate) fn encode(self, encoder: &mut Encoder<'_>, number: u16) {
        let mut bytes = [0; Self::LENGTH];
        for (place, word) in bytes.chunks_mut(Self::WORD).enumerate() {
            word.copy_from_slice(&((self.0 >> (place * Self::WORD * 8)) as usize).to_ne_bytes());
        }
        encoder.attribute(number, &bytes);
    }
}

impl FromIterator<u8> for Labels {
    fn from_iter<I: IntoIterator<Item = u8>>(bits: I) -> Self {
        bits.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for Labels {
    /// Prints the numbers, joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad_if_asked!(self, f);
        for (place, bit) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(f, "{separator}{bit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Labels({self})")
    }
}

/// Labels and a mask of the labels that an update changes: `new = (old & !mask) | (labels & mask)`.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowUpdate, Labels, MaskedLabels};
///
/// let update = FlowUpdate::new().labels(MaskedLabels::remove(Labels::default().with(3)));
/// assert!(!update.is_empty());
/// assert_eq!(MaskedLabels::exactly(Labels::default().with(3)).mask, Labels::ALL);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "value and mask")]
pub struct MaskedLabels {
    /// The labels.
    pub labels: Labels,
    /// The labels that the update sets to their value in `labels`.
    pub mask: Labels,
}

impl MaskedLabels {
    /// Sets exactly these labels and clears all others.
    #[must_use]
    pub const fn exactly(labels: Labels) -> Self {
        Self { labels, mask: Labels::ALL }
    }

    /// Sets these labels and leaves the others.
    #[must_use]
    pub const fn add(labels: Labels) -> Self {
        Self { labels, mask: labels }
    }

    /// Clears these labels and leaves the others.
    #[must_use]
    pub const fn remove(labels: Labels) -> Self {
        Self { labels: Labels(0), mask: labels }
    }
}

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

/// The connection tracking helper that inspects a flow, for example `ftp` (`CTA_HELP`).
///
/// # Example
///
/// ```
/// use ctnetlink::{Helper, HelperRef};
///
/// let helper = Helper::new("ftp");
/// assert_eq!(HelperRef::from(&helper).name, "ftp");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[non_exhaustive]
pub struct Helper {
    /// The name under which the helper is registered (`CTA_HELP_NAME`): at most 15 bytes in current kernels.
    pub name: Box<str>,
    /// The helper's private data about the flow (`CTA_HELP_INFO`): opaque bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub info: Option<Box<[u8]>>,
}

#[cfg(feature = "serde")]
crate::macros::serialize_present!(Helper { name; info });

impl Helper {
    /// The longest name that current kernels accept, in bytes.
    pub(crate) const LONGEST_NAME: usize = 15;

    /// Creates a helper by its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), info: None }
    }
}

impl Encode for Helper {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.text(CTA_HELP_NAME, &self.name);
        if let Some(info) = &self.info {
            encoder.attribute(CTA_HELP_INFO, info);
        }
    }
}

/// A view of a helper in the receive buffer or in a [`Helper`].
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Helper, Tuple};
///
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:21".parse()?);
/// let mut flow = Flow::new(tuple, tuple.inverted().ok_or("no reply")?);
/// flow.helper = Some(Helper::new("ftp"));
/// assert_eq!(flow.helper().map(|helper| helper.name), Some("ftp"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HelperRef<'a> {
    /// The name under which the helper is registered (`CTA_HELP_NAME`).
    pub name: &'a str,
    /// The helper's private data about the flow (`CTA_HELP_INFO`): opaque bytes.
    pub info: Option<&'a [u8]>,
}

impl<'a> HelperRef<'a> {
    /// Creates a helper by its name.
    pub(crate) const fn new(name: &'a str) -> Self {
        Self { name, info: None }
    }

    #[inline]
    pub(crate) fn read(attribute: Attribute<'a>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Help, Self::walk)
    }

    fn walk(attributes: Attributes<'a>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_HELP_NAME => name = Attribute::<'a>::text,
            CTA_HELP_INFO => info = |info: Attribute<'a>| Ok::<_, DecodeError>(info.payload()),
        );
        name.map(|name| Self { name, info }).ok_or_else(|| attributes.missing(CTA_HELP_NAME))
    }
}

impl<'a> From<&'a Helper> for HelperRef<'a> {
    fn from(helper: &'a Helper) -> Self {
        Self { name: &helper.name, info: helper.info.as_deref() }
    }
}

impl From<HelperRef<'_>> for Helper {
    fn from(helper: HelperRef<'_>) -> Self {
        Self { name: helper.name.into(), info: helper.info.map(Into::into) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_above_127_are_ignored() {
        assert!(!Labels::ALL.contains(128));
        assert!(Labels::ALL.contains(127));
        assert_eq!(Labels::default().with(200), Labels::default());
    }
}
