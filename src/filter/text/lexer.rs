//! Splits text into tokens.

use core::{
    fmt::{self, Display, Formatter},
    iter::Peekable,
    str::CharIndices,
};

use super::error::{ParseFilterError, Position, Quoted};

/// A token and its position.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) position: Position,
    pub(super) kind: TokenKind<'t>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'t> {
    Open,
    Close,
    Comma,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Word(&'t str),
    /// Text in quotes, without them.
    Quote(String),
}

impl Token<'_> {
    pub(super) fn is_word(&self, wanted: &str) -> bool {
        matches!(self.kind, TokenKind::Word(word) if word.eq_ignore_ascii_case(wanted))
    }
}

impl Display for TokenKind<'_> {
    /// Prints the token as an error message shows it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Open => "(",
            Self::Close => ")",
            Self::Comma => ",",
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Word(word) => word,
            Self::Quote(text) => text,
        };
        Quoted(text).fmt(f)
    }
}

/// Whether a word may contain the character.
pub(super) fn is_word(character: char) -> bool {
    !character.is_whitespace() && !matches!(character, '(' | ')' | ',' | '<' | '>' | '=' | '"')
}

/// Yields the tokens of a text.
pub(super) struct Lexer<'t> {
    text: &'t str,
    characters: Peekable<CharIndices<'t>>,
    position: Position,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, characters: text.char_indices().peekable(), position: Position { line: 1, column: 1 } }
    }

    /// Returns the next token, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'t>>, ParseFilterError> {
        while self.take_if(char::is_whitespace).is_some() {}
        let position = self.position;
        let Some((start, first)) = self.take_if(|_| true) else { return Ok(None) };
        let kind = match first {
            '(' => TokenKind::Open,
            ')' => TokenKind::Close,
            ',' => TokenKind::Comma,
            '=' => TokenKind::Equal,
            '<' if self.take_equal() => TokenKind::LessOrEqual,
            '<' => TokenKind::Less,
            '>' if self.take_equal() => TokenKind::GreaterOrEqual,
            '>' => TokenKind::Greater,
            '"' => TokenKind::Quote(self.quote(position)?),
            _ => TokenKind::Word(self.word(start)),
        };
        Ok(Some(Token { position, kind }))
    }

    /// The position of the next character.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<(usize, char)> {
        let taken = self.characters.next_if(|(_, character)| wanted(*character))?;
        match taken.1 {
            '\n' => self.position = Position { line: self.position.line + 1, column: 1 },
            _ => self.position.column += 1,
        }
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

    /// Reads text up to the closing quote. A backslash protects the next character.
    fn quote(&mut self, start: Position) -> Result<String, ParseFilterError> {
        let mut text = String::new();
        loop {
            match self.take_if(|_| true) {
                Some((_, '"')) => return Ok(text),
                Some((_, '\\')) => text.extend(self.take_if(|_| true).map(|(_, character)| character)),
                Some((_, character)) => text.push(character),
                None => return Err(ParseFilterError::new(start, "missing closing quote")),
            }
        }
    }
}
