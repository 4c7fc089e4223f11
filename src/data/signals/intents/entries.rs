//! One text with its intent, and lists of them, as JSON spells them. Nothing is kept here: each entry
//! is handed on as it is read.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::gathered::Gathered;
use crate::data::signals::layout::{Part, part_named};

/// One text, as it was spelt.
pub(super) struct Entry {
    pub text: String,
    pub intent: String,
    pub subject: Option<String>,
    pub split: Option<String>,
}

/// The name of a class or a subject: a text or a whole number.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, as text or whole number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Name, E> {
                Ok(Name(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Name, E> {
                Ok(Name(number.to_string()))
            }
        }
        from.deserialize_any(Visit)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[TEXT, INTENT] or an object with `text` and `intent`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Entry, A::Error> {
                let lacks = |found| A::Error::invalid_length(found, &"[TEXT, INTENT]");
                let text = pair.next_element()?.ok_or_else(|| lacks(0))?;
                let Name(intent) = pair.next_element()?.ok_or_else(|| lacks(1))?;
                match pair.next_element::<IgnoredAny>()? {
                    Some(_) => Err(lacks(3)),
                    None => Ok(Entry { text, intent, subject: None, split: None }),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let (mut text, mut intent, mut subject, mut split) = (None, None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    let twice = match key.as_str() {
                        "text" => text.replace(map.next_value::<String>()?).is_some(),
                        "intent" | "label" => intent.replace(map.next_value::<Name>()?).is_some(),
                        "subject" => subject.replace(map.next_value::<Name>()?).is_some(),
                        "split" => split.replace(map.next_value::<String>()?).is_some(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            false
                        }
                    };
                    if twice {
                        return Err(A::Error::custom(format!("`{key}` is there twice")));
                    }
                }
                let text = text.ok_or_else(|| A::Error::missing_field("text"))?;
                let Name(intent) = intent.ok_or_else(|| A::Error::missing_field("intent"))?;
                Ok(Entry { text, intent, subject: subject.map(|Name(name)| name), split })
            }
        }
        from.deserialize_any(Visit)
    }
}

/// A whole file: lists of entries by part, or one list.
pub(super) struct Whole<'a> {
    pub gathered: &'a mut Gathered,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or an object of lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        List { gathered: self.gathered, part: None, name: "the list" }.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match part_named(&key) {
                Some(Part::Left) => _ = map.next_value::<IgnoredAny>()?,
                None if key.starts_with("oos") => _ = map.next_value::<IgnoredAny>()?,
                None => return Err(A::Error::custom(format!("`{key}` is the name of no part"))),
                part => {
                    let list = List { gathered: &mut *self.gathered, part, name: &key };
                    map.next_value_seed(list)?;
                }
            }
        }
        Ok(())
    }
}

/// One list of entries, all of `part` if one is given.
struct List<'a> {
    gathered: &'a mut Gathered,
    part: Option<Part>,
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts with intents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for number in 0usize.. {
            let at = |fault: String| {
                A::Error::custom(format!(
                    "entry {number} (counted from 0) of {}: {fault}",
                    self.name
                ))
            };
            let Some(entry) =
                list.next_element::<Entry>().map_err(|fault| at(fault.to_string()))?
            else {
                break;
            };
            self.gathered.take(entry, self.part).map_err(at)?;
        }
        Ok(())
    }
}
