//! Which variant of its enum a value is, and which variants there are: asked of what `serde` derives, so that no list
//! of names is kept by hand, and none is ever out of date.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{self, Serialize, Serializer};

/// The number of the variant that `value` is. Not an enum: 0.
#[inline]
pub fn number<T: Serialize + ?Sized>(value: &T) -> usize {
    match value.serialize(Number) {
        Ok(number) | Err(Found(number)) => number,
    }
}

/// The names of all variants of an enum, by number. Not an enum: none.
pub fn names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Names) {
        Err(Listed(names)) => names,
        Ok(_) => &[],
    }
}

/// The number of a variant, found: nothing behind it is looked at.
#[derive(Debug)]
struct Found(usize);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "variant {}", self.0)
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Found(0)
    }
}

/// Takes the number of a variant.
struct Number;

/// What holds no variant of its own.
macro_rules! no_variant {
    ($($name:ident($($type:ty),*)),* $(,)?) => {
        $(#[inline]
        fn $name(self, $(_: $type),*) -> Result<usize, Found> {
            Ok(0)
        })*
    };
}

impl Serializer for Number {
    type Ok = usize;
    type Error = Found;
    type SerializeSeq = ser::Impossible<usize, Found>;
    type SerializeTuple = ser::Impossible<usize, Found>;
    type SerializeTupleStruct = ser::Impossible<usize, Found>;
    type SerializeTupleVariant = ser::Impossible<usize, Found>;
    type SerializeMap = ser::Impossible<usize, Found>;
    type SerializeStruct = ser::Impossible<usize, Found>;
    type SerializeStructVariant = ser::Impossible<usize, Found>;

    no_variant! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
        serialize_f64(f64), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]), serialize_none(),
        serialize_unit(), serialize_unit_struct(&'static str),
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<usize, Found> {
        Ok(0)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<usize, Found> {
        Ok(0)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
    ) -> Result<usize, Found> {
        Ok(variant as usize)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: &T,
    ) -> Result<usize, Found> {
        Ok(variant as usize)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Found> {
        Err(Found(variant as usize))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Found> {
        Err(Found(variant as usize))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Found> {
        Err(Found(0))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Found> {
        Err(Found(0))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Found> {
        Err(Found(0))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Found> {
        Err(Found(0))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Found> {
        Err(Found(0))
    }
}

/// The names that a type lists when it is asked to read itself.
#[derive(Debug)]
struct Listed(&'static [&'static str]);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Listed {}

impl de::Error for Listed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Listed(&[])
    }
}

/// Takes the names of the variants, and gives nothing to read.
struct Names;

impl<'de> Deserializer<'de> for Names {
    type Error = Listed;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Listed> {
        Err(Listed(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Listed> {
        Err(Listed(variants))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::id::OpId;
    use quorate_core::{Action, Event};

    use super::*;

    #[test]
    fn a_variant_has_the_place_of_its_name() {
        let place = |name: &str| names::<Event>().iter().position(|&one| one == name).unwrap();
        assert_eq!(number(&Event::Tick), place("Tick"));
        assert_eq!(number(&Event::Persisted { op: OpId(7) }), place("Persisted"));
        assert_eq!(number(&Event::Leave { keep: false }), place("Leave"));
        assert_eq!(names::<Action>()[number(&Action::Left)], "Left");
        assert_eq!((names::<u8>().len(), number(&7u8)), (0, 0));
    }
}
