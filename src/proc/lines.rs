//! Lines of a file, each of bounded length.

use std::io::{self, BufRead};

use super::{LONGEST_LINE, LineError, ReadError};

/// With the carriage return, which is not part of the line. The parser refuses a line that is longer by one byte.
const LONGEST_WITH_RETURN: usize = LONGEST_LINE + 1;

/// Reads and numbers the lines of a file.
///
/// A line that is complete in the source's buffer is lent from there. Other lines are gathered in a buffer of at most
/// [`LONGEST_LINE`] bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    /// The length of the lent line in the source's buffer, to be consumed before the next read.
    lent: usize,
    /// A line that was read in parts.
    parts: Vec<u8>,
    is_finished: bool,
}

/// The place of the line that was read last.
enum LineAt {
    /// In the source's buffer, with this length.
    InSource(usize),
    InParts,
    TooLong,
    End,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, number: 0, lent: 0, parts: Vec::new(), is_finished: false }
    }

    /// The number of the line that was read last, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn into_inner(mut self) -> R {
        self.source.consume(self.lent);
        self.source
    }

    /// Returns the next line that is not blank, and its number.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Result<(u64, &[u8]), ReadError>> {
        match self.advance() {
            Ok(LineAt::InSource(length)) => match self.source.fill_buf() {
                Ok(buffer) => Some(Ok((self.number, buffer.get(..length).unwrap_or_default()))),
                Err(error) => Some(Err(error.into())),
            },
            Ok(LineAt::InParts) => Some(Ok((self.number, &self.parts))),
            Ok(LineAt::TooLong) => Some(Err(LineError::too_long().in_line(self.number).into())),
            Ok(LineAt::End) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Parses the next line that is not blank.
    #[inline]
    pub(super) fn next_as<'l, T>(
        &'l mut self,
        read: impl FnOnce(&'l [u8]) -> Result<T, LineError>,
    ) -> Option<Result<T, ReadError>> {
        match self.next()? {
            Ok((number, text)) => Some(read(text).map_err(|error| error.in_line(number).into())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Finds the next line that is not blank.
    #[inline]
    fn advance(&mut self) -> io::Result<LineAt> {
        loop {
            self.source.consume(core::mem::take(&mut self.lent));
            if self.is_finished {
                return Ok(LineAt::End);
            }
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.is_finished = true;
                    return Err(error);
                }
            };
            match line_end(buffer) {
                Some(length) if length <= LONGEST_WITH_RETURN => {
                    self.number += 1;
                    self.lent = length + 1;
                    if !is_blank(buffer.get(..length).unwrap_or_default()) {
                        return Ok(LineAt::InSource(length));
                    }
                }
                _ => {
                    let found = self.collect()?;
                    self.number += u64::from(!matches!(found, LineAt::End));
                    if !matches!(found, LineAt::InParts) || !is_blank(&self.parts) {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Gathers a line that is not complete in the source's buffer, or skips it if it is too long.
    #[cold]
    fn collect(&mut self) -> io::Result<LineAt> {
        self.parts.clear();
        let mut length = 0_usize;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.is_finished = true;
                    return Err(error);
                }
            };
            let end = line_end(buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            length = length.saturating_add(part.len());
            if length <= LONGEST_WITH_RETURN {
                self.parts.extend_from_slice(part);
            }
            let is_last = end.is_some() || buffer.is_empty();
            self.is_finished = buffer.is_empty();
            let taken = part.len() + usize::from(end.is_some());
            self.source.consume(taken);
            if is_last {
                return Ok(match length {
                    0 if self.is_finished => LineAt::End,
                    0..=LONGEST_WITH_RETURN => LineAt::InParts,
                    _ => LineAt::TooLong,
                });
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The position of the first line end.
#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    /// The bytes compared in one step. The inner loop compiles to two vector comparisons.
    const STEP: usize = 32;
    let mut before = 0;
    let mut chunks = bytes.chunks_exact(STEP);
    for chunk in chunks.by_ref() {
        if chunk.iter().fold(false, |found, byte| found | (*byte == b'\n')) {
            return Some(before + chunk.iter().position(|byte| *byte == b'\n')?);
        }
        before += STEP;
    }
    Some(before + chunks.remainder().iter().position(|byte| *byte == b'\n')?)
}
