//! A JSON object as its fields in file order, with its list of samples read straight into numbers:
//! published files hold millions of these.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The fields of one object.
#[derive(Debug, Default)]
pub struct Fields {
    pub fields: Vec<(String, Value)>,
    /// The numbers of the list that the reader named; other elements of it are left out.
    pub samples: Vec<f64>,
}

impl Fields {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

/// Reads [`Fields`]; the named list goes to `samples`.
#[derive(Clone, Copy)]
pub struct FieldsOf(pub &'static str);

impl<'de> DeserializeSeed<'de> for FieldsOf {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsOf {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut out = Fields::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                out.samples = map.next_value::<Samples>()?.0;
            } else {
                out.fields.push((key, map.next_value()?));
            }
        }
        Ok(out)
    }
}

/// A list's numbers, whatever else is there.
struct Samples(Vec<f64>);

impl<'de> serde::Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Lenient {
            Numbers(Vec<f64>),
            Other(Value),
        }
        Ok(Samples(match Lenient::deserialize(deserializer)? {
            Lenient::Numbers(numbers) => numbers,
            Lenient::Other(Value::Array(items)) => items.iter().filter_map(Value::as_f64).collect(),
            Lenient::Other(_) => Vec::new(),
        }))
    }
}
