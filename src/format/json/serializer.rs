//! Serde's data model as JSON, written to a line.

use core::fmt::{self, Display, Write};

use serde::ser::{self, Serialize};

use crate::format::line::Line;

/// What no field of the model has: floating-point numbers, integers of 128 bits, keys that are no text.
#[derive(Debug)]
pub(super) struct Unsupported;

impl Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON lines have no form for")
    }
}

impl core::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

type Result = core::result::Result<(), Unsupported>;

pub(super) struct Serializer<'l, 'a> {
    line: &'l mut Line<'a>,
    /// What the next object begins with.
    begin: &'static str,
}

impl<'l, 'a> Serializer<'l, 'a> {
    pub(super) const fn new(line: &'l mut Line<'a>, begin: &'static str) -> Self {
        Self { line, begin }
    }

    fn unsigned(&mut self, value: u64) -> Result {
        self.line.print(value);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result {
        self.line.text(text);
        Ok(())
    }

    /// An object of one field, whose value is yet to come.
    fn variant(&mut self, name: &str) -> Result {
        self.text("{")?;
        self.name(name)
    }

    fn name(&mut self, name: &str) -> Result {
        ser::Serializer::serialize_str(&mut *self, name)?;
        self.text(":")
    }

    fn items(&mut self, begin: &'static str, end: &'static str) -> Items<'_, 'l, 'a> {
        self.line.text(begin);
        Items { serializer: self, separator: "", end }
    }
}

/// Text inside quotes.
struct Escaped<'l, 'a>(&'l mut Line<'a>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|char| matches!(char, '"' | '\\' | '\0'..='\x1f')) {
            let (before, after) = rest.split_at(at);
            self.0.text(before);
            match after.bytes().next() {
                Some(byte @ (b'"' | b'\\')) => self.0.text(if byte == b'"' { "\\\"" } else { "\\\\" }),
                Some(byte) => {
                    self.0.text(if byte < 0x10 { "\\u000" } else { "\\u001" });
                    self.0.text(
                        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"]
                            .get(usize::from(byte & 0xf))
                            .copied()
                            .unwrap_or_default(),
                    );
                }
                None => {}
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.0.text(rest);
        Ok(())
    }
}

impl<'s, 'l, 'a> ser::Serializer for &'s mut Serializer<'l, 'a> {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Items<'s, 'l, 'a>;
    type SerializeTuple = Items<'s, 'l, 'a>;
    type SerializeTupleStruct = Items<'s, 'l, 'a>;
    type SerializeTupleVariant = Items<'s, 'l, 'a>;
    type SerializeMap = Items<'s, 'l, 'a>;
    type SerializeStruct = Items<'s, 'l, 'a>;
    type SerializeStructVariant = Items<'s, 'l, 'a>;

    fn serialize_bool(self, value: bool) -> Result {
        self.text(if value { "true" } else { "false" })
    }

    fn serialize_i8(self, value: i8) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result {
        if value < 0 {
            self.text("-")?;
        }
        self.unsigned(value.unsigned_abs())
    }

    fn serialize_u8(self, value: u8) -> Result {
        self.unsigned(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result {
        self.unsigned(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result {
        self.unsigned(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result {
        self.unsigned(value)
    }

    fn serialize_f32(self, _: f32) -> Result {
        Err(Unsupported)
    }

    fn serialize_f64(self, _: f64) -> Result {
        Err(Unsupported)
    }

    fn serialize_char(self, value: char) -> Result {
        self.collect_str(&value)
    }

    fn serialize_str(self, value: &str) -> Result {
        self.collect_str(value)
    }

    /// Prints straight to the line, where the default would make a string first.
    fn collect_str<T: ?Sized + Display>(self, value: &T) -> Result {
        self.text("\"")?;
        write!(Escaped(self.line), "{value}").map_err(|_| Unsupported)?;
        self.text("\"")
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.text("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.text("}")
    }

    fn serialize_seq(self, _: Option<usize>) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        self.variant(variant)?;
        Ok(self.items("[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        Ok(self.items("{", "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        let begin = core::mem::replace(&mut self.begin, "{");
        Ok(self.items(begin, "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> core::result::Result<Items<'s, 'l, 'a>, Unsupported> {
        self.variant(variant)?;
        Ok(self.items("{", "}}"))
    }
}

/// The items of an array, or the fields of an object.
pub(super) struct Items<'s, 'l, 'a> {
    serializer: &'s mut Serializer<'l, 'a>,
    separator: &'static str,
    end: &'static str,
}

impl Items<'_, '_, '_> {
    fn separate(&mut self) {
        self.serializer.line.text(self.separator);
        self.separator = ",";
    }

    fn item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result {
        self.separate();
        value.serialize(&mut *self.serializer)
    }

    fn field<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result {
        self.separate();
        self.serializer.name(name)?;
        value.serialize(&mut *self.serializer)
    }

    fn finish(self) -> Result {
        self.serializer.text(self.end)
    }
}

/// Implements the traits of serde that are alike but for their names.
macro_rules! items {
    ($( $item:ident of $compound:ident, )*) => { $(
        impl ser::$compound for Items<'_, '_, '_> {
            type Ok = ();
            type Error = Unsupported;

            fn $item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result {
                self.item(value)
            }

            fn end(self) -> Result {
                self.finish()
            }
        }
    )* };
}

macro_rules! fields {
    ($( $compound:ident, )*) => { $(
        impl ser::$compound for Items<'_, '_, '_> {
            type Ok = ();
            type Error = Unsupported;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result {
                self.field(name, value)
            }

            fn end(self) -> Result {
                self.finish()
            }
        }
    )* };
}

items! {
    serialize_element of SerializeSeq,
    serialize_element of SerializeTuple,
    serialize_field of SerializeTupleStruct,
    serialize_field of SerializeTupleVariant,
}
fields! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Items<'_, '_, '_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result {
        self.item(key)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result {
        self.serializer.text(":")?;
        value.serialize(&mut *self.serializer)
    }

    fn end(self) -> Result {
        self.finish()
    }
}
