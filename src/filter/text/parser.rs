//! Tokens → filter.

use core::str::FromStr;

use super::{
    DEPTH,
    error::{ParseFilterError, Quoted},
    lexer::{Kind, Lexer, Token},
};
use crate::filter::Filter;

impl FromStr for Filter {
    type Err = ParseFilterError;

    /// Reads the language that the [module](crate::filter) describes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = Parser::new(text)?;
        let filter = parser.filter(DEPTH)?;
        match parser.peek() {
            None => Ok(filter),
            Some(token) => Err(token.unexpected("`and`, `or` or the end")),
        }
    }
}

impl Token<'_> {
    #[cold]
    pub(super) fn unexpected(&self, wanted: &str) -> ParseFilterError {
        let column = self.column;
        match &self.kind {
            Kind::Word(word) => {
                ParseFilterError::new(column, format_args!("{} where {wanted} should be", Quoted(word)))
            }
            Kind::Quote(text) => {
                ParseFilterError::new(column, format_args!("{} where {wanted} should be", Quoted(text)))
            }
            Kind::Open => ParseFilterError::new(column, format_args!("`(` where {wanted} should be")),
            Kind::Close => ParseFilterError::new(column, format_args!("`)` where {wanted} should be")),
            Kind::Comma => ParseFilterError::new(column, format_args!("`,` where {wanted} should be")),
            _ => ParseFilterError::new(column, format_args!("a comparison where {wanted} should be")),
        }
    }

    pub(super) fn is_word(&self, wanted: &str) -> bool {
        matches!(self.kind, Kind::Word(word) if word.eq_ignore_ascii_case(wanted))
    }
}

/// A parser that looks one token ahead.
pub(super) struct Parser<'t> {
    lexer: Lexer<'t>,
    ahead: Option<Token<'t>>,
    end: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Self, ParseFilterError> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        let end = lexer.column();
        Ok(Self { lexer, ahead, end })
    }

    pub(super) const fn peek(&self) -> Option<&Token<'t>> {
        self.ahead.as_ref()
    }

    /// Where the next token is, or the text ends.
    pub(super) fn column(&self) -> usize {
        self.peek().map_or(self.end, |token| token.column)
    }

    pub(super) fn advance(&mut self) -> Result<Option<Token<'t>>, ParseFilterError> {
        let next = self.lexer.next()?;
        self.end = self.lexer.column();
        Ok(core::mem::replace(&mut self.ahead, next))
    }

    /// The next token, of which there has to be one.
    pub(super) fn expect(&mut self, what: &str) -> Result<Token<'t>, ParseFilterError> {
        let end = self.end;
        let token = self.advance()?.ok_or_else(|| ParseFilterError::new(end, format_args!("{what} is missing")))?;
        if token.is_word("!") {
            return Err(ParseFilterError::new(
                token.column,
                format_args!("`!` where {what} should be: to negate, write `not` before the term"),
            ));
        }
        Ok(token)
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn take(&mut self, kind: &Kind<'_>) -> Result<bool, ParseFilterError> {
        self.take_if(|token| token.kind == *kind)
    }

    /// Takes the next token if it is this word.
    pub(super) fn take_word(&mut self, word: &str) -> Result<bool, ParseFilterError> {
        self.take_if(|token| token.is_word(word))
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Token<'t>) -> bool) -> Result<bool, ParseFilterError> {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn filter(&mut self, depth: usize) -> Result<Filter, ParseFilterError> {
        let mut alternatives = vec![self.all(depth)?];
        while self.take_word("or")? {
            alternatives.push(self.all(depth)?);
        }
        Ok(Filter::any_of(alternatives))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, ParseFilterError> {
        let mut parts = vec![self.factor(depth)?];
        while self.take_word("and")? {
            parts.push(self.factor(depth)?);
        }
        Ok(Filter::all_of(parts))
    }

    fn factor(&mut self, depth: usize) -> Result<Filter, ParseFilterError> {
        let token = self.expect("a term")?;
        let deeper = || {
            depth
                .checked_sub(1)
                .ok_or_else(|| ParseFilterError::new(token.column, format_args!("nested more than {DEPTH} deep")))
        };
        match token.kind {
            Kind::Open => {
                let filter = self.filter(deeper()?)?;
                let closing = self.expect("`)`")?;
                if closing.kind == Kind::Close { Ok(filter) } else { Err(closing.unexpected("`and`, `or` or `)`")) }
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("not") => Ok(!self.factor(deeper()?)?),
            Kind::Word(word) if !token.is_word("and") && !token.is_word("or") => self.term(word, token.column),
            _ => Err(token.unexpected("a term")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Filter>().unwrap_err().to_string()
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_both() {
        let implicit: Filter = "not assured and dport 1 or sport 2 and sport 3".parse().unwrap();
        let explicit: Filter = "((not assured) and dport 1) or (sport 2 and (sport 3))".parse().unwrap();
        assert_eq!(implicit, explicit);
        let other: Filter = "not (assured and (dport 1 or sport 2) and sport 3)".parse().unwrap();
        assert_ne!(implicit, other);
    }

    #[test]
    fn an_error_points_at_its_column() {
        assert_eq!(refused(""), "column 1: a term is missing");
        assert_eq!(refused("assurd"), "column 1: `assurd` is no word of the filter language: did you mean `assured`?");
        assert_eq!(refused("  proto tpc"), "column 9: expected a protocol, found `tpc`");
        assert_eq!(refused("(assured"), "column 9: `)` is missing");
        assert_eq!(refused("(assured unreplied)"), "column 10: `unreplied` where `and`, `or` or `)` should be");
        assert_eq!(refused("assured unreplied"), "column 9: `unreplied` where `and`, `or` or the end should be");
        assert_eq!(refused("assured and"), "column 12: a term is missing");
        assert_eq!(refused("assured and )"), "column 13: `)` where a term should be");
        assert_eq!(refused("assured and or unreplied"), "column 13: `or` where a term should be");
        assert_eq!(refused("src 10.0.0.1,"), "column 14: an address is missing");
        assert_eq!(refused("src 10.0.0.1/40"), "column 5: expected an address or prefix, found `10.0.0.1/40`");
        assert_eq!(refused("dport 9-1"), "column 7: the range `9-1` is empty");
        assert_eq!(refused("zone >"), "column 7: a number is missing");
        assert_eq!(refused("helper \"ftp"), "column 8: the quote is not closed");
        assert_eq!(refused("ключ 1"), "column 1: `ключ` is no word of the filter language");
        assert_eq!(refused("helper ключ and x"), "column 17: `x` is no word of the filter language");
    }

    #[test]
    fn a_value_in_the_form_of_another_tool_is_translated() {
        assert_eq!(
            refused("dport != 22"),
            "column 7: `!` where a number should be: to negate, write `not` before the term"
        );
        assert_eq!(refused("dport 80:90"), "column 7: `80:90` is no number: did you mean `80-90`?");
        assert_eq!(
            refused("src-nat 10.0.0.1:80"),
            "column 9: expected an address or prefix, found `10.0.0.1:80`: did you mean `10.0.0.1 port 80`?"
        );
        assert_eq!(refused("icmp-type echo-request"), "column 11: `echo-request` is no number");
        assert_eq!(refused("dport -5"), "column 7: `-5` is no number");
        assert_eq!(refused("proto"), "column 6: a protocol is missing");
        assert_eq!(refused("tcp-state"), "column 10: a state is missing");
    }

    #[test]
    fn an_equals_sign_may_go_before_any_value() {
        for text in ["src 10.0.0.1", "mark 5", "status ASSURED", "helper ftp", "proto 6", "label 1,2"] {
            let [field, value] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
            let expected: Filter = text.parse().unwrap();
            assert_eq!(format!("{field}={value}").parse::<Filter>().unwrap(), expected);
            assert_eq!(format!("{field} = {value}").parse::<Filter>().unwrap(), expected);
        }
    }

    #[test]
    fn a_value_with_a_name_has_a_number_too() {
        assert_eq!("proto 0x6-0x8".parse::<Filter>().unwrap(), "proto 6-8".parse().unwrap());
        assert_eq!("tcp-state 0x3".parse::<Filter>().unwrap(), "tcp-state ESTABLISHED".parse().unwrap());
        let named: Filter = "tcp-state SYN_SENT-SYN_SENT2".parse().unwrap();
        assert_eq!(named, "tcp-state 1-9".parse().unwrap());
        assert_eq!(refused("dport 80-70000"), "column 7: 70000 is too large: 65535 at most");
        assert_eq!(refused("proto +6"), "column 7: expected a protocol, found `+6`");
        assert_eq!(refused("label +5"), "column 7: `+5` is no label: they are numbered from 0 to 127");
    }

    /// The kernel's number of IPv6 is 10: no flow matched, and with `not` before it every flow was deleted.
    #[test]
    fn a_family_by_its_version_is_refused() {
        assert_eq!(refused("not family 6"), "column 12: `6` is no family: did you mean `ipv6`?");
        assert_eq!(refused("family 4,ipv6"), "column 8: `4` is no family: did you mean `ipv4`?");
        assert!("family 10,2".parse::<Filter>().is_ok());
    }

    /// None matches a flow, so that `not` before it matched every flow.
    #[test]
    fn a_tuple_without_what_its_protocol_has_is_refused() {
        let any = "for any, write `proto`, `src` and `dst`";
        for (text, what) in [
            ("not tuple udp 10.1.0.1 10.1.0.9", "column 32: ports of udp"),
            ("tuple udp 10.1.0.1 10.1.0.9 and assured", "column 29: ports of udp"),
            ("tuple gre 10.1.0.1 10.1.0.9", "column 28: keys of gre"),
            ("tuple icmp 10.1.0.1 10.1.0.9", "column 29: type/code/id of icmp"),
        ] {
            assert_eq!(refused(text), format!("{what} are missing: {any}"));
        }
        assert_eq!(
            refused("tuple tcp [fe80::1%3]:80 [fe80::2]:80"),
            "column 11: `[fe80::1%3]:80` is no address, with a port or without"
        );
        for text in ["tuple icmp 10.1.0.1 10.1.0.9 8/0/1", "tuple 50 10.1.0.1 10.1.0.9", "tuple udp ::1 ::2 none"] {
            assert!(text.parse::<Filter>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(refused("dport \u{1b}[31m"), "column 7: `\\u{1b}[31m` is no number");
    }

    #[test]
    fn a_port_over_65535_is_refused_where_conntrack_makes_another_of_it() {
        assert_eq!(refused("dport 70000"), "column 7: 70000 is too large: 65535 at most");
        assert_eq!(refused("dport abc"), "column 7: `abc` is no number");
    }

    #[test]
    fn unset_is_refused_where_conntrack_empties_the_table() {
        assert_eq!(refused("status UNSET"), "column 8: `UNSET` is no status bit");
        assert_eq!(refused("status ASSURED,!ASSURED"), "column 16: `!ASSURED` contradicts a bit before it");
    }

    #[test]
    fn a_mark_that_can_never_match_is_refused() {
        assert_eq!(refused("mark 0x110/0xff"), "column 6: `0x110/0xff` has bits outside its mask: no mark matches");
    }

    #[test]
    fn hostile_text_cannot_exhaust_the_stack() {
        for text in ["(".repeat(1_000_000), "not ".repeat(1_000_000), "not (".repeat(1_000_000)] {
            assert!(refused(&text).ends_with("nested more than 64 deep"));
        }
        let deep = format!("{}assured{}", "(".repeat(64), ")".repeat(64));
        assert!(deep.parse::<Filter>().is_ok());
    }
}
