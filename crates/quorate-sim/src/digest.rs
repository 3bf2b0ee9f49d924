//! A number that is equal for equal values: what a value would be encoded as, taken in word by word, with no buffer.
//!
//! *Architecture Invariant*: depends on the value alone, never on the machine, the build or the run.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// The digest of a value.
pub fn digest<T: Serialize + ?Sized>(value: &T) -> u64 {
    let mut digest = Digest::new(0);
    digest.take(value);
    digest.value()
}

/// The digest of bytes, the same as that of a vector of them.
pub fn digest_bytes(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(0);
    digest.serialize_bytes(bytes).expect("every value has a digest");
    digest.value()
}

/// Takes values in, one after the other.
#[derive(Clone, Debug)]
pub struct Digest {
    hash: u64,
    /// Bytes that do not fill a word yet, and how many.
    bytes: (u64, u32),
}

impl Digest {
    /// A digest of nothing so far.
    pub fn new(seed: u64) -> Self {
        Self { hash: seed, bytes: (0, 0) }
    }

    /// Takes in a value.
    pub fn take<T: Serialize + ?Sized>(&mut self, value: &T) {
        value.serialize(&mut *self).expect("every value has a digest");
    }

    /// Takes in a word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        if self.bytes.1 > 0 {
            self.end_bytes();
        }
        self.hash = mixed(self.hash, word);
    }

    /// The digest so far.
    pub fn value(&self) -> u64 {
        let mut whole = self.clone();
        whole.end_bytes();
        whole.hash
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        let (bytes, count) = self.bytes;
        self.bytes = (bytes << 8 | u64::from(byte), count + 1);
        if count == 7 {
            self.end_bytes();
        }
    }

    fn end_bytes(&mut self) {
        let (bytes, count) = std::mem::take(&mut self.bytes);
        if count > 0 {
            self.hash = mixed(mixed(self.hash, bytes), u64::from(count));
        }
    }
}

fn mixed(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What takes no parts: one word.
macro_rules! words {
    ($($name:ident($type:ty)),* $(,)?) => {
        $(#[inline]
        fn $name(self, value: $type) -> Result<(), fmt::Error> {
            self.word(value as u64);
            Ok(())
        })*
    };
}

impl Serializer for &mut Digest {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_char(char),
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), fmt::Error> {
        self.byte(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), fmt::Error> {
        self.serialize_u32(value.to_bits())
    }

    fn serialize_f64(self, value: f64) -> Result<(), fmt::Error> {
        self.serialize_u64(value.to_bits())
    }

    fn serialize_str(self, value: &str) -> Result<(), fmt::Error> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), fmt::Error> {
        self.word(value.len() as u64);
        let (words, rest) = value.as_chunks::<8>();
        for &word in words {
            self.bytes = (u64::from_be_bytes(word), 8);
            self.end_bytes();
        }
        rest.iter().for_each(|&byte| self.byte(byte));
        Ok(())
    }

    fn serialize_none(self) -> Result<(), fmt::Error> {
        self.serialize_u64(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), fmt::Error> {
        self.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
    ) -> Result<(), fmt::Error> {
        self.serialize_u32(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        self.word(u64::from(variant));
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, fmt::Error> {
        self.word(length.ok_or(fmt::Error)? as u64);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.word(u64::from(variant));
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, fmt::Error> {
        self.serialize_seq(length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.word(u64::from(variant));
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What takes parts: each part after the other.
macro_rules! parts {
    ($($trait:ident :: $name:ident($($key:ty)?)),* $(,)?) => {
        $(impl ser::$trait for &mut Digest {
            type Ok = ();
            type Error = fmt::Error;

            #[inline]
            fn $name<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), fmt::Error> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), fmt::Error> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl ser::SerializeMap for &mut Digest {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), fmt::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::id::{NodeId, OpId};
    use quorate_core::{Action, Event};

    use super::*;

    #[test]
    fn equal_values_have_one_digest_and_different_ones_differ() {
        let beat = |sequence| quorate_core::message::Beat {
            incarnation: quorate_core::id::Incarnation::of_boot(7),
            sequence,
            sent: 9,
            acknowledged: Some((1, 2)),
            witnessed: None,
            applied: 3,
            lease: true,
            heard: [(NodeId(2), 70), (NodeId(3), 80)].into_iter().collect(),
            withheld: Default::default(),
            probe: false,
        };
        assert_eq!(digest(&beat(1)), digest(&beat(1)));
        assert_ne!(digest(&beat(1)), digest(&beat(2)));
        assert_ne!(digest(&Event::Tick), digest(&Event::Leave { keep: false }));
        assert_ne!(digest(&Event::Persisted { op: OpId(1) }), digest(&Action::Left));
        assert_ne!(digest(&(vec![1u8], vec![2u8, 3])), digest(&(vec![1u8, 2], vec![3u8])));
        assert_ne!(digest("ab"), digest("ab\0"));
        let bytes: Vec<u8> = (0..21).collect();
        assert_eq!(digest(&bytes), digest(std::str::from_utf8(&bytes).expect("it is ASCII")));
        assert_ne!(digest(&None::<u8>), digest(&Some(0u8)));
    }
}
