//! Names of labels.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::Labels;

/// Names of label bits, from a `connlabel.conf`.
///
/// The file has a line for each label: its number, blanks, and its name. The number is decimal, hexadecimal (`0x…`) or
/// octal (`0…`). The name consists of letters, digits, blanks and hyphens. Other lines are skipped, such as comments (`#`).
/// If a number or a name is repeated, the first line counts.
///
/// # Example
///
/// ```
/// use ctnetlink::{Labels, format::LabelMap};
///
/// let map = LabelMap::parse("# services\n0 web\n0x10 mail out\n");
/// assert_eq!(map.name(16), Some("mail out"));
/// assert_eq!(map.bit("web"), Some(0));
/// assert_eq!(map.names(Labels(0b11)).collect::<Vec<_>>(), ["web"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    names: BTreeMap<u8, Box<str>>,
}

impl LabelMap {
    /// The path at which conntrack(8) and iptables(8) look for the file.
    pub const DEFAULT_PATH: &'static str = "/etc/xtables/connlabel.conf";

    /// The number of labels.
    const BITS: u32 = 128;
    /// At most this many bytes of a file are read.
    const FILE_LIMIT: u64 = 1 << 20;

    /// Names every label by its number, so that all of them are printed.
    #[must_use]
    pub fn numbered() -> Self {
        Self { names: (0..Self::BITS as u8).map(|bit| (bit, bit.to_string().into())).collect() }
    }

    /// Reads the text of a `connlabel.conf`. Lines that do not name a label are skipped.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let mut map = Self::default();
        for (bit, name) in text.as_ref().split(|byte| *byte == b'\n').filter_map(label) {
            if map.bit(name).is_none() {
                map.names.entry(bit).or_insert_with(|| name.into());
            }
        }
        map
    }

    /// Reads a `connlabel.conf`, of which only the first mebibyte is used.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened or read.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut text = Vec::new();
        File::open(path)?.take(Self::FILE_LIMIT).read_to_end(&mut text)?;
        Ok(Self::parse(text))
    }

    /// Returns true if no label has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the name of a label.
    #[must_use]
    pub fn name(&self, bit: u8) -> Option<&str> {
        self.names.get(&bit).map(|name| &**name)
    }

    /// Returns the label with this name.
    #[must_use]
    pub fn bit(&self, name: &str) -> Option<u8> {
        self.iter().find(|(_, known)| *known == name).map(|(bit, _)| bit)
    }

    /// Returns every label that has a name, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        self.names.iter().map(|(bit, name)| (*bit, &**name))
    }

    /// Returns the names of the given labels, in the order of their numbers. Labels without a name are skipped.
    pub fn names(&self, labels: Labels) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(bit, _)| labels.contains(*bit)).map(|(_, name)| name)
    }
}

/// The label that the line names, and its name.
fn label(line: &[u8]) -> Option<(u8, &str)> {
    let line = core::str::from_utf8(line).ok().filter(|line| !line.starts_with('#'))?;
    let (number, name) = line.trim_start().split_once([' ', '\t'])?;
    let name = name.trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-');
    (!name.is_empty() && name.bytes().all(is_name)).then_some((bit(number)?, name))
}

/// Reads a number like strtoul(3).
fn bit(text: &str) -> Option<u8> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    u32::from_str_radix(digits, radix).ok().filter(|bit| *bit < LabelMap::BITS)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Vec<(u8, String)> {
        LabelMap::parse(text).iter().map(|(bit, name)| (bit, name.to_owned())).collect()
    }

    #[test]
    fn numbers_are_decimal_hexadecimal_or_octal() {
        let expected = [(0, "zero".into()), (8, "eight".into()), (10, "ten".into()), (16, "sixteen".into())];
        assert_eq!(labels("10 ten\n0x10 sixteen\n010\teight\n0 zero"), expected);
    }

    #[test]
    fn the_first_definition_counts() {
        assert_eq!(labels("1 a\n1 b\n2 a\n"), [(1, "a".into())]);
    }

    #[test]
    fn names_are_trimmed_and_may_contain_blanks() {
        assert_eq!(labels("  3 \t a b-C \r\n"), [(3, "a b-C".into())]);
    }

    #[test]
    fn other_lines_are_skipped() {
        assert!(LabelMap::parse("#1 a\n2\n3 \n128 a\n4 a_b\n5 é\nfive x\n-1 x\n99999999999 x\n\n0x x\n").is_empty());
        assert_eq!(LabelMap::parse(b"1 \xff\n2 a").name(2), Some("a"));
    }

    proptest! {
        #[test]
        fn labels_are_found_by_name_and_by_number(text in "([0-9x# ]{0,4}[a-c -]{0,3}\n?){0,40}") {
            let map = LabelMap::parse(&text);
            for (bit, name) in map.iter() {
                prop_assert_eq!(map.name(bit), Some(name));
                prop_assert_eq!(map.bit(name), Some(bit));
            }
        }

        #[test]
        fn any_bytes_are_accepted(bytes: Vec<u8>) {
            let _ = LabelMap::parse(bytes);
        }
    }
}
