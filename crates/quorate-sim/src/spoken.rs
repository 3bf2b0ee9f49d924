//! A value in words: what `serde` derives for it, said so that a person can read it. `Silent(Silence)` is
//! `silent: silence`, `Up { node: NodeId(2), .. }` is `up (node 2, ..)`.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// Of a longer list only the number of its items is said: those of a message may be bytes.
const ITEMS_MAX: usize = 16;

/// The value in words.
pub fn words<T: Serialize + ?Sized>(value: &T) -> String {
    match value.serialize(Speaker) {
        Ok(said) => said.text(),
        Err(error) => error.to_string(),
    }
}

/// What was said of a part.
enum Said {
    Nothing,
    Truth(bool),
    Text(String),
}

impl Said {
    fn text(self) -> String {
        match self {
            Said::Nothing => "nothing".to_owned(),
            Said::Truth(is_true) => if is_true { "yes" } else { "no" }.to_owned(),
            Said::Text(text) => text,
        }
    }

    /// As the part of this name: `held`, `node 2`, `cause silence`.
    fn named(self, name: &str) -> String {
        let name = name.replace('_', " ");
        match self {
            Said::Truth(true) => name,
            Said::Truth(false) => format!("not {name}"),
            Said::Nothing => format!("no {name}"),
            Said::Text(text) if text.starts_with(&format!("{name} ")) => text,
            Said::Text(text) => format!("{name} {text}"),
        }
    }
}

struct Speaker;

/// What has parts.
struct Parts {
    /// What stands before them.
    head: String,
    /// Whether the head is a type's own name, which is not said.
    is_plain: bool,
    parts: Vec<String>,
    /// How many there are in all, said or not.
    count: usize,
}

impl Parts {
    fn new(head: String, is_plain: bool) -> Result<Self, fmt::Error> {
        Ok(Self { head, is_plain, parts: Vec::new(), count: 0 })
    }

    fn add(&mut self, part: String) {
        self.count += 1;
        if self.count <= ITEMS_MAX {
            self.parts.push(part);
        }
    }

    /// Parts with names: in brackets.
    fn bracketed(self) -> Said {
        let parts = self.parts.join(", ");
        Said::Text(if self.is_plain {
            format!("({parts})")
        } else {
            format!("{} ({parts})", self.head)
        })
    }

    /// Parts without.
    fn listed(self) -> Said {
        match self.count {
            0 => Said::Nothing,
            count if count > ITEMS_MAX => Said::Text(format!("{count} items")),
            _ => Said::Text(self.parts.join(", ")),
        }
    }
}

/// `LeaseLost` is `lease lost`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A number that has a type of its own, as the type's own `Display` says it.
fn named_number(name: &str, said: Said) -> String {
    let text = said.text();
    let number = text.parse::<u64>();
    match (name, number) {
        ("VoterId", Ok(number)) => format!("node {}", number & 0xffff),
        ("ReservationKey", Ok(number)) => format!("0x{number:016x}"),
        _ => format!("{} {text}", spaced(name.strip_suffix("Id").unwrap_or(name))),
    }
}

macro_rules! plain {
    ($($name:ident($type:ty)),* $(,)?) => {
        $(fn $name(self, value: $type) -> Result<Said, fmt::Error> {
            Ok(Said::Text(value.to_string()))
        })*
    };
}

impl Serializer for Speaker {
    type Ok = Said;
    type Error = fmt::Error;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    plain! {
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_u8(u8),
        serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32), serialize_f64(f64),
        serialize_char(char), serialize_str(&str),
    }

    fn serialize_bool(self, value: bool) -> Result<Said, fmt::Error> {
        Ok(Said::Truth(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Said, fmt::Error> {
        Ok(Said::Text(format!("{} bytes", value.len())))
    }

    fn serialize_none(self) -> Result<Said, fmt::Error> {
        Ok(Said::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Said, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Said, fmt::Error> {
        Ok(Said::Nothing)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Said, fmt::Error> {
        Ok(Said::Text(spaced(name)))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Said, fmt::Error> {
        Ok(Said::Text(spaced(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Said, fmt::Error> {
        Ok(Said::Text(named_number(name, value.serialize(self)?)))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Said, fmt::Error> {
        let said = match (name, variant, value.serialize(self)?) {
            ("Result", "Ok", Said::Nothing) => "done".to_owned(),
            ("Result", "Ok", said) => said.text(),
            ("Result", _, said) => format!("failed: {}", said.text()),
            (_, _, Said::Nothing) => spaced(variant),
            (_, _, said) => format!("{}: {}", spaced(variant), said.text()),
        };
        Ok(Said::Text(said))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, fmt::Error> {
        Parts::new(String::new(), true)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, fmt::Error> {
        Parts::new(String::new(), true)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, fmt::Error> {
        Parts::new(String::new(), true)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, fmt::Error> {
        Parts::new(spaced(variant), false)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, fmt::Error> {
        Parts::new(String::new(), true)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts, fmt::Error> {
        Parts::new(name.to_owned(), true)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, fmt::Error> {
        Parts::new(spaced(variant), false)
    }
}

macro_rules! lists {
    ($($trait:ident :: $name:ident),* $(,)?) => {
        $(impl ser::$trait for Parts {
            type Ok = Said;
            type Error = fmt::Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
                self.add(value.serialize(Speaker)?.text());
                Ok(())
            }

            fn end(self) -> Result<Said, fmt::Error> {
                Ok(self.listed())
            }
        })*
    };
}

lists! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
}

impl ser::SerializeTupleVariant for Parts {
    type Ok = Said;
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        self.add(value.serialize(Speaker)?.text());
        Ok(())
    }

    fn end(self) -> Result<Said, fmt::Error> {
        Ok(self.bracketed())
    }
}

impl ser::SerializeMap for Parts {
    type Ok = Said;
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        self.add(key.serialize(Speaker)?.text());
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        let value = value.serialize(Speaker)?.text();
        if let Some(key) = self.parts.last_mut().filter(|_| self.count <= ITEMS_MAX) {
            *key = format!("{key}: {value}");
        }
        Ok(())
    }

    fn end(self) -> Result<Said, fmt::Error> {
        Ok(self.listed())
    }
}

macro_rules! structs {
    ($($trait:ident: $end:expr),* $(,)?) => {
        $(impl ser::$trait for Parts {
            type Ok = Said;
            type Error = fmt::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), fmt::Error> {
                self.add(value.serialize(Speaker)?.named(name));
                Ok(())
            }

            fn end(self) -> Result<Said, fmt::Error> {
                Ok($end(self))
            }
        })*
    };
}

structs! {
    SerializeStruct: Parts::whole,
    SerializeStructVariant: Parts::bracketed,
}

impl Parts {
    /// A struct; what `serde` makes of a length is said as one.
    fn whole(self) -> Said {
        if self.head != "Duration" {
            return self.bracketed();
        }
        let number = |name: &str| -> Option<u64> {
            self.parts.iter().find_map(|part| part.strip_prefix(name)?.trim().parse().ok())
        };
        let (seconds, nanos) = (number("secs"), number("nanos"));
        Said::Text(format!("{}.{:03} s", seconds.unwrap_or(0), nanos.unwrap_or(0) / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use quorate_core::action::{LunVerb, ResourceVerb};
    use quorate_core::change::{DownCause, GroupReport};
    use quorate_core::event::{LunFailure, LunReply};
    use quorate_core::id::{Epoch, GroupId, LunId, NodeId, OpId, ReservationKey, VoterId};
    use quorate_core::{Event, Notice};

    use super::*;

    #[test]
    fn a_value_is_said_in_words() {
        let (node, lun, op, epoch) = (NodeId(2), LunId(1), OpId(7), Epoch(3));
        let report = GroupReport::Vacated { saved: None, failures: 1, luns_away: false };
        let group = Notice::Group { group: GroupId(4), epoch, node, report };
        let busy = Event::Lun { op, lun, result: Err(LunFailure::Conflict) };
        let done = Event::Lun { op, lun, result: Ok(LunReply::Done) };
        let records: BTreeMap<LunId, u64> = [(lun, 12)].into();
        let cases = [
            (words(&Notice::LeaseLost), "lease lost"),
            (words(&DownCause::ConnectionReset), "connection reset"),
            (words(&Some(node)), "node 2"),
            (words(&VoterId::new(node, 9)), "node 2"),
            (words(&Event::Persisted { op }), "persisted (op 7)"),
            (words(&Notice::Lun { lun, epoch, held: false }), "lun (lun 1, epoch 3, not held)"),
            (words(&Notice::Coordinator { node: None, epoch }), "coordinator (no node, epoch 3)"),
            (
                words(&group),
                "group (group 4, epoch 3, node 2, report vacated (no saved, failures 1, not luns away))",
            ),
            (words(&busy), "lun (op 7, lun 1, result failed: conflict)"),
            (words(&done), "lun (op 7, lun 1, result done)"),
            (words(&Ok::<(), String>(())), "done"),
            (words(&Err::<(), _>("no room")), "failed: no room"),
            (words(&LunVerb::Reserve(ReservationKey(16))), "reserve: 0x0000000000000010"),
            (
                words(&ResourceVerb::Stop { timeout: Duration::from_millis(1_500) }),
                "stop (timeout 1.500 s)",
            ),
            (words(&records), "lun 1: 12"),
            (words(&[node, NodeId(3)][..]), "node 2, node 3"),
            (words(&vec![0_u8; 100]), "100 items"),
        ];
        for (said, wanted) in cases {
            assert_eq!(said, wanted);
        }
    }
}
