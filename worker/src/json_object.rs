//! JSON whose values stay the text they were.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The entries of an object in their order.
#[derive(Default)]
pub(crate) struct JsonObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> JsonObject<'a> {
    pub(crate) fn parse(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// The JSON of a value. Of a repeated name the last counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.get())
    }

    /// The only entry's value, if it has this name.
    pub(crate) fn only(&self, name: &str) -> Option<&'a str> {
        match self.0.as_slice() {
            [(key, value)] if key == name => Some(value.get()),
            _ => None,
        }
    }

    /// A value that is a string.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The object as JSON with this flag at its end, in place of any other entry of that name.
    pub(crate) fn with_flag(&self, name: &str, flag: bool) -> String {
        let mut object = String::from("{");
        for (key, value) in self.0.iter().filter(|(key, _)| key != name) {
            object.push_str(&entry(key, value));
            object.push(',');
        }
        object.push_str(&entry(name, flag));
        object.push('}');
        object
    }
}

/// Valid JSON without the white space between its values: one line, and otherwise as it was written.
pub(crate) fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&c| {
            if in_string {
                in_string = escaped || c != '"';
                escaped = c == '\\' && !escaped;
                return true;
            }
            in_string = c == '"';
            !matches!(c, ' ' | '\t' | '\n' | '\r')
        })
        .collect()
}

fn entry(key: &str, json: impl fmt::Display) -> String {
    format!("{}:{json}", serde_json::Value::from(key))
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = JsonObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(JsonObject(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_bytes_and_order() {
        let object = JsonObject::parse(r#" {"z":1.0, "a\n" : [ 1 ], "z":2} "#).unwrap();
        assert_eq!(object.get("z"), Some("2"));
        assert_eq!(object.get("a\n"), Some("[ 1 ]"));
        assert_eq!(object.with_flag("z", true), r#"{"a\n":[ 1 ],"z":true}"#);
    }

    #[test]
    fn compact_json_keeps_what_is_in_strings() {
        let json = "{ \"a b\" :\r\n[ 1.0 , \"x \\\" y\\\\\" ,\ttrue ] }";
        assert_eq!(compact(json), r#"{"a b":[1.0,"x \" y\\",true]}"#);
    }

    #[test]
    fn the_only_entry_is_told_from_one_of_several() {
        let only = |json| JsonObject::parse(json).unwrap().only("a");
        assert_eq!(only(r#"{"a": 1 }"#), Some("1"));
        for json in ["{}", r#"{"b":1}"#, r#"{"a":1,"b":2}"#] {
            assert_eq!(only(json), None, "{json}");
        }
    }

    #[test]
    fn takes_nothing_but_an_object() {
        for json in ["[]", "1", "null", "\"{}\"", "", "{} {}", "{\"a\":}"] {
            assert!(JsonObject::parse(json).is_err(), "{json}");
        }
    }
}
