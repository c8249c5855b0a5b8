//! A line as words, and words as options, taken apart as getopt_long(3) does; and the error that names a place in a line.

use core::{fmt, num::NonZeroU64};
use std::{borrow::Cow, io};

use crate::Protocol;

/// A saved line that cannot be read: the place of the error, the expected text, and the text found there.
///
/// Prints like ``line 3, column 12: expected a number up to 65535, found `70000` ``. Columns count bytes from 1.
///
/// # Example
///
/// ```
/// use ctnetlink::format::read_save;
///
/// let text = "-A -t 30 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 1 --dport 70000\n";
/// let error = read_save(text.as_bytes()).next().unwrap().unwrap_err();
/// assert_eq!((error.line().unwrap().get(), error.column()), (1, Some(59)));
/// assert_eq!(error.to_string(), "line 1, column 59: expected a number up to 65535, found `70000`");
/// ```
pub struct SaveError {
    line: Option<NonZeroU64>,
    problem: Problem,
}

enum Problem {
    Syntax { column: usize, expected: Cow<'static, str>, found: Box<str> },
    Io(io::Error),
}

impl SaveError {
    /// At most this many characters of the line are quoted.
    const LONGEST_QUOTE: usize = 64;

    /// `found` is empty at the end of the line.
    #[cold]
    pub(super) fn expected(expected: impl Into<Cow<'static, str>>, found: &str, column: usize) -> Self {
        let found = found.chars().take(Self::LONGEST_QUOTE).collect();
        Self { line: None, problem: Problem::Syntax { column, expected: expected.into(), found } }
    }

    /// The same error in line `number` of a file.
    #[cold]
    pub(super) fn in_line(self, number: u64) -> Self {
        Self { line: NonZeroU64::new(number), ..self }
    }

    /// The number of the line, counted from 1, if a reader counted it.
    #[must_use]
    pub const fn line(&self) -> Option<NonZeroU64> {
        self.line
    }

    /// The byte of the line at which the error is, counted from 1. `None` for an I/O error.
    #[must_use]
    pub const fn column(&self) -> Option<usize> {
        if let Problem::Syntax { column, .. } = self.problem { Some(column) } else { None }
    }

    /// The error of the source, if the file could not be read. Reading ends with it.
    #[must_use]
    pub const fn io_error(&self) -> Option<&io::Error> {
        if let Problem::Io(error) = &self.problem { Some(error) } else { None }
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        match &self.problem {
            Problem::Syntax { column, expected, found } if found.is_empty() => {
                write!(f, "column {column}: expected {expected}, found the end of the line")
            }
            Problem::Syntax { column, expected, found } => {
                write!(f, "column {column}: expected {expected}, found `{}`", found.escape_debug())
            }
            Problem::Io(error) => error.fmt(f),
        }
    }
}

crate::error::debug_as_display!(SaveError);

impl core::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // `Display` prints the I/O error itself.
        self.io_error().and_then(|error| error.source())
    }
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self { line: None, problem: Problem::Io(error) }
    }
}

impl From<SaveError> for io::Error {
    fn from(error: SaveError) -> Self {
        match error.problem {
            Problem::Io(error) => error,
            Problem::Syntax { .. } => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl From<SaveError> for crate::Error {
    fn from(error: SaveError) -> Self {
        match error.problem {
            Problem::Io(error) => error.into(),
            Problem::Syntax { .. } => Self::wrap(crate::ErrorKind::InvalidInput, error),
        }
    }
}

/// A word, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaveWord<'l> {
    pub(super) text: Cow<'l, str>,
    /// The byte of the line at which the word begins, counted from 1.
    pub(super) column: usize,
}

impl<'l> SaveWord<'l> {
    /// The rest of the word from byte `at`.
    pub(super) fn tail(self, at: usize) -> Self {
        let text = match self.text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(at..).unwrap_or_default()),
            Cow::Owned(text) => Cow::Owned(text.get(at..).unwrap_or_default().to_owned()),
        };
        Self { text, column: self.column + at }
    }

    /// The error that something else was expected in place of the word.
    #[cold]
    pub(super) fn expected(&self, what: impl Into<Cow<'static, str>>) -> SaveError {
        SaveError::expected(what, &self.text, self.column)
    }
}

/// Splits a line into words between blanks. Double quotes keep blanks in a word; inside them, a backslash takes the next
/// character literally.
pub(super) fn words(line: &str) -> Result<Vec<SaveWord<'_>>, SaveError> {
    if line.contains('"') {
        return quoted_words(line);
    }
    // As many as a line of TCP has: most files grow this once.
    let mut words = Vec::with_capacity(32);
    let begin = line.as_ptr().addr();
    words.extend(line.split_ascii_whitespace().map(|word| {
        // Words are parts of the line.
        let column = word.as_ptr().addr() - begin + 1;
        SaveWord { text: Cow::Borrowed(word), column }
    }));
    Ok(words)
}

fn quoted_words(line: &str) -> Result<Vec<SaveWord<'_>>, SaveError> {
    let mut words = Vec::new();
    let mut word: Option<(String, usize)> = None;
    let mut open_quote = None;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        if character.is_ascii_whitespace() && open_quote.is_none() {
            words.extend(word.take().map(|(text, column)| SaveWord { text: Cow::Owned(text), column }));
            continue;
        }
        let (text, _) = word.get_or_insert_with(|| (String::new(), at + 1));
        match character {
            '"' => open_quote = if open_quote.is_none() { Some(at + 1) } else { None },
            '\\' if open_quote.is_some() => text.extend(characters.next().map(|(_, character)| character)),
            other => text.push(other),
        }
    }
    if let Some(column) = open_quote {
        return Err(SaveError::expected("a closing quote", line.get(column - 1..).unwrap_or_default(), column));
    }
    words.extend(word.map(|(text, column)| SaveWord { text: Cow::Owned(text), column }));
    Ok(words)
}

/// Whether a value follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakesValue {
    Always,
    /// If the next word does not look like an option.
    Perhaps,
}

/// Declares every option: whether it takes a value, its letter if it has one, and its long names.
macro_rules! save_options {
    ($( $option:ident: $value:ident, $($letter:literal)?, $first:literal $($more:literal)*; )*) => {
        /// An option of a saved line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum SaveOption { $( $option, )* }

        const _: () = assert!([ $( $first, )* ].len() <= u64::BITS as usize, "an option set has a bit for each");

        impl SaveOption {
            const NAMES: &'static [(&'static str, Self)] =
                &[ $( ($first, Self::$option), $( ($more, Self::$option), )* )* ];

            /// The name in messages.
            pub(super) const fn name(self) -> &'static str {
                match self { $( Self::$option => $first, )* }
            }

            const fn takes_value(self) -> TakesValue {
                match self { $( Self::$option => TakesValue::$value, )* }
            }

            fn of_whole_name(name: &str) -> Option<Self> {
                match name {
                    $( $first $( | $more )* => Some(Self::$option), )*
                    _ => None,
                }
            }

            const fn of_letter(letter: u8) -> Option<Self> {
                match letter {
                    $( $( $letter => Some(Self::$option), )? )*
                    _ => None,
                }
            }
        }
    };
}

save_options! {
    Add: Perhaps, b'A', "add";
    Create: Perhaps, b'I', "create";
    Update: Perhaps, b'U', "update";
    Delete: Perhaps, b'D', "delete";
    Flush: Perhaps, b'F', "flush";
    Source: Always, b's', "src" "orig-src";
    Destination: Always, b'd', "dst" "orig-dst";
    ReplySource: Always, b'r', "reply-src";
    ReplyDestination: Always, b'q', "reply-dst";
    Protocol: Always, b'p', "protonum" "proto";
    Timeout: Always, b't', "timeout";
    Status: Always, b'u', "status";
    Mark: Always, b'm', "mark";
    Id: Always, b'i', "id";
    Family: Always, b'f', "family";
    SourceNat: Perhaps, b'n', "src-nat";
    DestinationNat: Perhaps, b'g', "dst-nat";
    AnyNat: Perhaps, b'j', "any-nat";
    NatRange: Always, b'a', "nat-range";
    SecurityMark: Always, b'c', "secmark";
    Zone: Always, b'w', "zone";
    OriginalZone: Always, b'(', "orig-zone";
    ReplyZone: Always, b')', "reply-zone";
    Label: Always, b'l', "label";
    LabelAdd: Always, b'<', "label-add";
    LabelDelete: Perhaps, b'>', "label-del";
    MaskSource: Always, b'{', "mask-src";
    MaskDestination: Always, b'}', "mask-dst";
    Helper: Always, , "helper";
    Filter: Always, , "filter";
    SourcePort: Always, , "sport" "orig-port-src";
    DestinationPort: Always, , "dport" "orig-port-dst";
    ReplySourcePort: Always, , "reply-port-src";
    ReplyDestinationPort: Always, , "reply-port-dst";
    SourceKey: Always, , "srckey" "orig-key-src";
    DestinationKey: Always, , "dstkey" "orig-key-dst";
    ReplySourceKey: Always, , "reply-key-src";
    ReplyDestinationKey: Always, , "reply-key-dst";
    IcmpType: Always, , "icmp-type";
    IcmpCode: Always, , "icmp-code";
    IcmpId: Always, , "icmp-id";
    Icmpv6Type: Always, , "icmpv6-type";
    Icmpv6Code: Always, , "icmpv6-code";
    Icmpv6Id: Always, , "icmpv6-id";
    State: Always, , "state";
    OriginalTag: Always, , "orig-vtag";
    ReplyTag: Always, , "reply-vtag";
    Role: Always, , "role";
}

impl SaveOption {
    pub(super) const fn is_command(self) -> bool {
        matches!(self, Self::Add | Self::Create | Self::Update | Self::Delete | Self::Flush)
    }

    /// The option with this long name, or the only one whose name begins so.
    fn of_name(name: &str) -> Option<Self> {
        if let Some(option) = Self::of_whole_name(name) {
            return Some(option);
        }
        let mut beginning = Self::NAMES.iter().filter(|(known, _)| known.starts_with(name)).map(|(_, option)| *option);
        let first = beginning.next()?;
        beginning.all(|option| option == first).then_some(first)
    }

    /// Whether flows of the protocol have this option. Options of every protocol are not asked for.
    pub(super) fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Self::SourcePort | Self::DestinationPort | Self::ReplySourcePort | Self::ReplyDestinationPort => {
                protocol.has_ports()
            }
            Self::SourceKey | Self::DestinationKey | Self::ReplySourceKey | Self::ReplyDestinationKey => {
                protocol == Protocol::GRE
            }
            Self::IcmpType | Self::IcmpCode | Self::IcmpId => protocol == Protocol::ICMP,
            Self::Icmpv6Type | Self::Icmpv6Code | Self::Icmpv6Id => protocol == Protocol::ICMPV6,
            Self::State => matches!(protocol, Protocol::TCP | Protocol::SCTP | Protocol::DCCP),
            Self::OriginalTag | Self::ReplyTag => protocol == Protocol::SCTP,
            Self::Role => protocol == Protocol::DCCP,
            _ => true,
        }
    }

    /// Whether the option belongs to some protocols only.
    pub(super) const fn is_of_protocol(self) -> bool {
        self as u8 >= Self::SourcePort as u8
    }
}

/// A set of options.
#[derive(Clone, Copy)]
pub(super) struct OptionSet(u64);

impl OptionSet {
    pub(super) const fn of(options: &[SaveOption]) -> Self {
        let mut bits = 0;
        let mut rest = options;
        while let [option, others @ ..] = rest {
            bits |= 1 << *option as u8;
            rest = others;
        }
        Self(bits)
    }

    /// The options of a line.
    pub(super) fn given(given: &[GivenOption<'_>]) -> Self {
        Self(given.iter().fold(0, |bits, given| bits | 1 << given.option as u8))
    }

    /// These, and every option that belongs to a protocol.
    pub(super) const fn and_of_protocols(self) -> Self {
        Self(self.0 | u64::MAX << SaveOption::SourcePort as u8)
    }

    /// These, and the others.
    pub(super) const fn and(self, others: &[SaveOption]) -> Self {
        Self(self.0 | Self::of(others).0)
    }

    pub(super) const fn contains(self, option: SaveOption) -> bool {
        self.0 >> option as u8 & 1 == 1
    }
}

/// An option, and the value that follows it.
#[derive(Clone, Debug)]
pub(super) struct GivenOption<'l> {
    pub(super) option: SaveOption,
    pub(super) value: Option<SaveWord<'l>>,
    /// The word that names the option.
    pub(super) column: usize,
}

impl GivenOption<'_> {
    /// The error that something else was expected in place of the option.
    #[cold]
    pub(super) fn expected(&self, what: impl Into<Cow<'static, str>>) -> SaveError {
        SaveError::expected(what, &format!("--{}", self.option.name()), self.column)
    }
}

/// Every option of a line, in order.
pub(super) fn options<'l>(words: Vec<SaveWord<'l>>, end: usize) -> Result<Vec<GivenOption<'l>>, SaveError> {
    let mut given = Vec::with_capacity(words.len() / 2 + 1);
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let column = word.column;
        let (option, attached) = match word.text.as_bytes() {
            [b'-', b'-', name @ ..] if !name.is_empty() => long(word)?,
            [b'-', letter, rest @ ..] if *letter != b'-' => {
                let has_attached = !rest.is_empty();
                let option = SaveOption::of_letter(*letter).ok_or_else(|| word.expected("an option"))?;
                (option, has_attached.then(|| word.tail(2)))
            }
            _ => return Err(word.expected("an option")),
        };
        let value = match option.takes_value() {
            _ if attached.is_some() => attached,
            TakesValue::Always => Some(
                words
                    .next()
                    .ok_or_else(|| SaveError::expected(format!("a value of `--{}`", option.name()), "", end))?,
            ),
            TakesValue::Perhaps => words.next_if(|word| !word.text.starts_with('-')),
        };
        given.push(GivenOption { option, value, column });
    }
    Ok(given)
}

/// `--name` or `--name=value`.
fn long(word: SaveWord<'_>) -> Result<(SaveOption, Option<SaveWord<'_>>), SaveError> {
    let name = word.text.get(2..).unwrap_or_default();
    let (name, value_at) = match name.find('=') {
        Some(sign) => (name.get(..sign).unwrap_or_default(), Some(sign + 3)),
        None => (name, None),
    };
    let option = SaveOption::of_name(name).ok_or_else(|| word.expected("an option"))?;
    Ok((option, value_at.map(|at| word.tail(at))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Vec<(String, usize)> {
        words(line).unwrap().into_iter().map(|word| (word.text.into_owned(), word.column)).collect()
    }

    #[test]
    fn quotes_join_words_and_keep_columns() {
        assert_eq!(split("  a  bc\t"), [("a".into(), 3), ("bc".into(), 6)]);
        assert_eq!(
            split(r#"-"A" "a b"c "" "\"\\" d"#),
            [("-A".into(), 1), ("a bc".into(), 6), (String::new(), 13), ("\"\\".into(), 16), ("d".into(), 23),]
        );
        let error = words("-A \"x y").unwrap_err();
        assert_eq!(error.to_string(), "column 4: expected a closing quote, found `\\\"x y`");
    }

    proptest! {
        #[test]
        fn both_ways_to_split_agree(line in "[ \t]?([a-zé=-]{1,4}[ \t]{1,2}){0,5}") {
            prop_assert_eq!(words(&line).unwrap(), quoted_words(&line).unwrap());
        }
    }
}
