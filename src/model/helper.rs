//! The helper of a flow.

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{Attribute, AttributeSet, Attributes, CTA_HELP_INFO, CTA_HELP_NAME, Encode, Encoder},
};

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
crate::serde::serialize_present!(Helper { name; info });

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
/// use ctnetlink::HelperRef;
///
/// assert_eq!(HelperRef::new("ftp").info, None);
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
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
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
