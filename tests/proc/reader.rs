//! Readers of whole files.

use std::io::{self, BufRead, BufReader, Read};

use ctnetlink::proc::{ExpectationReader, LONGEST_LINE, ReadError, Reader};

const LINE: &str =
    "udp      17 9 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=5\n";

fn results(source: impl BufRead) -> Vec<Result<Option<u32>, String>> {
    let results: Vec<_> =
        Reader::new(source).map(|flow| flow.map(|flow| flow.mark).map_err(|error| error.to_string())).collect();
    results
}

#[test]
fn reading_continues_after_a_malformed_line() {
    let text = format!("{LINE}\n \t\r\nrubbish\n{}\n{}", LINE.replace("\n", "\r"), LINE.trim_end());
    let bad = "line 4, column 8: expected a number up to 255, found the end of the line";
    assert_eq!(results(text.as_bytes()), [Ok(Some(5)), Err(bad.into()), Ok(Some(5)), Ok(Some(5))]);
}

#[test]
fn size_of_the_buffer_does_not_matter() {
    let text = format!("{LINE}x\n\n{LINE}{}", LINE.trim_end());
    let whole = results(text.as_bytes());
    assert_eq!(whole.len(), 4);
    for capacity in (1..=text.len() + 1).step_by(7) {
        assert_eq!(results(BufReader::with_capacity(capacity, text.as_bytes())), whole, "{capacity}");
    }
}

/// One line of any length, produced without being stored.
struct Endless {
    left: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.left);
        buffer[..count].fill(b'a');
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn line_of_ten_megabytes_is_refused_in_little_memory() {
    let source =
        BufReader::with_capacity(512, Endless { left: 10_000_000 }.chain(io::Cursor::new(format!("\n{LINE}"))));
    let mut reader = Reader::new(source);
    let mut error = None;
    let held = super::allocations::allocated(|| error = reader.next_view().err());
    let error = error.unwrap();
    assert!(error.line().unwrap().is_too_long());
    assert_eq!(error.to_string(), "line 1, column 16385: expected at most 16384 bytes in a line");
    assert!(held <= 4 * LONGEST_LINE as u64, "{held} bytes allocated");
    assert_eq!(reader.next_view().unwrap().unwrap().mark(), Some(5));
    assert!(reader.next_view().unwrap().is_none());
}

#[test]
fn longest_line_is_read_with_any_buffer() {
    let line = LINE.trim_end();
    let longest = format!("{line} x={}", "y".repeat(LONGEST_LINE - line.len() - 3));
    assert_eq!(longest.len(), LONGEST_LINE);
    for text in [longest.clone(), format!("{longest}\n")] {
        assert_eq!(results(text.as_bytes()), [Ok(Some(5))]);
        assert_eq!(results(BufReader::with_capacity(100, text.as_bytes())), [Ok(Some(5))]);
        let longer = format!("{longest}y\n{LINE}");
        assert_eq!(results(longer.as_bytes()).len(), 2);
        assert!(results(longer.as_bytes())[0].is_err());
        assert!(results(BufReader::with_capacity(100, longer.as_bytes()))[0].is_err());
    }
}

/// A source that is interrupted once and fails after one line.
struct Failing(u32);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0 += 1;
        match self.0 {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 => {
                buffer[..LINE.len()].copy_from_slice(LINE.as_bytes());
                Ok(LINE.len())
            }
            _ => Err(io::Error::other("gone")),
        }
    }
}

#[test]
fn nothing_follows_an_io_error() {
    let mut reader = Reader::new(BufReader::new(Failing(0)));
    assert!(reader.next_view().unwrap().is_some());
    assert!(matches!(reader.next_view(), Err(ReadError::Io(_))));
    assert!(reader.next_view().unwrap().is_none());
}

#[test]
fn into_inner_returns_the_source_after_the_lent_line() {
    let text = format!("{LINE}rest");
    let mut reader = Reader::new(text.as_bytes());
    reader.next_view().unwrap().unwrap();
    assert_eq!(reader.line_number(), 1);
    assert_eq!(reader.into_inner(), b"rest");
}

#[test]
fn expectations_are_read_from_files() {
    let kernel = include_str!("../data/proc-nf_conntrack_expect.txt").trim_end();
    let listed = include_str!("../data/expect.txt").trim_end();
    let text = format!("{listed}\n\nrubbish\n{kernel}\nrest");
    let mut lines = ExpectationReader::new(text.as_bytes());
    assert_eq!(lines.line_number(), 0);
    assert_eq!(lines.next_view().unwrap().unwrap().as_bytes(), listed.as_bytes());
    assert!(lines.next_view().is_err());
    assert_eq!(lines.next_view().unwrap().unwrap().to_string(), kernel);
    assert_eq!(lines.line_number(), 4);
    assert_eq!(lines.into_inner(), b"rest");
    // The kernel's own file lacks the mask and the master.
    let values: Vec<_> =
        ExpectationReader::new(text.as_bytes()).map(|value| value.map_err(|error| error.to_string())).collect();
    assert_eq!(values[0].as_ref().unwrap().helper.as_deref(), Some("ftp"));
    let missing = "line 4, column 76: expected the mask and the master, which the kernel's own file does not contain, found the end of the line";
    assert_eq!(values[2], Err(missing.to_owned()));
    assert_eq!(values.len(), 4);
}

#[test]
fn line_number_stays_at_the_end_of_the_file() {
    let mut reader = Reader::new(LINE.as_bytes());
    while reader.next_view().unwrap().is_some() {}
    assert_eq!(reader.line_number(), 1);
}
