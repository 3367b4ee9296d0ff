//! JSON whose values stay the text they were: numbers are not rounded, members keep their order.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// A JSON object of which only the top level is read: every member passes through byte for byte, in its place.
#[derive(Debug, Default)]
pub struct RawObject<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> RawObject<'a> {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// If the text is no JSON object.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The JSON of a member. Of a repeated name the last counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.get())
    }

    /// A member that is a string.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The JSON of the only member, if it has this name.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        match self.0.as_slice() {
            [(key, value)] if key == name => Some(value.get()),
            _ => None,
        }
    }

    /// Sets a member, in its place if it is there, else at the end. A value that cannot be written as JSON changes nothing.
    pub fn set(&mut self, name: &'static str, value: &impl Serialize) {
        let Ok(value) = serde_json::value::to_raw_value(value) else {
            return;
        };
        let place = self.0.iter().position(|(key, _)| key == name);
        self.0.retain(|(key, _)| key != name);
        let place = place.unwrap_or(self.0.len());
        self.0.insert(place, (name.into(), Cow::Owned(value)));
    }

    /// Sets a member of the object `_meta`, which is made if it is missing or no object.
    pub fn set_meta(&mut self, name: &'static str, value: &impl Serialize) {
        let old = self.get("_meta").unwrap_or_default().to_owned();
        let mut meta = RawObject::parse(&old).unwrap_or_default();
        meta.set(name, value);
        self.set("_meta", &meta);
    }
}

impl Serialize for RawObject<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, Cow::Borrowed(map.next_value::<&'de RawValue>()?)));
                }
                Ok(RawObject(members))
            }
        }

        from.deserialize_map(Members)
    }
}

/// A name that is borrowed from the text if it has no escapes; a bare `Cow` would always be copied.
#[derive(serde::Deserialize)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Valid JSON without the white space between its values: one line, and otherwise as it was written.
#[must_use]
pub fn compact(json: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_bytes_and_their_place() {
        let text = r#"{"z": 1.0,"a\n":[ 1,  2 ],"_meta":{"k":  "v"}}"#;
        let mut object = RawObject::parse(text).unwrap();
        assert_eq!(object.get("a\n"), Some("[ 1,  2 ]"));
        object.set_meta("m/x", &7);
        object.set("resultType", &"complete");
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"z":1.0,"a\n":[ 1,  2 ],"_meta":{"k":"v","m/x":7},"resultType":"complete"}"#
        );
    }

    #[test]
    fn of_a_repeated_name_the_last_counts_until_one_is_set() {
        let mut object = RawObject::parse(r#" {"z":1.0, "a" : 3, "z":2} "#).unwrap();
        assert_eq!(object.get("z"), Some("2"));
        object.set("z", &true);
        let written = serde_json::to_string(&object).unwrap();
        assert_eq!(written, r#"{"z":true,"a":3}"#);
    }

    #[test]
    fn a_meta_that_is_no_object_is_replaced() {
        let mut object = RawObject::parse(r#"{"_meta":3}"#).unwrap();
        object.set_meta("m/x", &true);
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"_meta":{"m/x":true}}"#
        );
    }

    #[test]
    fn the_only_member_is_told_from_one_of_several() {
        let is_only = |json| RawObject::parse(json).unwrap().only("a").is_some();
        assert!(is_only(r#"{"a": 1 }"#));
        for json in ["{}", r#"{"b":1}"#, r#"{"a":1,"b":2}"#] {
            assert!(!is_only(json), "{json}");
        }
    }

    #[test]
    fn nothing_but_an_object_is_taken() {
        for json in ["[]", "1", "null", "\"{}\"", "", "{} {}", "{\"a\":}"] {
            assert!(RawObject::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn compact_json_keeps_what_is_in_strings() {
        let json = "{ \"a b\" :\r\n[ 1.0 , \"x \\\" y\\\\\" ,\ttrue ] }";
        assert_eq!(compact(json), r#"{"a b":[1.0,"x \" y\\",true]}"#);
    }
}
