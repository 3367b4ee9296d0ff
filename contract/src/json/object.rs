//! JSON objects that are read into structs. Serde also reads an array into a struct, its items as the fields in their order,
//! which no caller means; and its errors speak of Rust's types.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What is read from a JSON object, and from nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        from.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads a field that is an object, or null.
pub(crate) fn optional_object<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let read = Option::<Object<T>>::deserialize(from)?;
    Ok(read.map(|Object(value)| value))
}

/// Reads a field that is an object.
pub(crate) fn object<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Object::deserialize(from).map(|Object(value)| value)
}

/// Reads a field that is an array of objects.
pub(crate) fn objects<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(from)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// Says what does not fit in the words of JSON.
#[must_use]
pub fn misfit(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = match text.split_once(", expected ") {
        None => text,
        Some((found, rest)) => {
            let found = found
                .replace("invalid type: map", "invalid type: object")
                .replace("invalid type: sequence", "invalid type: array");
            let (expected, place) = match rest.rsplit_once(" at line ") {
                Some((expected, place)) => (expected, format!(" at line {place}")),
                None => (rest, String::new()),
            };
            format!("{found}, expected {}{place}", in_json(expected))
        }
    };
    shortened(text)
}

/// What serde expects, as JSON calls it.
fn in_json(expected: &str) -> &str {
    match expected.split(' ').next() {
        Some("f32" | "f64") => "a number",
        Some("i8" | "i16" | "i32" | "i64" | "i128" | "isize") => "an integer",
        Some("u8" | "u16" | "u32" | "u64" | "u128" | "usize") => "an integer, 0 or more",
        Some("struct") => "an object",
        Some("enum") => "one of its values",
        Some("tuple") => "an array",
        Some("unit") => "null",
        _ if expected.starts_with("a tuple") => "an array",
        _ if expected == "a map" => "an object",
        _ if expected == "a sequence" => "an array",
        _ => expected,
    }
}

/// The beginning and the end of a text that quotes something long.
fn shortened(text: String) -> String {
    const KEPT: usize = 150;
    if text.len() <= 3 * KEPT {
        return text;
    }
    let head = text.floor_char_boundary(KEPT);
    let tail = text.ceil_char_boundary(text.len() - KEPT);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    format!("{} … {}", part(0..head), part(tail..text.len()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wish<'a> {
        #[serde(borrow)]
        name: &'a str,
        #[serde(default)]
        ttl: Option<f64>,
    }

    #[test]
    fn an_object_is_read_and_an_array_is_not() {
        let read = |json| serde_json::from_str::<Object<Wish<'_>>>(json);
        let Object(wish) = read(r#"{"ttl":1.5,"name":"a"}"#).unwrap();
        assert_eq!(
            wish,
            Wish {
                name: "a",
                ttl: Some(1.5)
            }
        );
        for json in [r#"["a",1.5]"#, r#"["a"]"#, "[]"] {
            assert!(serde_json::from_str::<Wish<'_>>(json).is_ok() || json == "[]");
            let told = misfit(&read(json).unwrap_err());
            assert!(
                told.starts_with("invalid type: array, expected an object"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_said_without_types_of_rust() {
        fn told<'a, T: Deserialize<'a> + fmt::Debug>(json: &'a str) -> String {
            misfit(&serde_json::from_str::<T>(json).unwrap_err())
        }
        let number = told::<Wish<'_>>(r#"{"name":"a","ttl":"x"}"#);
        assert!(
            number.contains(r#"string "x", expected a number at line 1"#),
            "{number}"
        );
        assert!(told::<Wish<'_>>("7").contains("integer `7`, expected an object"));
        assert!(told::<u64>("-1").contains("expected an integer, 0 or more"));
        assert!(told::<Vec<u8>>("{}").contains("object, expected an array"));
        assert!(
            told::<std::collections::HashMap<String, u8>>("[]")
                .contains("array, expected an object")
        );
        assert!(told::<(u8, u8)>("{}").contains("object, expected an array"));
        let long = format!("{:?}", "ä".repeat(10_000));
        let told = told::<u64>(&long);
        assert!(
            told.len() < 400 && told.contains("expected an integer"),
            "{told}"
        );
    }
}
