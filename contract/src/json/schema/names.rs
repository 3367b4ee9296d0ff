//! Objects that have a name twice. Readers differ in which of the two they take, so what one of them checked is not what
//! another works on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::place::Place;
use crate::text::quoted;

/// As many names are compared one by one; more are looked up.
const FEW: usize = 8;

/// An object has a name twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object{} has the name {name} twice", at(place))]
pub struct DuplicateName {
    /// The name, quoted and cut.
    name: String,
    /// The object that has it.
    place: String,
}

fn at(place: &str) -> String {
    if place.is_empty() {
        String::new()
    } else {
        format!(" at {place}")
    }
}

/// Refuses a JSON text in which an object, however deep, has a name twice. A text that is no JSON passes: whoever reads it
/// afterwards says so.
///
/// # Errors
///
/// The first such name, and where it is.
pub fn unique_names(json: &str) -> Result<(), DuplicateName> {
    let found = RefCell::new(None);
    let walk = Walk {
        at: &At::Root,
        found: &found,
    };
    // Whatever else is wrong ends the walk too.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(json));
    found.into_inner().map_or(Ok(()), Err)
}

/// The way from the root, which becomes text only if a message needs it.
enum At<'a> {
    Root,
    Name(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl At<'_> {
    fn place(&self) -> Place {
        match self {
            Self::Root => Place::default(),
            Self::Name(outer, name) => {
                let mut place = outer.place();
                place.name(name);
                place
            }
            Self::Index(outer, index) => {
                let mut place = outer.place();
                place.index(*index);
                place
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    at: &'a At<'a>,
    found: &'a RefCell<Option<DuplicateName>>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let at = At::Index(self.at, index);
            let item = Walk { at: &at, ..self };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut few: Vec<Name<'de>> = Vec::new();
        let mut many: HashSet<Name<'de>> = HashSet::new();
        while let Some(name) = members.next_key::<Name<'de>>()? {
            if few.contains(&name) || many.contains(&name) {
                *self.found.borrow_mut() = Some(DuplicateName {
                    name: quoted(&name.0),
                    place: self.at.place().shown(),
                });
                return Err(A::Error::custom("a name is there twice"));
            }
            let at = At::Name(self.at, &name.0);
            members.next_value_seed(Walk { at: &at, ..self })?;
            if few.len() < FEW {
                few.push(name);
            } else {
                many.insert(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_reported_with_its_place() {
        for (json, told) in [
            (r#"{"a":1,"a":2}"#, r#"the object has the name "a" twice"#),
            (
                r#"{"a":[0,{"b/c":{"\u0078":1,"x":2}}]}"#,
                r#"the object at /a/1/b~1c has the name "x" twice"#,
            ),
            (
                r#"[{"a":1},{"a":1,"b":{"a":1},"a":{}}]"#,
                r#"the object at /1 has the name "a" twice"#,
            ),
        ] {
            assert_eq!(unique_names(json).unwrap_err().to_string(), told);
        }
        let members: Vec<String> = (0..100).map(|i| format!("\"n{i}\":{i}")).collect();
        let wide = |last: &str| format!("{{{},{last}}}", members.join(","));
        assert_eq!(unique_names(&wide("\"n100\":0")), Ok(()));
        for twice in ["n0", "n99"] {
            let told = unique_names(&wide(&format!("\"{twice}\":0"))).unwrap_err();
            assert!(told.to_string().contains(twice), "{told}");
        }
    }

    #[test]
    fn the_same_name_in_different_objects_and_other_texts_pass() {
        for json in [
            r#"{"a":{"a":[{"a":1},{"a":1.5e3}]},"A":null,"b":"\"a\":","c":true,"d":-1}"#,
            r#"{"a":123456789012345678901234567890}"#,
            "7",
            "{\"a\":1,",
            "nonsense",
        ] {
            assert_eq!(unique_names(json), Ok(()), "{json}");
        }
    }

    #[test]
    fn a_reported_fault_is_short() {
        let long = "\u{1}".repeat(1 << 20);
        let name = serde_json::to_string(&long).unwrap();
        let json = format!("{{{name}:{{{name}:1,{name}:2}}}}");
        assert!(unique_names(&json).unwrap_err().to_string().len() < 1_000);
    }
}
