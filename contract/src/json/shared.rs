//! A JSON text that many hold. What a job ended with may be large, and goes to whoever asks: it is read and checked once, and
//! never copied.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::raw::Name;

/// The member of an object that may itself have members set.
const META: &str = "_meta";
/// The members whose places are noted: those that front ends set in a result, and in its `_meta`.
const NOTED: [&str; 4] = [
    META,
    "resultType",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/related-task",
];

/// A JSON text; clones share it.
#[derive(Clone)]
pub struct SharedJson(Arc<Held>);

struct Held {
    text: String,
    form: OnceLock<Form>,
    _with: Option<Box<dyn Any + Send + Sync>>,
}

/// What the text is.
enum Form {
    NoJson,
    Value,
    Object(Places),
}

/// Where an object has what.
#[derive(Debug, Default)]
struct Places {
    /// Where it ends: its closing brace.
    end: usize,
    is_empty: bool,
    /// The values of noted members.
    noted: Vec<(&'static str, Range<usize>)>,
    /// A noted member is there twice.
    is_ambiguous: bool,
    /// Inside the value of [`META`], if that is an object.
    meta: Option<Box<Places>>,
}

/// A member to be set: its name and its JSON.
pub type Member<'a> = (&'static str, &'a str);

/// A part of a text in which members were set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What was there.
    Kept(Range<usize>),
    /// What was written into it.
    New(String),
}

impl SharedJson {
    /// A text, and something that is dropped with the last who holds the text.
    pub fn with(text: String, with: impl Any + Send + Sync) -> Self {
        Self::new(text, Some(Box::new(with)))
    }

    fn new(text: String, with: Option<Box<dyn Any + Send + Sync>>) -> Self {
        Self(Arc::new(Held {
            text,
            form: OnceLock::new(),
            _with: with,
        }))
    }

    /// Whether others hold it, too.
    #[must_use]
    pub fn is_held_by_others(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether it is JSON. All of it is read to say so, the first time.
    #[must_use]
    pub fn is_json(&self) -> bool {
        !matches!(self.form(), Form::NoJson)
    }

    /// Whether it is an object with a member of this name, which is one of those that are noted.
    #[must_use]
    pub fn has_member(&self, name: &str) -> bool {
        matches!(self.form(), Form::Object(places) if places.value_of(name).is_some())
    }

    /// The object with these members set, and these in its member `_meta`: each in its place if it is there, else at the end.
    /// `None` if the text is no object, or has one of them twice.
    #[must_use]
    pub fn with_members(&self, set: &[Member<'_>], in_meta: &[Member<'_>]) -> Option<Vec<Part>> {
        let Form::Object(places) = self.form() else {
            return None;
        };
        let meta = places.meta.as_deref();
        if places.is_ambiguous || meta.is_some_and(|meta| meta.is_ambiguous) {
            return None;
        }
        let mut edits = Vec::new();
        let new_meta = object_of(in_meta);
        let mut set = set.to_vec();
        match meta {
            _ if in_meta.is_empty() => {}
            Some(meta) => meta.set(in_meta, &mut edits),
            None => set.push((META, &new_meta)),
        }
        places.set(&set, &mut edits);
        edits.sort_by_key(|(at, _)| at.start);
        let (mut parts, mut kept_from) = (Vec::new(), 0);
        for (at, new) in edits {
            parts.push(Part::Kept(kept_from..at.start));
            parts.push(Part::New(new));
            kept_from = at.end;
        }
        parts.push(Part::Kept(kept_from..self.len()));
        Some(parts)
    }

    fn form(&self) -> &Form {
        let text = &self.0.text;
        self.0.form.get_or_init(|| {
            let is_object = text.trim_start().starts_with('{');
            if !is_object {
                let read = serde_json::from_str::<&RawValue>(text);
                return read.map_or(Form::NoJson, |_value| Form::Value);
            }
            Places::of(text, 0).map_or(Form::NoJson, Form::Object)
        })
    }
}

impl Places {
    /// Those of an object that stands at `offset`.
    fn of(object: &str, offset: usize) -> Option<Self> {
        let Members(members) = serde_json::from_str(object).ok()?;
        let end = object.trim_end().len().checked_sub(1)?;
        let mut places = Self {
            end: offset + end,
            is_empty: members.is_empty,
            is_ambiguous: members.is_ambiguous,
            ..Self::default()
        };
        for (name, value) in members.noted {
            let value = value.get();
            let begin = offset + place_of(object, value)?;
            if name == META && value.starts_with('{') {
                places.meta = Self::of(value, begin).map(Box::new);
            }
            places.noted.push((name, begin..begin + value.len()));
        }
        Some(places)
    }

    fn value_of(&self, name: &str) -> Option<&Range<usize>> {
        let mut noted = self.noted.iter();
        noted.find_map(|(noted, value)| (*noted == name).then_some(value))
    }

    /// Adds what is to be written where, so that these members are set.
    fn set(&self, members: &[Member<'_>], edits: &mut Vec<(Range<usize>, String)>) {
        let mut added = Vec::new();
        for (name, json) in members {
            match self.value_of(name) {
                Some(value) => edits.push((value.clone(), (*json).to_owned())),
                None => added.push((*name, *json)),
            }
        }
        if !added.is_empty() {
            let comma = if self.is_empty { "" } else { "," };
            let added = format!("{comma}{}", joined(&added));
            edits.push((self.end..self.end, added));
        }
    }
}

fn joined(members: &[Member<'_>]) -> String {
    let members = members
        .iter()
        .map(|(name, json)| format!("\"{name}\":{json}"));
    members.collect::<Vec<_>>().join(",")
}

fn object_of(members: &[Member<'_>]) -> String {
    format!("{{{}}}", joined(members))
}

/// Where in `whole` a part of it begins.
fn place_of(whole: &str, part: &str) -> Option<usize> {
    let place = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (place + part.len() <= whole.len()).then_some(place)
}

/// What is noted of an object's members.
#[derive(Default)]
struct Members<'a>(NotedMembers<'a>);

#[derive(Default)]
struct NotedMembers<'a> {
    is_empty: bool,
    is_ambiguous: bool,
    noted: Vec<(&'static str, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = NotedMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = NotedMembers {
                    is_empty: true,
                    ..NotedMembers::default()
                };
                while let Some(Name(name)) = map.next_key()? {
                    members.is_empty = false;
                    let name: Cow<'_, str> = name;
                    let value = map.next_value::<&'de RawValue>()?;
                    if let Some(noted) = NOTED.into_iter().find(|noted| *noted == name) {
                        let known = members.noted.iter().any(|(known, _)| *known == noted);
                        members.is_ambiguous |= known;
                        if !known {
                            members.noted.push((noted, value));
                        }
                    }
                }
                Ok(members)
            }
        }

        from.deserialize_map(All).map(Self)
    }
}

impl From<String> for SharedJson {
    fn from(text: String) -> Self {
        Self::new(text, None)
    }
}

impl From<&str> for SharedJson {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Deref for SharedJson {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for SharedJson {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedJson {}

impl fmt::Debug for SharedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedJson").field(&&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    const TYPE: Member<'_> = ("resultType", "\"complete\"");
    const TASK: Member<'_> = ("io.modelcontextprotocol/related-task", "{\"taskId\":\"t\"}");

    fn written(text: &str, set: &[Member<'_>], in_meta: &[Member<'_>]) -> Option<String> {
        let json = SharedJson::from(text);
        let parts = json.with_members(set, in_meta)?;
        let parts = parts.into_iter().map(|part| match part {
            Part::Kept(range) => json[range].to_owned(),
            Part::New(text) => text,
        });
        Some(parts.collect())
    }

    #[test]
    fn members_are_set_in_their_place_or_at_the_end_and_the_rest_keeps_its_bytes() {
        let related = r#""io.modelcontextprotocol/related-task":{"taskId":"t"}"#;
        for (text, wanted) in [
            ("{}", r#"{"resultType":"complete","_meta":{R}}"#),
            (
                r#" { "a" : [ 1.0 ] } "#,
                r#" { "a" : [ 1.0 ] ,"resultType":"complete","_meta":{R}} "#,
            ),
            (
                r#"{"_meta": { } ,"a":1}"#,
                r#"{"_meta": { R} ,"a":1,"resultType":"complete"}"#,
            ),
            (
                r#"{"\u005fmeta":{"k":  "}"},"resultType":7}"#,
                r#"{"\u005fmeta":{"k":  "}",R},"resultType":"complete"}"#,
            ),
            (
                r#"{"_meta":{"io.modelcontextprotocol/related-task":0},"resultType":7}"#,
                r#"{"_meta":{R},"resultType":"complete"}"#,
            ),
            (
                r#"{"_meta":[{}],"z":{"_meta":{}}}"#,
                r#"{"_meta":{R},"z":{"_meta":{}},"resultType":"complete"}"#,
            ),
        ] {
            let wanted = wanted.replace('R', related);
            assert_eq!(written(text, &[TYPE], &[TASK]).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_or_ambiguous_is_not_written_into() {
        for text in [
            "",
            "{",
            "{}x",
            "[]",
            "7",
            r#"{"_meta":{},"_meta":{}}"#,
            r#"{"resultType":1,"resultType":1}"#,
            r#"{"_meta":{"io.modelcontextprotocol/related-task":0,"io.modelcontextprotocol/related-task":0}}"#,
        ] {
            assert_eq!(written(text, &[TYPE], &[TASK]), None, "{text}");
        }
        assert_eq!(
            written(r#"{"a":1,"a":2}"#, &[], &[]).unwrap(),
            r#"{"a":1,"a":2}"#
        );
        let is_json = |text: &str| SharedJson::from(text).is_json();
        assert!(is_json("[]") && is_json(" {} ") && !is_json("[") && !is_json("{} {}"));
    }

    #[test]
    fn what_is_held_with_a_text_is_dropped_with_its_last_holder() {
        let with = Arc::new(());
        let held: Weak<()> = Arc::downgrade(&with);
        let text = SharedJson::with("{}".to_owned(), with);
        assert!(!text.is_held_by_others());
        let other = text.clone();
        assert!(text.is_held_by_others());
        drop(text);
        assert!(held.upgrade().is_some());
        drop(other);
        assert!(held.upgrade().is_none());
    }
}
