//! JSON as artifacts have it, read once: each key of an object stands once (serde by itself takes the last of several), and
//! what the format has no use for is kept as such, so that messages can name where it stands.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An object of any keys, in their order.
pub(super) struct Entries<V>(pub Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Entries<V>, D::Error> {
        reader.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = Entries<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, V>()? {
            entries.push(entry);
        }
        in_order(&mut entries)?;
        Ok(Entries(entries))
    }
}

/// Sorts entries by their keys, of which none may be there twice.
pub(super) fn in_order<V, E: Error>(entries: &mut [(String, V)]) -> Result<(), E> {
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(E::custom(format_args!("the key {:?} is given twice", pair[0].0))),
        None => Ok(()),
    }
}

/// An attribute, or an axis of a shape.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    Int(i64),
    Ints(Vec<i64>),
    Text(String),
    /// An object of one key and a text: a number by its bits.
    Bits(String, String),
    /// An object of one key and a number: so many numbers that lie elsewhere.
    Count(String, i64),
    /// What no part of the format is.
    Unknown,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Item, D::Error> {
        reader.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        let Entries(mut entries) = EntriesVisitor(PhantomData).visit_map(map)?;
        let only = if entries.len() == 1 { entries.pop() } else { None };
        Ok(match only {
            Some((key, Item::Text(digits))) => Item::Bits(key, digits),
            Some((key, Item::Int(count))) => Item::Count(key, count),
            _ => Item::Unknown,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
        let mut integers = Vec::new();
        while let Some(item) = items.next_element()? {
            let Item::Int(integer) = item else {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Item::Unknown);
            };
            integers.push(integer);
        }
        Ok(Item::Ints(integers))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Item, E> {
        Ok(Item::Int(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Item, E> {
        Ok(i64::try_from(integer).map_or(Item::Unknown, Item::Int))
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Unknown)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Unknown)
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn items_are_what_the_format_has() {
        assert_eq!(item("-3"), Item::Int(-3));
        assert_eq!(item("[1, -2]"), Item::Ints(vec![1, -2]));
        assert_eq!(item("[]"), Item::Ints(Vec::new()));
        assert_eq!(item("\"N\""), Item::Text("N".to_owned()));
        assert_eq!(item("{\"f32\": \"3f800000\"}"), Item::Bits("f32".to_owned(), "3f800000".to_owned()));
        assert_eq!(item("{\"f32\": 4}"), Item::Count("f32".to_owned(), 4));
        for strange in ["1.5", "true", "null", "{}", "[1, [2]]", "[1, true, {}]", "18446744073709551615"] {
            assert_eq!(item(strange), Item::Unknown, "{strange}");
        }
        assert_eq!(item("{\"f32\": 1, \"f64\": 2}"), Item::Unknown);
    }

    #[test]
    fn keys_stand_once() {
        let read = |text| serde_json::from_str::<Entries<i64>>(text).map(|Entries(entries)| entries);
        let entries = read("{\"b\": 1, \"a\": 2}").unwrap();
        assert_eq!(entries, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let error = read("{\"b\": 1, \"a\": 2, \"b\": 1}").unwrap_err().to_string();
        assert!(error.contains("the key \"b\" is given twice"), "{error}");
        assert!(serde_json::from_str::<Item>("{\"f32\": 1, \"f32\": 1}").is_err());
    }
}
