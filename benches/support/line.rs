//! What a line of the kernel's file says.

use std::hint::black_box;

use ctnetlink::proc::Line;

/// Everything that the line says, each value as a caller gets it.
#[inline(always)]
pub(crate) fn read_all(line: &Line<'_>) {
    black_box((line.original(), line.reply(), line.protocol(), line.timeout(), line.tcp_state(), line.status()));
    black_box((line.counters_original(), line.counters_reply(), line.mark(), line.zone(), line.use_count()));
}
