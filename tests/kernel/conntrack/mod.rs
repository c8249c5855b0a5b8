//! The example `conntrack` beside conntrack(8), on the same table: output, exit status, the line of the count, and the
//! table afterwards.
//!
//! The installed program is compared, or the one whose path is in `CONNTRACK`. Intended differences are documented in
//! the README of the example, and [`differences`] checks each of them.

mod arguments;
mod bugs;
mod changes;
mod differences;
mod events;
mod extensions;
mod files;
#[cfg(feature = "json")]
mod json;
mod listings;
mod messages;
mod options;
mod partial_failures;
mod progress;
mod scratch;
mod side_by_side;
mod suite;

use crate::lab::Case;

pub const AREAS: &[(&str, &[Case])] = &[
    ("conntrack::arguments", arguments::CASES),
    ("conntrack::bugs", bugs::CASES),
    ("conntrack::changes", changes::CASES),
    ("conntrack::differences", differences::CASES),
    ("conntrack::events", events::CASES),
    ("conntrack::extensions", extensions::CASES),
    ("conntrack::files", files::CASES),
    #[cfg(feature = "json")]
    ("conntrack::json", json::CASES),
    ("conntrack::listings", listings::CASES),
    ("conntrack::messages", messages::CASES),
    ("conntrack::options", options::CASES),
    ("conntrack::partial_failures", partial_failures::CASES),
    ("conntrack::progress", progress::CASES),
    ("conntrack::suite", suite::CASES),
];
