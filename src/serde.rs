//! How values that are numbers on the wire are written for people: by their names.
//!
//! An open enum is its name, a number where it has none; either is read. A set of flags is the text that it prints
//! (`SEEN_REPLY,ASSURED`), labels are the list of their numbers. Structs and closed enums derive their form, with the
//! names of their fields.

use core::{fmt, marker::PhantomData, str::FromStr};

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

use crate::{
    DccpRole, DccpState, ExpectationFlags, Labels, Protocol, SctpState, Status, TcpFlags, TcpState, wire::Family,
};

/// Names or numbers.
macro_rules! by_name {
    ($( $name:ident($repr:ty), )*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.name() {
                    Some(name) => serializer.serialize_str(name),
                    None => self.0.serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(NameOrNumber::<Self, $repr>(PhantomData))
            }
        }
    )* };
}

by_name! {
    DccpRole(u8),
    DccpState(u8),
    Family(u8),
    Protocol(u8),
    SctpState(u8),
    TcpState(u8),
}

/// The text that the type prints and reads.
macro_rules! by_text {
    ($( $name:ident, )*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )* };
}

by_text! {
    ExpectationFlags,
    Status,
    TcpFlags,
}

struct NameOrNumber<T, N>(PhantomData<(T, N)>);

impl<T, N> de::Visitor<'_> for NameOrNumber<T, N>
where
    T: FromStr<Err: fmt::Display> + From<N>,
    N: TryFrom<u64>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        match N::try_from(number) {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
        }
    }

    /// Some formats know no unsigned numbers.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names joined by commas")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.count_ones() as usize))?;
        for bit in self.iter() {
            list.serialize_element(&bit)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LabelNumbers)
    }
}

struct LabelNumbers;

impl<'de> de::Visitor<'de> for LabelNumbers {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers from 0 to 127")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        while let Some(bit) = list.next_element::<u8>()? {
            if bit > 127 {
                return Err(de::Error::invalid_value(de::Unexpected::Unsigned(bit.into()), &self));
            }
            labels = labels.with(bit);
        }
        Ok(labels)
    }
}
