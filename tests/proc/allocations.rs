//! Reading a line does not allocate.

use std::{hint::black_box, io::BufReader};

use ctnetlink::proc::Reader;

/// The bytes that `work` allocates.
pub(crate) fn allocated(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_total
}

#[test]
fn reading_a_file_line_by_line_allocates_nothing() {
    let text = [
        include_str!("../data/proc-nf_conntrack.txt"),
        include_str!("../data/list-all-flags.txt"),
        include_str!("../data/events-all-flags.txt"),
        "a malformed line\n",
    ]
    .concat();
    let mut reader = Reader::new(text.as_bytes());
    let mut lines = 0;
    let read = || {
        while let Some(line) = reader.next_view().transpose() {
            lines += 1;
            let Ok(line) = line else { continue };
            black_box((line.original(), line.reply(), line.protocol_info(), line.state(), line.status(), line.event()));
            black_box((line.counters_original(), line.counters_reply(), line.mark(), line.zone(), line.helper()));
            black_box(line.unknown().count());
            if line.helper().is_none() {
                black_box(line.to_flow());
            }
        }
    };
    assert_eq!(allocated(read), 0);
    assert_eq!(lines, text.lines().count());
}

#[test]
fn lines_across_two_reads_share_one_buffer() {
    let line = include_str!("../data/proc-nf_conntrack.txt").lines().next().unwrap();
    let text = format!("{line}\n").repeat(1000);
    let mut reader = Reader::new(BufReader::with_capacity(100, text.as_bytes()));
    let bytes = allocated(|| {
        while let Some(line) = reader.next_view().unwrap() {
            black_box(line.mark());
        }
    });
    assert!(bytes <= 1024, "{bytes} bytes");
}
