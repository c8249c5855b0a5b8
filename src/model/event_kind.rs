//! The kinds of events.

use core::fmt;

/// The kind of an event: a flow or an expectation is new, has changed, or was destroyed.
///
/// # Example
///
/// ```
/// assert_eq!(ctnetlink::EventKind::Destroy.to_string(), "destroy");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "the kernel has a group for each, and no fourth")]
pub enum EventKind {
    /// It entered the table.
    #[doc(alias = "NFCT_T_NEW")]
    New,
    /// It changed.
    #[doc(alias = "NFCT_T_UPDATE")]
    Update,
    /// It left the table.
    #[doc(alias = "NFCT_T_DESTROY")]
    Destroy,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Update => "update",
            Self::Destroy => "destroy",
        })
    }
}
