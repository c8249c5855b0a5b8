//! What an event tells of a flow or expectation.

use core::fmt;

/// What happened to a flow or an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "the kernel has a group for each, and no fourth")]
pub enum EventKind {
    /// It entered the table.
    #[doc(alias = "NFCT_T_NEW")]
    New,
    /// Something of it changed.
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
