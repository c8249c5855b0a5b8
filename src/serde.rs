//! The serialized form of values: words in formats for people, numbers in binary formats.
//!
//! In a human-readable format such as JSON an open enum is its name, or its number if it has none; either is read. A set
//! of flags is its text (`SEEN_REPLY,ASSURED`), labels are the list of their numbers, and an absent attribute is left
//! out. In a binary format such as postcard, which does not describe itself, all of these are plain numbers and every
//! field is written. Structs and closed enums derive the rest, with the names of their fields.

use core::{fmt, marker::PhantomData, str::FromStr};

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

use crate::{
    ConntrackInfo, DccpRole, DccpState, ExpectationFlags, Labels, Protocol, SctpState, Status, TcpFlags, TcpState,
    wire::Family,
};

/// Names or numbers.
macro_rules! by_name {
    ($( $name:ident($repr:ty), )*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.name() {
                    Some(name) if serializer.is_human_readable() => serializer.serialize_str(name),
                    _ => self.0.serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match deserializer.is_human_readable() {
                    true => deserializer.deserialize_any(NameOrNumber::<Self, $repr>(PhantomData)),
                    false => <$repr>::deserialize(deserializer).map(Self),
                }
            }
        }
    )* };
}

by_name! {
    ConntrackInfo(u32),
    DccpRole(u8),
    DccpState(u8),
    Family(u8),
    Protocol(u8),
    SctpState(u8),
    TcpState(u8),
}

/// The text that the type prints and reads, or its bits.
macro_rules! by_text {
    ($( $name:ident($repr:ty), )*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.collect_str(self),
                    false => self.bits().serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match deserializer.is_human_readable() {
                    true => deserializer.deserialize_str(TextVisitor(PhantomData)),
                    false => <$repr>::deserialize(deserializer).map(Self::from_bits_retain),
                }
            }
        }
    )* };
}

by_text! {
    ExpectationFlags(u32),
    Status(u32),
    TcpFlags(u8),
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

    /// Some formats have signed numbers only.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for TextVisitor<T> {
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
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let mut list = serializer.serialize_seq(Some(self.0.count_ones() as usize))?;
        for bit in self.iter() {
            list.serialize_element(&bit)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_seq(LabelNumbers),
            false => u128::deserialize(deserializer).map(Self),
        }
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
