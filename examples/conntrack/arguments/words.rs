//! Names of tables, formats and kinds of events.

use crate::failure::{Failure, Outcome};

/// The table of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Conntrack,
    Expect,
    Dying,
    Unconfirmed,
}

impl Table {
    const NAMES: [(&'static str, Self); 4] = [
        ("conntrack", Self::Conntrack),
        ("expect", Self::Expect),
        ("dying", Self::Dying),
        ("unconfirmed", Self::Unconfirmed),
    ];

    pub fn parse(text: &str) -> Outcome<Self> {
        let table = Self::NAMES.iter().find(|(name, _)| name.starts_with(text)).map(|(_, table)| *table);
        table.ok_or_else(|| Failure::usage(format_args!("unknown type `{text}'")))
    }
}

/// A word of `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Xml,
    Extended,
    Timestamp,
    Id,
    KernelTimestamp,
    Labels,
    Userspace,
    Save,
    Json,
}

pub const OUTPUTS: &[(&str, Output)] = &[
    ("xml", Output::Xml),
    ("extended", Output::Extended),
    ("timestamp", Output::Timestamp),
    ("id", Output::Id),
    ("ktimestamp", Output::KernelTimestamp),
    ("labels", Output::Labels),
    ("userspace", Output::Userspace),
    ("save", Output::Save),
    ("json", Output::Json),
];

/// A word of `--event-mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventWord {
    All,
    New,
    Updates,
    Destroy,
}

pub const EVENTS: &[(&str, EventWord)] = &[
    ("ALL", EventWord::All),
    ("NEW", EventWord::New),
    ("UPDATES", EventWord::Updates),
    ("DESTROY", EventWord::Destroy),
];
