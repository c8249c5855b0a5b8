//! Splits a line into words.

use crate::failure::{Failure, Outcome};

/// Words between blanks, or `None` if there are quotes.
pub fn plain_words(line: &str) -> Option<Vec<&str>> {
    if line.contains('"') {
        return None;
    }
    let mut words = Vec::with_capacity(64);
    words.extend(line.split_ascii_whitespace());
    Some(words)
}

/// Words between blanks or in double quotes. A backslash in quotes takes the next character literally.
pub fn quoted_words(line: &str) -> Outcome<Vec<String>> {
    let (mut words, mut word, mut is_word, mut is_quoted) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => (is_quoted, is_word) = (!is_quoted, true),
            '\\' if is_quoted => word.extend(characters.next()),
            blank if blank.is_ascii_whitespace() && !is_quoted => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            other => {
                word.push(other);
                is_word = true;
            }
        }
    }
    if is_quoted {
        return Err(Failure::usage("a quote is not closed"));
    }
    if is_word {
        words.push(word);
    }
    Ok(words)
}
