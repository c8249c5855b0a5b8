//! What became of a flow of the table.

use core::fmt;

use crate::model::Flow;

/// A difference between the table before and after.
///
/// Changes are complete: whoever applies them all to an empty table (insert, replace, remove by original tuple and zone)
/// has the same flows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Change {
    /// What became of the flow.
    pub kind: ChangeKind,
    /// No event told it: it was found by comparison with a dump, or follows from an event of another flow.
    pub inferred: bool,
    /// The flow, with all that is known of it: as it is now, or as it was last.
    pub flow: Flow,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "a table knows no fourth")]
pub enum ChangeKind {
    /// It is in the table now and was not before.
    Appeared,
    /// Something of it is not as it was, or the kernel was asked for a change.
    Changed,
    /// It is not in the table any more.
    Vanished,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
            Self::Vanished => "vanished",
        })
    }
}
