//! Filters and prefixes in serde's data formats: as their text.

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{DEPTH, print::text_depth};
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
