//! A line costs no allocation.
#![allow(unsafe_code)] // An allocator that counts.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    io::BufReader,
};

use ctnetlink::proc::Reader;

struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.with(|allocated| allocated.set(allocated.get() + layout.size() as u64));
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that this thread has asked for so far.
pub(crate) fn allocated() -> u64 {
    ALLOCATED.with(Cell::get)
}

#[test]
fn reading_a_file_line_by_line_allocates_nothing() {
    let text = [
        include_str!("../data/proc-nf_conntrack.txt"),
        include_str!("../data/list-all-flags.txt"),
        include_str!("../data/events-all-flags.txt"),
        "a line that is none\n",
    ]
    .concat();
    let mut reader = Reader::new(text.as_bytes());
    let before = allocated();
    let mut lines = 0;
    while let Some(line) = reader.next_line() {
        lines += 1;
        let Ok(line) = line else { continue };
        black_box((line.original(), line.reply(), line.protocol_info(), line.state(), line.status(), line.event()));
        black_box((line.counters_original(), line.counters_reply(), line.mark(), line.zone(), line.helper()));
        black_box(line.unknown().count());
        if line.helper().is_none() {
            black_box(line.to_flow());
        }
    }
    assert_eq!(allocated() - before, 0);
    assert_eq!(lines, text.lines().count());
}

#[test]
fn lines_that_lie_across_two_reads_share_one_buffer() {
    let line = include_str!("../data/proc-nf_conntrack.txt").lines().next().unwrap();
    let text = format!("{line}\n").repeat(1000);
    let mut reader = Reader::new(BufReader::with_capacity(100, text.as_bytes()));
    let before = allocated();
    while let Some(line) = reader.next_line() {
        black_box(line.unwrap().mark());
    }
    assert!(allocated() - before <= 1024, "{} bytes", allocated() - before);
}
