//! Tokens → one term.

use core::net::{IpAddr, SocketAddr};

use super::{
    error::{ParseFilterError, Quoted},
    hint::{Hint, ValueHint},
    lexer::{Kind, Token},
    parser::Parser,
};
use crate::{
    error::ParseError,
    filter::{
        AddressSet, Filter, Prefix, Translation,
        expression::{Side, Term},
        fields::{AddressField, NumberField, Style},
        ranges::Ranges,
    },
    model::{DccpState, Labels, Layer4, Protocol, SctpState, Status, TcpState, Tuple},
};

type Result<T> = core::result::Result<T, ParseFilterError>;

/// The words that begin a term, but for those of addresses and numbers.
pub(super) const WORDS: &[&str] = &[
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

impl<'t> Parser<'t> {
    /// The term that starts with `word`.
    pub(super) fn term(&mut self, word: &str, column: usize) -> Result<Filter> {
        let lower = word.to_ascii_lowercase();
        if let Some(field) = AddressField::ALL.into_iter().find(|field| field.word() == lower) {
            let set = self.addresses()?;
            return Ok(Filter::from_term(Term::Address { field, set }));
        }
        if let Some(field) = NumberField::ALL.iter().find(|field| field.word() == lower) {
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
                column,
                format_args!("{} is no word of the filter language{}", Quoted(word), Hint(word)),
            )),
        }
    }

    /// One value or many, joined by commas; an equals sign may go before them.
    fn list<T>(&mut self, what: &str, read: impl Fn(&Token<'t>) -> Result<T>) -> Result<Vec<T>> {
        self.take(&Kind::Equal)?;
        let mut values = vec![read(&self.expect(what)?)?];
        while self.take(&Kind::Comma)? {
            values.push(read(&self.expect(what)?)?);
        }
        Ok(values)
    }

    fn addresses(&mut self) -> Result<AddressSet> {
        let prefixes = self.list("an address", |token| token.parse::<Prefix>("an address"))?;
        Ok(prefixes.into_iter().collect())
    }

    fn numbers(&mut self, field: NumberField) -> Result<Ranges<u64>> {
        let greatest = field.greatest();
        let comparison = match self.peek().map(|token| &token.kind) {
            Some(kind @ (Kind::Less | Kind::LessOrEqual | Kind::Greater | Kind::GreaterOrEqual)) => {
                let kind = kind.clone();
                self.advance()?;
                Some(kind)
            }
            _ => None,
        };
        let Some(comparison) = comparison else {
            let what = field.value_name();
            return Ok(Ranges::new(self.list(what, |token| number_range(field, token, what))?));
        };
        let token = self.expect("a number")?;
        let number = number(field, token.word("a number")?, token.column)?;
        let range = match comparison {
            Kind::Less => number.checked_sub(1).map(|last| (0, last)),
            Kind::LessOrEqual => Some((0, number)),
            Kind::Greater => number.checked_add(1).map(|first| (first, greatest)),
            _ => Some((number, greatest)),
        };
        Ok(Ranges::new(range))
    }

    fn labels(&mut self) -> Result<Labels> {
        let bits = self.list("a label", |token| {
            let word = token.word("a label")?;
            let bit = unsigned(word).and_then(|bit| u8::try_from(bit).ok()).filter(|bit| *bit < 128);
            bit.ok_or_else(|| token.refuse("is no label: they are numbered from 0 to 127"))
        })?;
        Ok(bits.into_iter().collect())
    }

    fn status(&mut self) -> Result<Filter> {
        let bits = self.list("a status bit", |token| Ok((token.clone(), status_bits(token)?)))?;
        let (mut value, mut mask) = (0, 0);
        for (token, (bits, set)) in bits {
            let wanted = if set { bits } else { 0 };
            if (value ^ wanted) & mask & bits != 0 {
                return Err(token.refuse("contradicts a bit before it"));
            }
            value |= wanted;
            mask |= bits;
        }
        Ok(Filter::status_bits(value, mask))
    }

    fn translation(&mut self, side: Side) -> Result<Filter> {
        let mut to = Translation::any();
        let ends = |token: &Token<'_>| ["and", "or", "port"].iter().any(|word| token.is_word(word));
        if self.peek().is_some_and(|token| matches!(token.kind, Kind::Word(_)) && !ends(token)) {
            to.addresses = Some(self.addresses()?);
        }
        if self.take_word("port")? {
            to.ports = Some(self.numbers(NumberField::Port)?);
        }
        Ok(Filter::from_term(Term::Nat { side, to }))
    }

    fn tuples(&mut self) -> Result<Filter> {
        let mut tuples = vec![self.tuple()?];
        while self.take(&Kind::Comma)? {
            tuples.push(self.tuple()?);
        }
        Ok(Filter::tuples(tuples))
    }

    fn tuple(&mut self) -> Result<Tuple> {
        let protocol: Protocol = self.expect("a protocol")?.parse("a protocol")?;
        let (source, source_port) = end(&self.expect("a source")?)?;
        let token = self.expect("a destination")?;
        let (destination, destination_port) = end(&token)?;
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(token.refuse("is of another family than the source"));
        }
        let layer4 = match (source_port, destination_port) {
            (Some(source), Some(destination)) => Layer4::pair(protocol, source, destination),
            (None, None) => self.query_or_nothing(protocol)?,
            _ => return Err(token.refuse("has a port and the source has none, or the other way round")),
        };
        Ok(Tuple { layer4, ..Tuple::new(protocol, source, destination) })
    }

    /// `type/code/id` if that follows; nothing, where the protocol has nothing, or `none` says so.
    fn query_or_nothing(&mut self, protocol: Protocol) -> Result<Layer4> {
        if let Some(layer4) = self.peek().and_then(query) {
            self.advance()?;
            return Ok(layer4);
        }
        match beside_addresses(protocol) {
            Some(what) if !self.take_word("none")? => Err(ParseFilterError::new(
                self.column(),
                format_args!("{what} of {protocol} are missing: for any, write `proto`, `src` and `dst`"),
            )),
            _ => Ok(Layer4::None),
        }
    }
}

/// What every tuple of the protocol has beside its addresses: one without matches no flow, and its opposite every one.
pub(super) const fn beside_addresses(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::UDPLITE | Protocol::SCTP => Some("ports"),
        Protocol::GRE => Some("keys"),
        Protocol::ICMP | Protocol::ICMPV6 => Some("type/code/id"),
        _ => None,
    }
}

impl<'t> Token<'t> {
    pub(super) fn word(&self, what: &str) -> Result<&'t str> {
        if let Kind::Word(word) = self.kind { Ok(word) } else { Err(self.unexpected(what)) }
    }

    fn parse<T: core::str::FromStr<Err = ParseError>>(&self, what: &str) -> Result<T> {
        let word = self.word(what)?;
        word.parse().map_err(|error| ParseFilterError::new(self.column, format_args!("{error}{}", ValueHint(word))))
    }

    #[cold]
    fn refuse(&self, why: &str) -> ParseFilterError {
        let text = match &self.kind {
            Kind::Word(word) => word,
            Kind::Quote(text) => text.as_str(),
            _ => "",
        };
        ParseFilterError::new(self.column, format_args!("{} {why}", Quoted(text)))
    }
}

fn is_range_of_numbers(first: &str, last: &str) -> bool {
    [first, last].iter().all(|text| text.starts_with(|first: char| first.is_ascii_digit()))
}

/// Reads `type/code/id`.
fn query(token: &Token<'_>) -> Option<Layer4> {
    let Kind::Word(word) = token.kind else { return None };
    let (icmp_type, rest) = word.split_once('/')?;
    let (code, id) = rest.split_once('/')?;
    let octet = |text: &str| u8::try_from(unsigned(text)?).ok();
    let id = u16::try_from(unsigned(id)?).ok()?;
    Some(Layer4::Icmp { icmp_type: octet(icmp_type)?, code: octet(code)?, id })
}

fn number_range(field: NumberField, token: &Token<'_>, what: &str) -> Result<(u64, u64)> {
    let word = token.word(what)?;
    // The names of some values have a hyphen.
    let whole = number(field, word, token.column);
    let Some((first, last)) = word.split_once('-').filter(|_| whole.is_err()) else {
        return whole.map(|number| (number, number));
    };
    let (first, last) = match (number(field, first, token.column), number(field, last, token.column)) {
        (Ok(first), Ok(last)) => (first, last),
        // The complaint is about the end that is wrong, where there are two at all.
        (Err(error), _) | (_, Err(error)) if is_range_of_numbers(first, last) => return Err(error),
        _ => return whole.map(|number| (number, number)),
    };
    if first > last {
        return Err(ParseFilterError::new(token.column, format_args!("the range {} is empty", Quoted(word))));
    }
    Ok((first, last))
}

fn number(field: NumberField, word: &str, column: usize) -> Result<u64> {
    let number = match field.style() {
        Style::Named { parse, .. } => {
            named(field, word, parse).map_err(|error| ParseFilterError::new(column, error))?
        }
        _ => unsigned(word).or_else(|| seconds(field, word)).ok_or_else(|| {
            ParseFilterError::new(column, format_args!("{} is no number{}", Quoted(word), ValueHint(word)))
        })?,
    };
    let greatest = field.greatest();
    if number > greatest {
        return Err(ParseFilterError::new(column, format_args!("{number} is too large: {greatest} at most")));
    }
    Ok(number)
}

/// A name, or the number that it stands for.
fn named(
    field: NumberField,
    word: &str,
    parse: fn(&str) -> core::result::Result<u64, ParseError>,
) -> core::result::Result<u64, String> {
    match (field, word) {
        // The kernel's numbers are 2 and 10: no flow would match, and every flow the opposite.
        (NumberField::Family, "4" | "6") => Err(format!("`{word}` is no family: did you mean `ipv{word}`?")),
        _ => parse(word).or_else(|error| unsigned(word).ok_or_else(|| error.to_string())),
    }
}

fn unsigned(word: &str) -> Option<u64> {
    // `u64::from_str` takes a sign, which no number here has.
    if word.starts_with('+') {
        return None;
    }
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// A number with a unit of time behind it.
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

/// The state of whichever protocols have one of that name.
fn state(token: &Token<'_>) -> Result<Filter> {
    let word = token.word("a state")?;
    // A number would be another state in each protocol.
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
    if filters.is_empty() { Err(token.refuse("is no state of TCP, SCTP or DCCP")) } else { Ok(Filter::any_of(filters)) }
}

/// The bits of a word, and whether they are to be set.
fn status_bits(token: &Token<'_>) -> Result<(u32, bool)> {
    let word = token.word("a status bit")?;
    let (name, set) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
    match name.parse::<Status>() {
        Ok(bits) if !bits.is_empty() => Ok((bits.bits(), set)),
        _ => Err(token.refuse("is no status bit")),
    }
}

fn mark(token: &Token<'_>) -> Result<Filter> {
    let word = token.word("a mark")?;
    let (value, mask) = word.split_once('/').map_or((word, None), |(value, mask)| (value, Some(mask)));
    let number = |text: &str| unsigned(text).and_then(|number| u32::try_from(number).ok());
    let (Some(value), Some(mask)) = (number(value), mask.map_or(Some(u32::MAX), number)) else {
        return Err(token.refuse("is no mark"));
    };
    if value & !mask != 0 {
        return Err(token.refuse("has bits outside its mask: no mark matches"));
    }
    Ok(Filter::mark_masked(value, mask))
}

fn helper(token: &Token<'_>) -> Result<Filter> {
    match &token.kind {
        Kind::Word(name) => Ok(Filter::helper(name)),
        Kind::Quote(name) => Ok(Filter::helper(name)),
        _ => Err(token.unexpected("a name")),
    }
}

/// An address, or an address and a port.
fn end(token: &Token<'_>) -> Result<(IpAddr, Option<u16>)> {
    let word = token.word("an address")?;
    let has_scope = |end: &SocketAddr| matches!(end, SocketAddr::V6(end) if end.scope_id() != 0);
    let socket = || word.parse().ok().filter(|end| !has_scope(end)).map(|end| (end.ip(), Some(end.port())));
    let address = || word.parse().ok().map(|address| (address, None));
    address().or_else(socket).ok_or_else(|| token.refuse("is no address, with a port or without"))
}
