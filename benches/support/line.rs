//! Reads a line of `/proc/net/nf_conntrack`.

use std::hint::black_box;

use ctnetlink::proc::Line;

/// Reads every field of the line through the public accessors.
#[inline(always)]
pub(crate) fn read_all(line: &Line<'_>) {
    black_box((line.original(), line.reply(), line.protocol(), line.timeout(), line.tcp_state(), line.status()));
    black_box((line.counters_original(), line.counters_reply(), line.mark(), line.zone(), line.use_count()));
}
