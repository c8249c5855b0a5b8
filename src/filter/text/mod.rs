//! Filters as text. The documentation of the filter module describes the language.

mod error;
mod lexer;
mod parser;

use core::fmt::{self, Display, Formatter, Write as _};

use self::lexer::is_word;
use crate::{
    filter::{
        AddressSet, Filter, Translation,
        expression::{Connective, Masked, Side, Term, Visit},
        fields::{NumberField, Style},
        sets::{Ranges, TupleSet},
    },
    model::Status,
};

pub use error::ParseFilterError;

/// How deep parentheses and `not` may be nested. Without a limit, text could exhaust the stack.
const DEPTH: usize = 64;

impl Display for Filter {
    /// Prints the filter in the language that the [module](crate::filter#the-language) documents.
    ///
    /// The text reads back as an equal filter, unless it is nested deeper than the 64 levels that text may have.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut open: Vec<OpenGroup> = Vec::new();
        for visit in self.expression().walk() {
            if !matches!(visit, Visit::Leave(_)) {
                if let Some(group) = open.last_mut() {
                    group.write_separator(f)?;
                }
            }
            match visit {
                Visit::Constant(holds) => f.write_str(if holds { "any" } else { "none" })?,
                Visit::Term(term) => term.fmt(f)?,
                Visit::Enter(connective) => {
                    let group = OpenGroup::new(connective, open.last());
                    f.write_str(if group.parenthesized { "(" } else { "" })?;
                    open.push(group);
                }
                Visit::Leave(_) => {
                    f.write_str(if open.pop().is_some_and(|group| group.parenthesized) { ")" } else { "" })?
                }
            }
        }
        Ok(())
    }
}

/// How deep parentheses and `not` are nested in the text of a filter.
#[cfg(feature = "serde")]
pub(super) fn text_depth(filter: &Filter) -> usize {
    let (mut open, mut depth, mut deepest): (Vec<OpenGroup>, _, _) = (Vec::new(), 0, 0);
    for visit in filter.expression().walk() {
        match visit {
            Visit::Enter(connective) => {
                let group = OpenGroup::new(connective, open.last());
                depth += group.levels();
                open.push(group);
            }
            Visit::Leave(_) => depth -= open.pop().map_or(0, |group| group.levels()),
            Visit::Term(_) | Visit::Constant(_) => deepest = deepest.max(depth),
        }
    }
    deepest
}

/// A group whose parts are being printed.
struct OpenGroup {
    connective: Connective,
    parenthesized: bool,
    is_empty: bool,
}

impl OpenGroup {
    fn new(connective: Connective, outer: Option<&Self>) -> Self {
        // `not` binds tighter than `and`, and `and` tighter than `or`.
        let parenthesized = match outer.map(|outer| outer.connective) {
            Some(Connective::All) => connective == Connective::Any,
            Some(Connective::Not) => connective != Connective::Not,
            _ => false,
        };
        Self { connective, parenthesized, is_empty: true }
    }

    #[cfg(feature = "serde")]
    fn levels(&self) -> usize {
        usize::from(self.parenthesized) + usize::from(self.connective == Connective::Not)
    }

    /// Prints the word before the next part.
    fn write_separator(&mut self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_first = core::mem::take(&mut self.is_empty);
        f.write_str(match self.connective {
            Connective::Not => "not ",
            _ if is_first => "",
            Connective::All => " and ",
            Connective::Any => " or ",
        })
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { field, set } => {
                write!(f, "{} ", field.keyword())?;
                write_addresses(f, set)
            }
            Self::Number { field, values } => {
                write!(f, "{} ", field.keyword())?;
                write_numbers(f, *field, values)
            }
            Self::Status(bits) => write_status_term(f, *bits),
            Self::Mark(bits) => write!(f, "mark {bits}"),
            Self::AllLabels(labels) => write!(f, "label {labels}"),
            Self::AnyLabel(labels) => write!(f, "any-label {labels}"),
            Self::Helper(names) => {
                f.write_str("helper ")?;
                write_joined(f, ",", names, |f, name| write_name(f, name))
            }
            Self::Nat { side, to } => write_translation(f, *side, to),
            Self::Tuple(set) => write_tuples(f, set),
        }
    }
}

impl Display for Masked {
    /// Prints `0x10`, or `0x10/0xff` if not every bit is compared.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.value)?;
        if self.mask == u32::MAX { Ok(()) } else { write!(f, "/{:#x}", self.mask) }
    }
}

fn write_joined<T>(
    f: &mut Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            f.write_str(separator)?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn write_addresses(f: &mut Formatter<'_>, set: &AddressSet) -> fmt::Result {
    write_joined(f, ",", set.prefixes(), |f, prefix| prefix.fmt(f))
}

fn write_numbers(f: &mut Formatter<'_>, field: NumberField, values: &Ranges<u64>) -> fmt::Result {
    match (field.style(), values.as_slice()) {
        (Style::Amount, [(first, last)]) if *last == field.greatest() => write!(f, ">= {first}"),
        (Style::Amount, [(0, last)]) if *last > 0 => write!(f, "< {}", last.saturating_add(1)),
        (Style::Named { name, .. }, ranges) => write_joined(f, ",", ranges, |f, range| write_named(f, name, *range)),
        (_, ranges) => write_joined(f, ",", ranges, |f, range| write_range(f, *range)),
    }
}

fn write_range(f: &mut Formatter<'_>, (first, last): (u64, u64)) -> fmt::Result {
    if first == last { first.fmt(f) } else { write!(f, "{first}-{last}") }
}

/// Prints each value by its name if all of them have one, and the range as numbers otherwise.
fn write_named(f: &mut Formatter<'_>, name: fn(u64) -> Option<&'static str>, range: (u64, u64)) -> fmt::Result {
    let (first, last) = range;
    if (first..=last).all(|value| name(value).is_some()) {
        write_joined(f, ",", (first..=last).filter_map(name), |f, name| f.write_str(name))
    } else {
        write_range(f, range)
    }
}

fn write_status_term(f: &mut Formatter<'_>, bits: Masked) -> fmt::Result {
    const ASSURED: u32 = Status::ASSURED.bits();
    const SEEN_REPLY: u32 = Status::SEEN_REPLY.bits();
    match (bits.value, bits.mask) {
        (ASSURED, ASSURED) => f.write_str("assured"),
        (0, SEEN_REPLY) => f.write_str("unreplied"),
        _ => {
            f.write_str("status ")?;
            write_status(f, bits)
        }
    }
}

/// Prints each bit by its name, with `!` before bits that have to be clear.
pub(in crate::filter) fn write_status(f: &mut Formatter<'_>, bits: Masked) -> fmt::Result {
    let compared = (0..u32::BITS).map(|place| 1 << place).filter(|bit| bits.mask & bit != 0);
    write_joined(f, ",", compared, |f, bit| {
        let clear = if bits.value & bit == 0 { "!" } else { "" };
        write!(f, "{clear}{}", Status::from_bits_retain(bit))
    })
}

fn write_name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if !name.is_empty() && name.chars().all(is_word) {
        return f.write_str(name);
    }
    f.write_char('"')?;
    for character in name.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char('"')
}

fn write_translation(f: &mut Formatter<'_>, side: Side, to: &Translation) -> fmt::Result {
    f.write_str(match side {
        Side::Source => "src-nat",
        Side::Destination => "dst-nat",
        Side::Either => "any-nat",
    })?;
    if let Some(set) = &to.addresses {
        f.write_char(' ')?;
        write_addresses(f, set)?;
    }
    if let Some(ports) = &to.ports {
        f.write_str(" port ")?;
        write_numbers(f, NumberField::Port, ports)?;
    }
    Ok(())
}

fn write_tuples(f: &mut Formatter<'_>, set: &TupleSet) -> fmt::Result {
    f.write_str("tuple ")?;
    write_joined(f, ", ", set.iter(), |f, tuple| tuple.fmt(f))
}

/// Filters and prefixes in serde's data formats: as their text.
#[cfg(feature = "serde")]
mod serde {
    use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use super::{DEPTH, text_depth};
    use crate::filter::{Filter, Prefix};

    impl Serialize for Filter {
        /// Writes the filter as text. Fails if it is nested deeper than text may be.
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if text_depth(self) > DEPTH {
                return Err(ser::Error::custom(format_args!("the filter is nested more than {DEPTH} levels deep")));
            }
            serializer.collect_str(self)
        }
    }

    impl Serialize for Prefix {
        /// Writes the prefix as text.
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    macro_rules! deserialize_from_text {
        ($($name:ident)*) => { $(
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                }
            }
        )* };
    }

    deserialize_from_text!(Filter Prefix);
}

#[cfg(test)]
mod tests;
