//! Splits words into options and arguments, like getopt_long(3).

use ctnetlink::Protocol;

use super::options::{Argument, Field, Opt};
use crate::failure::{Failure, Outcome};

/// An option and its argument.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub option: Opt,
    pub argument: Option<&'a str>,
}

/// Iterates over the options. Words that are neither options nor arguments are skipped.
#[derive(Debug)]
pub struct Scanner<'w, 'a> {
    words: &'w [&'a str],
    place: usize,
    /// The rest of a word of letters.
    letters: &'a str,
}

impl<'w, 'a> Scanner<'w, 'a> {
    pub const fn new(words: &'w [&'a str]) -> Self {
        Self { words, place: 0, letters: "" }
    }

    /// Returns the next option. `protocol` is the protocol named so far.
    pub fn next(&mut self, protocol: Option<Protocol>) -> Outcome<Option<Found<'a>>> {
        loop {
            if let Some(letter) = self.letters.chars().next() {
                self.letters = self.letters.get(letter.len_utf8()..).unwrap_or_default();
                return self.short(letter).map(Some);
            }
            let Some(word) = self.words.get(self.place) else { return Ok(None) };
            self.place += 1;
            match word.strip_prefix('-') {
                None | Some("") => {}
                Some("-") => self.place = self.words.len(),
                Some(rest) => match rest.strip_prefix('-') {
                    Some(long) => return self.long(word, long, protocol).map(Some),
                    None => self.letters = rest,
                },
            }
        }
    }

    fn short(&mut self, letter: char) -> Outcome<Found<'a>> {
        let option = Opt::of_letter(letter).ok_or_else(|| unknown(format_args!("-{letter}")))?;
        let attached = match option.argument() {
            Argument::Never | Argument::Table => None,
            _ => Some(std::mem::take(&mut self.letters)).filter(|rest| !rest.is_empty()),
        };
        self.found(option, attached, format_args!("-{letter}"))
    }

    fn long(&mut self, word: &str, long: &'a str, protocol: Option<Protocol>) -> Outcome<Found<'a>> {
        if let Some(option) = Opt::of_name(long, protocol) {
            return self.found(option, None, word);
        }
        let (name, attached) = match long.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (long, None),
        };
        let option = Opt::of_name(name, protocol).or_else(|| Opt::of_beginning(name, protocol));
        let option = option.ok_or_else(|| unknown_long(word, name, protocol))?;
        if attached.is_some() && matches!(option.argument(), Argument::Never | Argument::Table) {
            return Err(unknown(word));
        }
        self.found(option, attached, word)
    }

    fn found(&mut self, option: Opt, attached: Option<&'a str>, spelled: impl std::fmt::Display) -> Outcome<Found<'a>> {
        let argument = match option.argument() {
            Argument::Never => None,
            Argument::Always => {
                let missing = || Failure::usage(format_args!("option `{spelled}' requires an argument"));
                Some(attached.or_else(|| self.word()).ok_or_else(missing)?)
            }
            Argument::Perhaps => attached.or_else(|| self.word_that_is_no_option()),
            // A word after `-Lz` is not the table: the letters that follow `L` are options, as in 1.4.9.
            Argument::Table if self.letters.is_empty() => self.word_that_is_no_option(),
            Argument::Table => None,
            Argument::Attached => attached,
        };
        Ok(Found { option, argument })
    }

    fn word(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.place)?;
        self.place += 1;
        Some(word)
    }

    fn word_that_is_no_option(&mut self) -> Option<&'a str> {
        self.words.get(self.place).filter(|word| !word.starts_with('-'))?;
        self.word()
    }
}

fn unknown(option: impl std::fmt::Display) -> Failure {
    Failure::usage(format_args!("unknown option `{option}'"))
}

/// The first line is the message of conntrack(8). The second says why an option of a protocol is not known here.
fn unknown_long(word: &str, name: &str, protocol: Option<Protocol>) -> Failure {
    match (Field::of_name(name), protocol) {
        (Some(_), None) => unknown(format_args!("{word}'\n`--{name}' belongs to a protocol: name it first, with `-p")),
        (Some(_), Some(protocol)) => {
            unknown(format_args!("{word}'\n`--{name}' belongs to another protocol than `{protocol}"))
        }
        (None, _) => unknown(word),
    }
}
