//! Turns tokens into a filter.

use core::{fmt::Display, result, str::FromStr};

use super::{
    DEPTH,
    error::{KeywordHint, ParseFilterError, Position, Quoted, ValueHint},
    lexer::{Lexer, Token, TokenKind},
};
use crate::{
    error::ParseError,
    filter::{
        AddressSet, Filter, Prefix, Translation,
        expression::{Side, Term},
        fields::{AddressField, NumberField, Style},
        sets::Ranges,
    },
    model::{
        DccpState, Endpoint, Labels, Layer4, Protocol, SctpState, Status, TcpState, Tuple, layer4_name, parse_query,
    },
};

type Result<T> = result::Result<T, ParseFilterError>;

impl FromStr for Filter {
    type Err = ParseFilterError;

    /// Reads a filter in the language that the [module](crate::filter#the-language) documents.
    ///
    /// # Errors
    ///
    /// Fails at the first word that does not belong there, with its position and, if there is a likely one, a
    /// suggestion.
    fn from_str(text: &str) -> Result<Self> {
        let mut parser = FilterParser::new(text)?;
        let filter = parser.filter(DEPTH)?;
        match parser.peek() {
            None => Ok(filter),
            Some(token) => Err(token.unexpected("`and`, `or` or end of filter")),
        }
    }
}

/// A recursive descent parser that looks one token ahead. Its depth is limited by [`DEPTH`].
struct FilterParser<'t> {
    lexer: Lexer<'t>,
    ahead: Option<Token<'t>>,
    /// The end of the token ahead.
    end: Position,
}

/// The tokens.
impl<'t> FilterParser<'t> {
    fn new(text: &'t str) -> Result<Self> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        let end = lexer.position();
        Ok(Self { lexer, ahead, end })
    }

    const fn peek(&self) -> Option<&Token<'t>> {
        self.ahead.as_ref()
    }

    /// The position of the next token, or the end of the text.
    fn position(&self) -> Position {
        self.peek().map_or(self.end, |token| token.position)
    }

    fn advance(&mut self) -> Result<Option<Token<'t>>> {
        let next = self.lexer.next()?;
        self.end = self.lexer.position();
        Ok(core::mem::replace(&mut self.ahead, next))
    }

    /// Takes the next token, or fails at the end of the text.
    fn expect(&mut self, what: &str) -> Result<Token<'t>> {
        let end = self.end;
        let missing = || ParseFilterError::new(end, format_args!("expected {what}, found end of filter"));
        let token = self.advance()?.ok_or_else(missing)?;
        if token.is_word("!") {
            return Err(ParseFilterError::new(
                token.position,
                format_args!("expected {what}, found `!`; to negate, write `not` before the term"),
            ));
        }
        Ok(token)
    }

    /// Takes the next token if it is of this kind.
    fn take(&mut self, kind: &TokenKind<'_>) -> Result<bool> {
        self.take_if(|token| token.kind == *kind)
    }

    /// Takes the next token if it is this word.
    fn take_word(&mut self, word: &str) -> Result<bool> {
        self.take_if(|token| token.is_word(word))
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Token<'t>) -> bool) -> Result<bool> {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.advance()?;
        }
        Ok(found)
    }
}

/// The structure of a filter.
impl<'t> FilterParser<'t> {
    fn filter(&mut self, depth: usize) -> Result<Filter> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.take_word("or")? {
            parts.push(self.conjunction(depth)?);
        }
        Ok(Filter::any_of(parts))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Filter> {
        let mut parts = vec![self.factor(depth)?];
        while self.take_word("and")? {
            parts.push(self.factor(depth)?);
        }
        Ok(Filter::all_of(parts))
    }

    fn factor(&mut self, depth: usize) -> Result<Filter> {
        let token = self.expect("a term")?;
        let too_deep = || ParseFilterError::new(token.position, format_args!("nested more than {DEPTH} levels deep"));
        let deeper = || depth.checked_sub(1).ok_or_else(too_deep);
        match token.kind {
            TokenKind::Open => {
                let filter = self.filter(deeper()?)?;
                let expected = "`and`, `or` or `)`";
                let closing = self.expect(expected)?;
                if closing.kind == TokenKind::Close { Ok(filter) } else { Err(closing.unexpected(expected)) }
            }
            TokenKind::Word(word) if word.eq_ignore_ascii_case("not") => Ok(!self.factor(deeper()?)?),
            TokenKind::Word(word) if !token.is_word("and") && !token.is_word("or") => self.term(word, token.position),
            _ => Err(token.unexpected("a term")),
        }
    }

    /// The term that starts with `keyword`.
    fn term(&mut self, keyword: &str, position: Position) -> Result<Filter> {
        let lower = keyword.to_ascii_lowercase();
        if let Some(field) = AddressField::ALL.into_iter().find(|field| field.keyword() == lower) {
            let set = self.addresses()?;
            return Ok(Filter::from_term(Term::Address { field, set }));
        }
        if let Some(field) = NumberField::ALL.iter().find(|field| field.keyword() == lower) {
            let values = self.numbers(*field)?;
            return Ok(Filter::from_term(Term::Number { field: *field, values }));
        }
        match &*lower {
            "any" => Ok(Filter::everything()),
            "none" => Ok(Filter::nothing()),
            "assured" => Ok(Filter::assured()),
            "unreplied" => Ok(Filter::unreplied()),
            "offloaded" => Ok(Filter::offloaded()),
            "state" => self.list("a state", state).map(Filter::any_of),
            "status" => self.status(),
            "mark" => self.list("a mark", mark).map(Filter::any_of),
            "label" => self.labels().map(Filter::all_labels),
            "any-label" => self.labels().map(Filter::any_label),
            "helper" => self.list("a name", helper).map(Filter::any_of),
            "src-nat" => self.translation(Side::Source),
            "dst-nat" => self.translation(Side::Destination),
            "any-nat" => self.translation(Side::Either),
            "tuple" => self.tuples(),
            _ => Err(ParseFilterError::new(
                position,
                format_args!("unknown keyword {}{}", Quoted(keyword), KeywordHint(keyword)),
            )),
        }
    }
}

/// The values of terms.
impl<'t> FilterParser<'t> {
    /// One value, or several that are joined by commas. An equals sign may stand before them.
    fn list<T>(&mut self, what: &str, read: impl Fn(&Token<'t>) -> Result<T>) -> Result<Vec<T>> {
        self.take(&TokenKind::Equal)?;
        let mut values = vec![read(&self.expect(what)?)?];
        while self.take(&TokenKind::Comma)? {
            values.push(read(&self.expect(what)?)?);
        }
        Ok(values)
    }

    fn addresses(&mut self) -> Result<AddressSet> {
        let what = "an address or prefix";
        let prefixes = self.list(what, |token| token.parse::<Prefix>(what))?;
        Ok(prefixes.into_iter().collect())
    }

    fn numbers(&mut self, field: NumberField) -> Result<Ranges<u64>> {
        let is_comparison = |kind: &TokenKind<'_>| {
            matches!(kind, TokenKind::Less | TokenKind::LessOrEqual | TokenKind::Greater | TokenKind::GreaterOrEqual)
        };
        let Some(comparison) = self.peek().map(|token| token.kind.clone()).filter(is_comparison) else {
            return Ok(Ranges::new(self.list(field.value_name(), |token| number_range(field, token))?));
        };
        self.advance()?;
        let token = self.expect("a number")?;
        let number = number(field, token.word("a number")?, &token)?;
        let range = match comparison {
            TokenKind::Less => number.checked_sub(1).map(|last| (0, last)),
            TokenKind::LessOrEqual => Some((0, number)),
            TokenKind::Greater => number.checked_add(1).map(|first| (first, field.greatest())),
            _ => Some((number, field.greatest())),
        };
        Ok(Ranges::new(range))
    }

    fn labels(&mut self) -> Result<Labels> {
        let bits = self.list("a label", |token| {
            let bit = unsigned(token.word("a label")?).and_then(|bit| u8::try_from(bit).ok());
            bit.filter(|bit| *bit < 128).ok_or_else(|| token.unexpected("a label from 0 to 127"))
        })?;
        Ok(bits.into_iter().collect())
    }

    fn status(&mut self) -> Result<Filter> {
        let bits = self.list("a status bit", |token| Ok((token.clone(), status_bits(token)?)))?;
        let (mut value, mut mask) = (0, 0);
        for (token, (bits, set)) in bits {
            let wanted = if set { bits } else { 0 };
            if (value ^ wanted) & mask & bits != 0 {
                return Err(token.error(format_args!("{} contradicts an earlier bit", token.kind)));
            }
            value |= wanted;
            mask |= bits;
        }
        Ok(Filter::status_bits(value, mask))
    }

    fn translation(&mut self, side: Side) -> Result<Filter> {
        let mut to = Translation::any();
        let ends = |token: &Token<'_>| ["and", "or", "port"].iter().any(|word| token.is_word(word));
        if self.peek().is_some_and(|token| matches!(token.kind, TokenKind::Word(_)) && !ends(token)) {
            to.addresses = Some(self.addresses()?);
        }
        if self.take_word("port")? {
            to.ports = Some(self.numbers(NumberField::Port)?);
        }
        Ok(Filter::from_term(Term::Nat { side, to }))
    }

    fn tuples(&mut self) -> Result<Filter> {
        let mut tuples = vec![self.tuple()?];
        while self.take(&TokenKind::Comma)? {
            tuples.push(self.tuple()?);
        }
        Ok(Filter::tuples(tuples))
    }

    fn tuple(&mut self) -> Result<Tuple> {
        let protocol: Protocol = self.expect("a protocol")?.parse("a protocol")?;
        let source = endpoint(&self.expect("a source")?)?;
        let token = self.expect("a destination")?;
        let destination = endpoint(&token)?;
        if source.address.is_ipv4() != destination.address.is_ipv4() {
            return Err(token.unexpected("an address of the same family as the source"));
        }
        let layer4 = match (source.port, destination.port) {
            (Some(source), Some(destination)) => Layer4::pair(protocol, source, destination),
            (None, None) => self.query_or_nothing(protocol)?,
            _ => return Err(token.unexpected("ports of both endpoints, or of neither")),
        };
        Ok(Tuple { layer4, ..Tuple::new(protocol, source.address, destination.address) })
    }

    /// `type/code/id`, or nothing if the protocol has nothing or `none` says so.
    fn query_or_nothing(&mut self, protocol: Protocol) -> Result<Layer4> {
        if let Some(layer4) = self.peek().and_then(query) {
            self.advance()?;
            return Ok(layer4);
        }
        match layer4_name(protocol) {
            Some(what) if !self.take_word("none")? => {
                let any = "to match any, write `proto`, `src` and `dst` instead of `tuple`";
                Err(ParseFilterError::new(self.position(), format_args!("expected the {what} of {protocol}; {any}")))
            }
            _ => Ok(Layer4::None),
        }
    }
}

impl<'t> Token<'t> {
    #[cold]
    fn error(&self, message: impl Display) -> ParseFilterError {
        ParseFilterError::new(self.position, message)
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> ParseFilterError {
        self.error(format_args!("expected {expected}, found {}", self.kind))
    }

    fn word(&self, expected: &str) -> Result<&'t str> {
        if let TokenKind::Word(word) = self.kind { Ok(word) } else { Err(self.unexpected(expected)) }
    }

    fn parse<T: FromStr<Err = ParseError>>(&self, expected: &str) -> Result<T> {
        let word = self.word(expected)?;
        word.parse()
            .map_err(|_| self.error(format_args!("expected {expected}, found {}{}", self.kind, ValueHint(word))))
    }
}

fn query(token: &Token<'_>) -> Option<Layer4> {
    if let TokenKind::Word(word) = token.kind { parse_query(word) } else { None }
}

fn number_range(field: NumberField, token: &Token<'_>) -> Result<(u64, u64)> {
    let word = token.word(field.value_name())?;
    // The names of some values contain a hyphen.
    let whole = number(field, word, token);
    let Some((first, last)) = word.split_once('-').filter(|_| whole.is_err()) else {
        return whole.map(|number| (number, number));
    };
    let starts_with_digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let is_range_of_numbers = starts_with_digit(first) && starts_with_digit(last);
    let (first, last) = match (number(field, first, token), number(field, last, token)) {
        (Ok(first), Ok(last)) => (first, last),
        // The error names the end that is wrong, if there are two numbers at all.
        (Err(error), _) | (_, Err(error)) if is_range_of_numbers => return Err(error),
        _ => return whole.map(|number| (number, number)),
    };
    if first > last {
        return Err(token.error(format_args!("range {} is empty", Quoted(word))));
    }
    Ok((first, last))
}

/// Reads a number or the name of one.
fn number(field: NumberField, word: &str, token: &Token<'_>) -> Result<u64> {
    let named = match field.style() {
        Style::Named { parse, .. } => parse(word).ok(),
        _ => None,
    };
    let number = match (field, word) {
        // The kernel's numbers are 2 and 10: `family 6` would match no flow, and its negation every flow.
        (NumberField::Family, "4" | "6") => {
            return Err(token.error(format_args!("expected a family, found `{word}`; did you mean `ipv{word}`?")));
        }
        _ => named.or_else(|| unsigned(word)).or_else(|| seconds(field, word)),
    };
    let number = number.ok_or_else(|| {
        token.error(format_args!("expected {}, found {}{}", field.value_name(), Quoted(word), ValueHint(word)))
    })?;
    let greatest = field.greatest();
    if number > greatest {
        return Err(token.error(format_args!("expected a number of at most {greatest}, found {}", Quoted(word))));
    }
    Ok(number)
}

fn unsigned(word: &str) -> Option<u64> {
    // `u64::from_str` accepts a plus sign.
    if word.starts_with('+') {
        return None;
    }
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// Reads a number and a unit of time.
fn seconds(field: NumberField, word: &str) -> Option<u64> {
    if !matches!(field, NumberField::Timeout | NumberField::Age) {
        return None;
    }
    let (at, unit) = word.char_indices().next_back()?;
    let unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    unsigned(word.get(..at)?)?.checked_mul(unit)
}

/// Reads the state of every protocol that has one of this name.
fn state(token: &Token<'_>) -> Result<Filter> {
    let word = token.word("a state")?;
    // A number means another state in each protocol.
    let named = !word.starts_with(|first: char| first.is_ascii_digit() || first == '+');
    let filters: Vec<Filter> = [
        word.parse::<TcpState>().ok().map(Filter::tcp_state),
        word.parse::<SctpState>().ok().map(Filter::sctp_state),
        word.parse::<DccpState>().ok().map(Filter::dccp_state),
    ]
    .into_iter()
    .flatten()
    .filter(|_| named)
    .collect();
    if filters.is_empty() {
        return Err(token.unexpected("a state of TCP, SCTP or DCCP"));
    }
    Ok(Filter::any_of(filters))
}

/// Reads status bits, and whether they have to be set.
fn status_bits(token: &Token<'_>) -> Result<(u32, bool)> {
    let word = token.word("a status bit")?;
    let (name, set) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
    match name.parse::<Status>() {
        Ok(bits) if !bits.is_empty() => Ok((bits.bits(), set)),
        _ => Err(token.unexpected("a status bit")),
    }
}

fn mark(token: &Token<'_>) -> Result<Filter> {
    let word = token.word("a mark")?;
    let (value, mask) = word.split_once('/').map_or((word, None), |(value, mask)| (value, Some(mask)));
    let number = |text: &str| unsigned(text).and_then(|number| u32::try_from(number).ok());
    let (Some(value), Some(mask)) = (number(value), mask.map_or(Some(u32::MAX), number)) else {
        return Err(token.unexpected("a mark"));
    };
    if value & !mask != 0 {
        return Err(token.error(format_args!("{} has bits outside its mask, so that no mark matches", token.kind)));
    }
    Ok(Filter::mark_masked(value, mask))
}

fn helper(token: &Token<'_>) -> Result<Filter> {
    match &token.kind {
        TokenKind::Word(name) => Ok(Filter::helper(name)),
        TokenKind::Quote(name) => Ok(Filter::helper(name)),
        _ => Err(token.unexpected("a name")),
    }
}

/// Reads an address, or an address and a port.
fn endpoint(token: &Token<'_>) -> Result<Endpoint> {
    let expected = "an address, with or without a port";
    token.word(expected)?.parse().map_err(|_| token.unexpected(expected))
}
