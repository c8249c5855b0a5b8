//! The example `conntrack` and conntrack(8) 1.4.7, side by side on the same table: what they print, their exit status,
//! the line of the count, and the table afterwards.
//!
//! Where they differ it is on purpose, and stands in a list with the reason.

pub mod arguments;
pub mod better;
pub mod bugs;
pub mod changing;
pub mod events;
pub mod files;
#[cfg(feature = "json")]
pub mod json;
pub mod mended;
pub mod options;
pub mod progress;
pub mod reading;
mod scratch;
mod side_by_side;
