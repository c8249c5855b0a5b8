//! Errors of reading filters, with suggestions for words that the language does not have.

use core::{
    fmt::{self, Write as _},
    net::SocketAddr,
};

use crate::{
    error::{Error, ErrorKind},
    filter::{
        Prefix,
        fields::{AddressField, NumberField},
    },
    model::{DccpState, Family, Protocol, SctpState, Status, TcpState},
};

/// The reason why text could not be read as a filter, and its position.
///
/// It converts into [`Error`](crate::Error) with the kind [`InvalidInput`](crate::ErrorKind::InvalidInput).
///
/// # Example
///
/// ```
/// use ctnetlink::Filter;
///
/// let error = "src 10.0.0.0/8 and mark".parse::<Filter>().unwrap_err();
/// assert_eq!(error.to_string(), "column 24: expected a mark, found end of filter");
///
/// let error = "src 10.0.0.0/8\n  and prot tcp".parse::<Filter>().unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 7: unknown keyword `prot`; did you mean `proto`?");
/// assert_eq!((error.line(), error.column()), (2, 7));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseFilterError {
    position: Position,
    message: Box<str>,
}

/// A place in the text: line and column, counted in characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl ParseFilterError {
    #[cold]
    pub(super) fn new(position: Position, message: impl fmt::Display) -> Self {
        Self { position, message: message.to_string().into() }
    }

    /// Returns the line of the offending word, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.position.line
    }

    /// Returns the column at which the offending word starts in its line, counted in characters from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.position.column
    }
}

impl fmt::Display for ParseFilterError {
    /// Prints the position and the reason; the line only if it is not the first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        if line > 1 {
            write!(f, "line {line}, ")?;
        }
        write!(f, "column {column}: {}", self.message)
    }
}

crate::error::debug_as_display!(ParseFilterError);

impl core::error::Error for ParseFilterError {}

impl From<ParseFilterError> for Error {
    fn from(error: ParseFilterError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

/// A word of the text in backquotes, shortened to fit a line. Control characters are escaped: they could drive a
/// terminal.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.char_indices().nth(48).map_or(self.0, |(end, _)| self.0.get(..end).unwrap_or_default());
        f.write_str("`")?;
        for character in shown.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        f.write_str(if shown.len() < self.0.len() { "…`" } else { "`" })
    }
}

/// The keywords that start a term, except the names of addresses and numbers.
const TERMS: &[&str] = &[
    "any",
    "none",
    "assured",
    "unreplied",
    "offloaded",
    "state",
    "status",
    "mark",
    "label",
    "any-label",
    "helper",
    "src-nat",
    "dst-nat",
    "any-nat",
    "tuple",
];

/// Keywords of other languages in lower case, and how this one spells them.
const FOREIGN: &[(&str, &str)] = &[
    ("!", "not"),
    ("&&", "and"),
    ("||", "or"),
    ("all", "any"),
    ("protocol", "proto"),
    ("ip", "family ipv4"),
    ("ip6", "family ipv6"),
    ("inet", "family ipv4"),
    ("inet6", "family ipv6"),
    ("host", "addr"),
    ("net", "addr"),
    ("saddr", "src"),
    ("daddr", "dst"),
    ("source", "src"),
    ("destination", "dst"),
    ("orig-src", "src"),
    ("orig-dst", "dst"),
    ("orig-port-src", "sport"),
    ("orig-port-dst", "dport"),
    ("snat", "src-nat"),
    ("dnat", "dst-nat"),
    ("nat", "any-nat"),
    ("labels", "label"),
];

/// Prints the likely meaning of an unknown keyword, after the error message about it.
pub(super) struct KeywordHint<'t>(pub(super) &'t str);

impl fmt::Display for KeywordHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = self.0.to_ascii_lowercase();
        if let Some((_, ours)) = FOREIGN.iter().find(|(foreign, _)| *foreign == lower) {
            write!(f, "; did you mean `{ours}`?")
        } else if let Some(field) = field_of(&lower) {
            write!(f, "; did you mean `{field} {lower}`?")
        } else if let Some(negated) = lower.strip_prefix('!').filter(|word| is_keyword(word)) {
            write!(f, "; did you mean `not {negated}`?")
        } else if let Some(near) = keywords().find(|word| is_near(word, &lower)) {
            write!(f, "; did you mean `{near}`?")
        } else {
            Ok(())
        }
    }
}

/// Prints how this language writes a value of another one, after the error message about it.
pub(super) struct ValueHint<'t>(pub(super) &'t str);

impl fmt::Display for ValueHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match (self.0.parse::<SocketAddr>(), self.0.split_once(':')) {
            (Ok(end), _) => write!(f, "; did you mean `{} port {}`?", end.ip(), end.port()),
            (_, Some((first, last))) if is_number(first) && is_number(last) => {
                write!(f, "; did you mean `{first}-{last}`?")
            }
            _ => Ok(()),
        }
    }
}

/// The field that has a value of this name.
fn field_of(value: &str) -> Option<&'static str> {
    // A number may be a value of any field.
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is = |parsed: bool, field| parsed.then_some(field);
    is(value.parse::<Family>().is_ok(), "family")
        .or(is(value.parse::<Protocol>().is_ok(), "proto"))
        .or(is(value.parse::<Prefix>().is_ok(), "addr"))
        .or(is(value.parse::<TcpState>().is_ok(), "state"))
        .or(is(value.parse::<SctpState>().is_ok(), "state"))
        .or(is(value.parse::<DccpState>().is_ok(), "state"))
        .or(is(value.parse::<Status>().is_ok_and(|status| !status.is_empty()), "status"))
}

fn is_keyword(word: &str) -> bool {
    keywords().any(|known| known == word)
}

fn keywords() -> impl Iterator<Item = &'static str> {
    let addresses = AddressField::ALL.into_iter().map(AddressField::keyword);
    let numbers = NumberField::ALL.iter().map(|field| field.keyword());
    TERMS.iter().copied().chain(["and", "or", "not"]).chain(addresses).chain(numbers)
}

/// Whether one word becomes the other by adding, removing or replacing one character, or by swapping two neighbors.
fn is_near(one: &str, other: &str) -> bool {
    let common = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.as_bytes().get(common..), other.as_bytes().get(common..));
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let common = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (one.get(..one.len() - common), other.get(..other.len() - common)) {
        (Some(&[a, b]), Some(&[c, d])) => (a, b) == (d, c),
        (Some(one), Some(other)) => one.len() <= 1 && other.len() <= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(word: &str) -> String {
        let hint = KeywordHint(word).to_string();
        hint.strip_prefix("; did you mean ").map(|meant| meant.trim_matches(['`', '?']).to_owned()).unwrap_or(hint)
    }

    #[test]
    fn value_suggests_its_field() {
        assert_eq!(hint("tcp"), "proto tcp");
        assert_eq!(hint("ICMPv6"), "proto icmpv6");
        assert_eq!(hint("ipv6"), "family ipv6");
        assert_eq!(hint("10.0.0.0/8"), "addr 10.0.0.0/8");
        assert_eq!(hint("fd00::1"), "addr fd00::1");
        assert_eq!(hint("ESTABLISHED"), "state established");
        assert_eq!(hint("seen_reply"), "status seen_reply");
    }

    #[test]
    fn keyword_of_another_language_is_translated() {
        assert_eq!(hint("host"), "addr");
        assert_eq!(hint("&&"), "and");
        assert_eq!(hint("!assured"), "not assured");
        assert!(FOREIGN.iter().all(|(foreign, _)| !is_keyword(foreign)));
    }

    #[test]
    fn typing_error_is_corrected() {
        for mistaken in ["assurd", "asssured", "asured", "assurde", "assurec", "Assurd"] {
            assert_eq!(hint(mistaken), "assured", "{mistaken}");
        }
        assert_eq!(hint("dprot"), "dport");
        assert_eq!(hint("adn"), "and");
    }

    #[test]
    fn unclear_word_has_no_suggestion() {
        for word in ["22", "frobnicate", "ключ", "asrd"] {
            assert_eq!(hint(word), "", "{word}");
        }
    }

    #[test]
    fn what_is_meant_is_keyword() {
        for (_, ours) in FOREIGN {
            let first = ours.split(' ').next().unwrap();
            assert!(is_keyword(first), "{first}");
        }
        for word in keywords() {
            let refused = word.parse::<crate::Filter>().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!refused.contains("unknown keyword"), "{word}: {refused}");
        }
    }
}
