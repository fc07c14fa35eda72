//! JSON from a client as a tree that cannot become large: values are counted while it is built.
//!
//! A tree takes some hundred bytes for each value and its text for two bytes, so the size of a body says nothing about what
//! it costs. Nesting is bounded by the parser itself. Deliberately not here: sizes of bodies, which are bounded before
//! they are read, and payloads of functions, of which no tree is made.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Error, Map, Number, Value};
use std::fmt;

/// How much a document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Values and names of members, however deep.
    pub values: usize,
    /// Bytes of all texts together but for the longest one, which may be a package.
    pub text: usize,
}

impl Bounds {
    /// What a request of the control API may hold: far more than any of its shapes has room for.
    pub const REQUEST: Self = Self { values: 100_000, text: 1_048_576 };
}

/// Reads a document.
///
/// # Errors
/// It is not JSON, or holds more than it may; the message says what, with line and column.
pub fn parse(text: &[u8], bounds: Bounds) -> Result<Value, Error> {
    let mut spent = Spent { bounds, values: 0, text: 0, longest: 0 };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Tree(&mut spent).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Spent {
    bounds: Bounds,
    values: usize,
    text: usize,
    longest: usize,
}

impl Spent {
    fn one<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        match self.values > self.bounds.values {
            true => Err(E::custom(format!("more than {} values", self.bounds.values))),
            false => Ok(()),
        }
    }

    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        self.text += text.len();
        self.longest = self.longest.max(text.len());
        match self.text - self.longest > self.bounds.text {
            true => {
                Err(E::custom(format!("more than {} bytes of text beside the longest one", self.bounds.text)))
            }
            false => Ok(()),
        }
    }
}

/// The next value of a document.
struct Tree<'a>(&'a mut Spent);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.one()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.0.text(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Tree(self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.0.one::<A::Error>()?;
            self.0.text::<A::Error>(&name)?;
            object.insert(name, members.next_value_seed(Tree(self.0))?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Bounds = Bounds { values: 5, text: 10 };

    fn refused(text: &str) -> String {
        parse(text.as_bytes(), SMALL).expect_err(text).to_string()
    }

    #[test]
    fn values_are_counted_wherever_they_are() {
        for text in ["[0,0,0,0]", r#"{"a":1,"b":2}"#, "[[[[[]]]]]", r#"[{"a":[]},1]"#] {
            assert!(parse(text.as_bytes(), SMALL).is_ok(), "{text}");
        }
        for text in ["[0,0,0,0,0]", r#"{"a":1,"b":2,"c":3}"#, "[[[[[[]]]]]]", r#"[{"a":[]},1,2]"#] {
            assert!(refused(text).starts_with("more than 5 values"), "{text}");
        }
        // It ends where the bound is, not with the text: what follows is never looked at.
        assert!(refused("[0,0,0,0,0,0,0, and no JSON").starts_with("more than 5 values"));
    }

    #[test]
    fn all_texts_but_the_longest_are_counted() {
        let long = "x".repeat(1000);
        for text in [
            format!("{long:?}"),
            format!("[\"0123456789\",{long:?}]"),
            format!("{{\"0123456789\":{long:?}}}"),
        ] {
            assert!(parse(text.as_bytes(), SMALL).is_ok());
        }
        for text in [
            format!("[\"0123456789a\",{long:?}]"),
            format!("[{long:?},{long:?}]"),
            format!("{{{long:?}:{long:?}}}"),
        ] {
            assert!(refused(&text).starts_with("more than 10 bytes"));
        }
    }

    #[test]
    fn what_is_not_json_is_refused_in_the_parsers_words() {
        for text in ["", "[", "{\"a\"}", "nul", "1 2", "\"\u{1}\"", "[1e999]", &"[".repeat(200)] {
            let own = parse(text.as_bytes(), Bounds::REQUEST).expect_err(text).to_string();
            let plain = serde_json::from_slice::<Value>(text.as_bytes()).expect_err(text).to_string();
            assert_eq!(own, plain, "{text}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,4}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_fits_is_read_as_the_parser_reads_it(document in documents()) {
            let text = document.to_string();
            let plain: Value = serde_json::from_str(&text).expect("was written");
            prop_assert_eq!(parse(text.as_bytes(), Bounds::REQUEST).expect("fits"), plain);
        }
    }
}
