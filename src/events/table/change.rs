//! A change of the table.

use core::fmt;

use crate::model::Flow;

/// A difference between the table before and after.
///
/// Changes are complete: applying all of them to an empty map (insert, replace, remove by original tuple and zone)
/// reproduces the table.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{ChangeKind, Mirror};
///
/// for change in Mirror::open()? {
///     let change = change?;
///     if change.kind == ChangeKind::Vanished {
///         println!("ended: {}", change.flow);
///     }
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Change {
    /// What happened to the flow.
    pub kind: ChangeKind,
    /// True if no event reported the change: a dump revealed it, or it follows from an event of another flow.
    pub inferred: bool,
    /// The flow with everything known of it, as it is now; or as it was last, if it vanished.
    pub flow: Flow,
}

/// What happened to a flow.
///
/// # Example
///
/// ```
/// use ctnetlink::ChangeKind;
///
/// assert_eq!(ChangeKind::Vanished.to_string(), "vanished");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "a table cannot change in a fourth way")]
pub enum ChangeKind {
    /// The flow entered the table.
    Appeared,
    /// The flow changed, or a program asked the kernel for a change.
    Changed,
    /// The flow left the table.
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
