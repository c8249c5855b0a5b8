//! A line as words.

use std::borrow::Cow;

use super::SaveError;

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
