//! Text → tokens.

use core::{iter::Peekable, str::CharIndices};

use super::error::ParseFilterError;

/// A piece of the text and the column it starts at.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) column: usize,
    pub(super) kind: Kind<'t>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    Open,
    Close,
    Comma,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Word(&'t str),
    /// Text in quotes.
    Quote(String),
}

/// Whether a word goes on with this character.
pub(super) fn is_word(character: char) -> bool {
    !character.is_whitespace() && !matches!(character, '(' | ')' | ',' | '<' | '>' | '=' | '"')
}

/// The tokens of a text.
pub(super) struct Lexer<'t> {
    text: &'t str,
    characters: Peekable<CharIndices<'t>>,
    column: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, characters: text.char_indices().peekable(), column: 1 }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'t>>, ParseFilterError> {
        while self.take_if(char::is_whitespace).is_some() {}
        let column = self.column;
        let Some((start, first)) = self.take_if(|_| true) else { return Ok(None) };
        let kind = match first {
            '(' => Kind::Open,
            ')' => Kind::Close,
            ',' => Kind::Comma,
            '=' => Kind::Equal,
            '<' if self.take_equal() => Kind::LessOrEqual,
            '<' => Kind::Less,
            '>' if self.take_equal() => Kind::GreaterOrEqual,
            '>' => Kind::Greater,
            '"' => Kind::Quote(self.quote(column)?),
            _ => Kind::Word(self.word(start)),
        };
        Ok(Some(Token { column, kind }))
    }

    /// The column of what comes next.
    pub(super) const fn column(&self) -> usize {
        self.column
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<(usize, char)> {
        let taken = self.characters.next_if(|(_, character)| wanted(*character))?;
        self.column += 1;
        Some(taken)
    }

    fn take_equal(&mut self) -> bool {
        self.take_if(|character| character == '=').is_some()
    }

    fn word(&mut self, start: usize) -> &'t str {
        while self.take_if(is_word).is_some() {}
        let end = self.characters.peek().map_or(self.text.len(), |(end, _)| *end);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Text up to the closing quote; a backslash takes the next character as it is.
    fn quote(&mut self, column: usize) -> Result<String, ParseFilterError> {
        let mut text = String::new();
        loop {
            match self.take_if(|_| true) {
                Some((_, '"')) => return Ok(text),
                Some((_, '\\')) => text.extend(self.take_if(|_| true).map(|(_, character)| character)),
                Some((_, character)) => text.push(character),
                None => return Err(ParseFilterError::new(column, "the quote is not closed")),
            }
        }
    }
}
