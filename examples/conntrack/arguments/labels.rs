//! Labels by name or number.

use ctnetlink::{Labels, format::LabelMap};

use super::warn;
use crate::failure::{Failure, Outcome};

/// The label options, kept as words until the file with the names is known.
#[derive(Default)]
pub struct LabelWords<'a> {
    pub wanted: Vec<&'a str>,
    pub added: Vec<&'a str>,
    /// An empty list is every label.
    pub deleted: Option<Vec<&'a str>>,
    pub map: Option<&'a str>,
}

impl LabelWords<'_> {
    pub fn are_none(&self) -> bool {
        self.wanted.is_empty() && self.added.is_empty() && self.deleted.is_none()
    }

    /// Opens the file named by `--labelmap`, or the usual file unless there are names already.
    ///
    /// A file that cannot be read leaves labels without names, as in conntrack(8). Its path is in a warning.
    pub fn open(&self, known: Option<&LabelMap>) -> Option<LabelMap> {
        match (self.map, known) {
            (None, Some(_)) => None,
            (path, _) => Some(open(path.unwrap_or(LabelMap::DEFAULT_PATH))),
        }
    }

    pub fn wanted(&self, map: &LabelMap) -> Outcome<Option<Labels>> {
        if self.wanted.is_empty() { Ok(None) } else { labels(map, &self.wanted).map(Some) }
    }

    pub fn added(&self, map: &LabelMap) -> Outcome<Option<Labels>> {
        if self.added.is_empty() { Ok(None) } else { labels(map, &self.added).map(Some) }
    }

    pub fn deleted(&self, map: &LabelMap) -> Outcome<Option<Labels>> {
        match self.deleted.as_deref() {
            None => Ok(None),
            Some([]) => Ok(Some(Labels::ALL)),
            Some(words) => labels(map, words).map(Some),
        }
    }
}

fn open(path: &str) -> LabelMap {
    LabelMap::open(path).unwrap_or_else(|error| {
        warn(format_args!("cannot read label names: {path}: {error}"));
        LabelMap::default()
    })
}

fn labels(map: &LabelMap, words: &[&str]) -> Outcome<Labels> {
    words.iter().map(|word| label(map, word)).collect()
}

/// A label by its name or, if no label has that name, by its number.
fn label(map: &LabelMap, word: &str) -> Outcome<u8> {
    let number = || word.parse().ok().filter(|bit| *bit < 128);
    map.bit(word).or_else(number).ok_or_else(|| Failure::usage(format_args!("unknown label '{word}'")))
}
