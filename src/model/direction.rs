//! The two directions of a flow.

use core::{fmt, ops::Not};

/// A direction of a flow.
///
/// # Example
///
/// ```
/// use ctnetlink::Direction;
///
/// assert_eq!(!Direction::Original, Direction::Reply);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[allow(clippy::exhaustive_enums, reason = "there is no third direction")]
pub enum Direction {
    /// From the initiator to the responder.
    #[doc(alias = "IP_CT_DIR_ORIGINAL")]
    Original,
    /// From the responder to the initiator.
    #[doc(alias = "IP_CT_DIR_REPLY")]
    Reply,
}

impl Not for Direction {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Original => "original",
            Self::Reply => "reply",
        })
    }
}
