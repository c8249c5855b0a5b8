//! The kernel's statistics.

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, CTA_STATS_CHAIN_TOOLONG, CTA_STATS_CLASH_RESOLVE, CTA_STATS_DELETE,
        CTA_STATS_DELETE_LIST, CTA_STATS_DROP, CTA_STATS_EARLY_DROP, CTA_STATS_ERROR, CTA_STATS_EXP_CREATE,
        CTA_STATS_EXP_DELETE, CTA_STATS_EXP_NEW, CTA_STATS_FOUND, CTA_STATS_GLOBAL_ENTRIES,
        CTA_STATS_GLOBAL_MAX_ENTRIES, CTA_STATS_IGNORE, CTA_STATS_INSERT, CTA_STATS_INSERT_FAILED, CTA_STATS_INVALID,
        CTA_STATS_NEW, CTA_STATS_SEARCH_RESTART, CTA_STATS_SEARCHED, Encoder, RawMessage,
    },
};

/// Declares a set of 32-bit counts: the struct, its decoding and encoding, and the names under which conntrack(8)
/// prints them.
macro_rules! statistics {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($nest:ident) $(of each $cpu:ident)? {
            $( $(#[$field_meta:meta])* $field:ident = $number:ident => $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
        #[non_exhaustive]
        pub struct $name {
            $(
                /// The processor (`res_id` of the header). There is one message for each possible one.
                pub $cpu: u16,
            )?
            $(
                $(#[$field_meta])*
                #[doc = concat!("\n\n`", stringify!($number), "`.")]
                pub $field: Option<u32>,
            )*
        }

        #[cfg(feature = "serde")]
        crate::serde::serialize_present!($name { $( $cpu )?; $( $field ),* });

        impl $name {
            pub(crate) fn decode(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
                let netfilter = message.netfilter()?;
                let read = || {
                    read_attributes!(netfilter.attributes(AttributeSet::$nest); $( $number => $field = Attribute::u32, )*);
                    Ok(Self { $( $cpu: netfilter.resource(), )? $( $field, )* })
                };
                read().map_err(|error: DecodeError| error.moved(message.attributes_offset()))
            }

            pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
                $( if let Some(value) = self.$field { encoder.u32($number, value); } )*
            }

            /// Iterates over the counts that this kernel sends, in its order, under the names that conntrack(8) prints.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
                [$( ($text, self.$field), )*].into_iter().filter_map(|(name, value)| Some((name, value?)))
            }

            /// Adds the counts of another processor. The counts wrap at 32 bits as the kernel's do.
            #[must_use]
            pub fn sum(self, other: &Self) -> Self {
                let add = |a: Option<u32>, b: Option<u32>| match (a, b) {
                    (Some(a), Some(b)) => Some(a.wrapping_add(b)),
                    (one, None) | (None, one) => one,
                };
                Self { $( $field: add(self.$field, other.$field), )* ..self }
            }
        }
    };
}

statistics! {
    /// One processor's statistics of packets in this namespace (`CTA_STATS_*`, `struct ip_conntrack_stat`).
    ///
    /// The counts have 32 bits and wrap. Which of them are present depends on the kernel: Linux 6.18 sends found, invalid, insert,
    /// insert_failed, drop, early_drop, error, search_restart, clash_resolve and chain_too_long.
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::CpuStatistics::default();
    /// statistics.found = Some(3);
    /// assert_eq!(statistics.iter().collect::<Vec<_>>(), [("found", 3)]);
    /// ```
    pub struct CpuStatistics(CpuStatistics) of each cpu {
        /// Look-ups (not sent by current kernels).
        searched = CTA_STATS_SEARCHED => "searched",
        /// Look-ups that found a flow.
        found = CTA_STATS_FOUND => "found",
        /// Flows added (not sent by current kernels).
        new = CTA_STATS_NEW => "new",
        /// Packets that could not be tracked.
        invalid = CTA_STATS_INVALID => "invalid",
        /// Packets of flows already tracked (before Linux 5.10).
        ignore = CTA_STATS_IGNORE => "ignore",
        /// Flows removed (not sent by current kernels).
        delete = CTA_STATS_DELETE => "delete",
        /// Flows put on the dying list (not sent by current kernels).
        delete_list = CTA_STATS_DELETE_LIST => "delete_list",
        /// Flows inserted into the table.
        insert = CTA_STATS_INSERT => "insert",
        /// Flows that lost a race for their tuple.
        insert_failed = CTA_STATS_INSERT_FAILED => "insert_failed",
        /// Packets dropped because the table was full or memory was short.
        drop = CTA_STATS_DROP => "drop",
        /// Flows removed early to make room in a full table.
        early_drop = CTA_STATS_EARLY_DROP => "early_drop",
        /// ICMP errors and packets with broken headers.
        error = CTA_STATS_ERROR => "error",
        /// Look-ups restarted because the table was resized.
        search_restart = CTA_STATS_SEARCH_RESTART => "search_restart",
        /// Races for a tuple that both sides survived (Linux 5.10 and later).
        clash_resolve = CTA_STATS_CLASH_RESOLVE => "clash_resolve",
        /// Inserts refused because a hash chain was too long (Linux 5.15 and later).
        chain_too_long = CTA_STATS_CHAIN_TOOLONG => "chaintoolong",
    }
}

statistics! {
    /// The size of the table of this namespace (`CTA_STATS_GLOBAL_*`).
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::TableStatistics::default();
    /// statistics.entries = Some(17);
    /// assert_eq!(statistics.iter().collect::<Vec<_>>(), [("entries", 17)]);
    /// ```
    pub struct TableStatistics(TableStatistics) {
        /// Flows, including flows that are being created or removed.
        entries = CTA_STATS_GLOBAL_ENTRIES => "entries",
        /// The maximum number of flows: `net.netfilter.nf_conntrack_max` (Linux 4.18 and later).
        max_entries = CTA_STATS_GLOBAL_MAX_ENTRIES => "max_entries",
    }
}

statistics! {
    /// One processor's statistics of expectations in this namespace (`CTA_STATS_EXP_*`).
    ///
    /// # Example
    ///
    /// ```
    /// let mut statistics = ctnetlink::ExpectationStatistics::default();
    /// statistics.new = Some(2);
    /// assert_eq!(statistics.sum(&statistics).new, Some(4));
    /// ```
    pub struct ExpectationStatistics(ExpectationStatistics) of each cpu {
        /// Expected flows that arrived.
        new = CTA_STATS_EXP_NEW => "expect_new",
        /// Expectations created.
        create = CTA_STATS_EXP_CREATE => "expect_create",
        /// Expectations removed.
        delete = CTA_STATS_EXP_DELETE => "expect_delete",
    }
}
