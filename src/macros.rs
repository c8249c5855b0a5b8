//! Macros for shapes that occur often: open enums, reading of nests, flags as text, and structs with absent fields.

/// Declares an open newtype over an integer: constants for the known values, and any other value is kept.
///
/// One row gives the constant, its documentation and alias, the text it prints and parses, and its place in `NAMED`.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($repr:ty) as $what:literal {
            $( $(#[$constant_meta:meta])* $constant:ident = $value:literal => $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(clippy::exhaustive_structs, reason = "a number, and every number is a value")]
        pub struct $name(pub $repr);

        impl $name {
            $( $(#[$constant_meta])* pub const $constant: Self = Self($value); )*

            /// Every named value with its name, in the kernel's order.
            pub const NAMED: &'static [(Self, &'static str)] = &[ $( (Self($value), $text), )* ];

            /// Returns the name of the value, or `None` if this crate has none.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            /// Prints the name, or the number if there is none.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => core::fmt::Display::fmt(&self.0, f),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = crate::error::ParseError;

            /// Reads a name in any case, or a decimal number without a sign.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::NAMED
                    .iter()
                    .find(|(_, name)| name.eq_ignore_ascii_case(text))
                    .map(|(value, _)| *value)
                    // The standard library accepts a plus sign.
                    .or_else(|| text.parse().ok().filter(|_| !text.starts_with('+')).map(Self))
                    .ok_or_else(|| crate::error::ParseError::new($what, text))
            }
        }

        impl From<$repr> for $name {
            fn from(value: $repr) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $repr {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

/// Walks a nest once and binds each named attribute as an `Option`: the last of a number counts, others are skipped.
///
/// ```text
/// read_attributes!(nest; CTA_COUNTERS_PACKETS => packets = Attribute::u64, CTA_COUNTERS_BYTES => bytes = Attribute::u64);
/// ```
macro_rules! read_attributes {
    ($attributes:expr; $( $number:path => $name:ident = $read:expr ),* $(,)?) => {
        $( let mut $name = None; )*
        let mut walk = $attributes;
        while let Some(attribute) = walk.advance() {
            match attribute.number() {
                $( $number => $name = Some(($read)(attribute)?), )*
                _ => {}
            }
        }
        walk.end()?;
    };
}

/// Gives a bitflags type the text form of the kernel's names: `SEEN_REPLY,ASSURED`, `UNSET` for none, unknown bits in hex.
macro_rules! flag_text {
    ($name:ident as $what:literal) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                crate::macros::pad_if_asked!(self, f);
                let mut separator = "";
                for (name, _) in self.iter_names() {
                    write!(f, "{separator}{name}")?;
                    separator = ",";
                }
                let unknown = self.difference(Self::named_bits());
                match (separator, unknown.is_empty()) {
                    ("", true) => f.write_str("UNSET"),
                    (_, true) => Ok(()),
                    (separator, false) => write!(f, "{separator}{:#x}", unknown.bits()),
                }
            }
        }

        impl $name {
            /// All named bits.
            fn named_bits() -> Self {
                use bitflags::Flags as _;
                Self::FLAGS.iter().filter(|flag| flag.is_named()).fold(Self::empty(), |all, flag| all | *flag.value())
            }
        }

        impl core::str::FromStr for $name {
            type Err = crate::error::ParseError;

            /// Reads names in any case joined by commas, numbers in hex (`0x…`), or `UNSET`.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text.eq_ignore_ascii_case("UNSET") {
                    return Ok(Self::empty());
                }
                text.split(',').try_fold(Self::empty(), |all, word| {
                    use bitflags::Flags as _;
                    let named =
                        Self::FLAGS.iter().find(|flag| flag.is_named() && flag.name().eq_ignore_ascii_case(word));
                    let bits = match (named, word.strip_prefix("0x")) {
                        (Some(flag), _) => Some(*flag.value()),
                        (None, Some(digits)) => {
                            bitflags::parser::ParseHex::parse_hex(digits).ok().map(Self::from_bits_retain)
                        }
                        (None, None) => None,
                    };
                    bits.map(|bits| all | bits).ok_or_else(|| crate::error::ParseError::new($what, word))
                })
            }
        }
    };
}

/// Serializes a struct: the fields before the semicolon always, those after it if they are present (`!is_none()`) or
/// the format is binary, because a missing field would shift all fields after it.
///
/// The fields must be named in the order of their declaration. All must be named: the destructuring is exhaustive.
#[cfg(feature = "serde")]
macro_rules! serialize_present {
    ($name:ident { $($always:ident),* ; $($optional:ident),* }) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeStruct as _;
                let Self { $($always,)* $($optional,)* } = self;
                let skips_absent = serializer.is_human_readable();
                let is_written = [
                    $( { let _ = $always; true }, )*
                    $( !(skips_absent && $optional.is_none()), )*
                ];
                let count = is_written.iter().filter(|written| **written).count();
                let mut fields = serializer.serialize_struct(stringify!($name), count)?;
                $( fields.serialize_field(stringify!($always), $always)?; )*
                $(
                    match skips_absent && $optional.is_none() {
                        true => fields.skip_field(stringify!($optional))?,
                        false => fields.serialize_field(stringify!($optional), $optional)?,
                    }
                )*
                fields.end()
            }
        }
    };
}

/// At the start of a `Display` that writes several parts: if the caller asks for a width, prints the whole text at once, so
/// that columns line up.
macro_rules! pad_if_asked {
    ($value:expr, $f:expr) => {
        if $f.width().is_some() {
            return crate::macros::pad($value, $f);
        }
    };
}

/// Prints the whole text at once, with the width and alignment that the caller asks for.
pub(crate) fn pad(value: &impl core::fmt::Display, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    // Formatted without a width, so this does not come back here.
    f.pad(&value.to_string())
}

#[cfg(feature = "serde")]
pub(crate) use serialize_present;
pub(crate) use {flag_text, open_enum, pad_if_asked, read_attributes};
