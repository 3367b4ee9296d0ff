//! JSON objects of which only the top level is touched: every member passes through byte for byte, in its place.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// An object whose members are raw JSON.
#[derive(Debug, Default)]
pub(crate) struct RawObject<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> RawObject<'a> {
    /// Reads an object.
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// A member.
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    /// Sets a member, in its place if it is there, else at the end.
    pub(crate) fn set(&mut self, name: &'static str, value: &impl Serialize) {
        let Ok(value) = serde_json::value::to_raw_value(value) else {
            return;
        };
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = Cow::Owned(value),
            None => self.0.push((name.into(), Cow::Owned(value))),
        }
    }

    /// Sets a member of the object `_meta`, which is made if it is missing or no object.
    pub(crate) fn set_meta(&mut self, name: &'static str, value: &impl Serialize) {
        let old = self
            .get("_meta")
            .map(|meta| meta.get().to_owned())
            .unwrap_or_default();
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
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    members.push((name, Cow::Borrowed(map.next_value::<&'de RawValue>()?)));
                }
                Ok(RawObject(members))
            }
        }

        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_bytes_and_their_place() {
        let text = r#"{"z": 1.0,"a":[ 1,  2 ],"_meta":{"k":  "v"}}"#;
        let mut object = RawObject::parse(text).unwrap();
        object.set_meta("m/x", &7);
        object.set("resultType", &"complete");
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"z":1.0,"a":[ 1,  2 ],"_meta":{"k":"v","m/x":7},"resultType":"complete"}"#
        );
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
}
