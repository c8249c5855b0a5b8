//! The fields of a line.

use core::fmt;

use super::scan::Cursor;

/// A field of a line, such as `mark=7`.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Field, Line};
///
/// let line = b"udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 [UNREPLIED] \
///              src=10.0.0.2 dst=10.0.0.1 sport=53 dport=40000 mark=7 use=1";
/// let line = Line::parse(line)?;
/// assert!(line.fields().any(|field| field == Field::Flag(b"UNREPLIED")));
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field<'a> {
    /// `key=value`.
    Value {
        /// The part before the equals sign.
        key: &'a [u8],
        /// The part after the equals sign.
        value: &'a [u8],
    },
    /// A field in brackets, without the brackets.
    Flag(&'a [u8]),
    /// A word without brackets or an equals sign.
    Word(&'a [u8]),
}

impl Field<'_> {
    /// Returns true if a [`Line`](super::Line) has an accessor for the field.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Value { key, .. } => matches!(
                *key,
                b"src"
                    | b"dst"
                    | b"sport"
                    | b"dport"
                    | b"type"
                    | b"code"
                    | b"id"
                    | b"srckey"
                    | b"dstkey"
                    | b"timeout"
                    | b"stream_timeout"
                    | b"packets"
                    | b"bytes"
                    | b"mark"
                    | b"secmark"
                    | b"secctx"
                    | b"zone"
                    | b"zone-orig"
                    | b"zone-reply"
                    | b"delta-time"
                    | b"use"
                    | b"helper"
                    | b"labels"
                    | b"portid"
                    | b"progname"
            ),
            Self::Flag(flag) => {
                matches!(*flag, b"UNREPLIED" | b"ASSURED" | b"OFFLOAD" | b"HW_OFFLOAD" | b"USERSPACE")
                    || flag.starts_with(b"start=")
                    || flag.starts_with(b"stop=")
            }
            Self::Word(word) => *word == b"labels",
        }
    }
}

impl fmt::Display for Field<'_> {
    /// Prints the field as in the line, with bytes other than printable ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { key, value } => write!(f, "{}={}", key.escape_ascii(), value.escape_ascii()),
            Self::Flag(flag) => write!(f, "[{}]", flag.escape_ascii()),
            Self::Word(word) => word.escape_ascii().fmt(f),
        }
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({self})")
    }
}

/// The fields of a line, in order. See [`Line::fields`](super::Line::fields).
///
/// # Example
///
/// ```
/// use ctnetlink::proc::{Field, Line};
///
/// let line = b"udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 [UNREPLIED] \
///              src=10.0.0.2 dst=10.0.0.1 sport=53 dport=40000 mark=7 use=1";
/// let line = Line::parse(line)?;
/// let last = line.fields().last();
/// assert_eq!(last, Some(Field::Value { key: b"use", value: b"1" }));
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(text) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.cursor.skip_blanks();
        if self.cursor.is_at_end() { None } else { Some(self.cursor.field()) }
    }
}

impl<'a> Cursor<'a> {
    /// Takes the next field and the blanks after it.
    pub(super) fn field(&mut self) -> Field<'a> {
        let field = if self.peek() == Some(b'[') { self.flag() } else { self.value_or_word() };
        self.skip_blanks();
        field
    }

    fn flag(&mut self) -> Field<'a> {
        self.skip(1);
        let flag = self.until(|byte| byte == b']');
        self.skip(1);
        Field::Flag(flag)
    }

    fn value_or_word(&mut self) -> Field<'a> {
        let mut ahead = *self;
        let key = ahead.until(|byte| matches!(byte, b'=' | b' ' | b'\t'));
        if ahead.peek() != Some(b'=') {
            *self = ahead;
            return Field::Word(key);
        }
        ahead.skip(1);
        *self = ahead;
        let value = match key {
            // The name of a process may contain spaces. It is the last field.
            b"progname" => self.until(|_| false),
            b"secctx" | b"labels" => self.phrase(),
            _ => self.word(),
        };
        Field::Value { key, value }
    }

    /// Takes words up to the next `key=` or flag. Names of AppArmor profiles and of labels may contain spaces.
    fn phrase(&mut self) -> &'a [u8] {
        let text = self.rest();
        self.word();
        loop {
            let mut ahead = *self;
            ahead.skip_blanks();
            if matches!(ahead.peek(), None | Some(b'[')) || ahead.word().contains(&b'=') {
                let length = text.len() - self.rest().len();
                return text.get(..length).unwrap_or_default();
            }
            *self = ahead;
        }
    }
}
