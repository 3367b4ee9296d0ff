//! Finds the first fault of a value that does not fit: down one way, from schema and value as wholes to the keyword that
//! refuses, deciding at each step by whether parts of the value fit parts of the schema.

mod in_place;
mod inside;

use serde_json::{Map, Value};

use super::place::Place;
use super::{Fault, LONGEST_REASON, Schema};
use crate::text::cut;

/// How many values may be checked on the way; one counts once for each part of the schema that it is held to.
const MOST_LOOKS: usize = 3_000_000;
/// How many steps the way may have. Values nest less deep than half of that, so only references make it so long.
const MOST_STEPS: usize = 512;

/// Keywords that check the value itself, not what it holds.
const PLAIN: [&str; 21] = [
    "type",
    "enum",
    "const",
    "required",
    "dependentRequired",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "format",
    "contentEncoding",
    "contentMediaType",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
];
/// Keywords of which a fault names only the keyword.
const OTHERS: [&str; 7] = [
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "contains",
    "dependencies",
];

/// What a step found.
enum Found<'a> {
    /// What is wrong here.
    Fault(String),
    /// It is wrong further down: a subschema, and what it is applied to.
    Deeper(Spot<'a>),
}

/// A subschema and the value that does not fit it.
#[derive(Clone)]
struct Spot<'a> {
    /// Where the subschema is, as a URI fragment.
    pointer: String,
    schema: &'a Value,
    value: &'a Value,
    place: Place,
}

impl<'a> Spot<'a> {
    /// A subschema for the same value.
    fn part(&self, tail: &str, schema: &'a Value) -> Self {
        Self {
            pointer: format!("{}/{tail}", self.pointer),
            schema,
            ..self.clone()
        }
    }

    /// A subschema for a member.
    fn member(&self, tail: &str, schema: &'a Value, (name, value): (&str, &'a Value)) -> Self {
        let mut part = self.part(tail, schema);
        part.place.name(name);
        Self { value, ..part }
    }

    /// A subschema for an item.
    fn item(&self, tail: &str, schema: &'a Value, (index, value): (usize, &'a Value)) -> Self {
        let mut part = self.part(tail, schema);
        part.place.index(index);
        Self { value, ..part }
    }
}

/// The work is used up, or a part cannot be applied on its own.
struct Unknown;

type Step<'a> = Result<Option<Found<'a>>, Unknown>;

struct Walk<'a> {
    schema: &'a Schema,
    checks_left: usize,
}

/// What is wrong with a value that does not fit.
pub(super) fn explain(schema: &Schema, value: &Value) -> Fault {
    let mut walk = Walk {
        schema,
        checks_left: MOST_LOOKS,
    };
    let mut spot = Spot {
        pointer: String::new(),
        schema: &schema.root,
        value,
        place: Place::default(),
    };
    for _ in 0..MOST_STEPS {
        let text = match walk.step(&spot) {
            Ok(Some(Found::Deeper(next))) => {
                spot = next;
                continue;
            }
            Ok(Some(Found::Fault(text))) => text,
            Ok(None) => rest(spot.schema),
            Err(Unknown) => "something in it does not fit the schema".to_owned(),
        };
        return Fault {
            place: spot.place.shown(),
            text: cut(&text, LONGEST_REASON).into_owned(),
        };
    }
    Fault {
        place: spot.place.shown(),
        text: "it does not fit the schema".to_owned(),
    }
}

/// What is said when no keyword that can be asked on its own refuses the value.
fn rest(schema: &Value) -> String {
    let has = |keyword: &&&str| schema.get(**keyword).is_some();
    let left: Vec<&str> = OTHERS.iter().filter(has).copied().collect();
    if left.is_empty() {
        return "it does not fit the schema".to_owned();
    }
    format!(
        "it does not fit what the schema says by {}",
        left.join(", ")
    )
}

impl<'a> Walk<'a> {
    fn step(&mut self, spot: &Spot<'a>) -> Step<'a> {
        let Some(keywords) = spot.schema.as_object() else {
            return Ok(Some(Found::Fault("nothing is allowed here".to_owned())));
        };
        if let Some(target) = self.referred(spot, keywords)
            && !self.fits(&target)?
        {
            return Ok(Some(Found::Deeper(target)));
        }
        if let Some(text) = self.plain(spot, keywords)? {
            return Ok(Some(Found::Fault(text)));
        }
        let inside = match spot.value {
            Value::Object(members) => self.members(spot, keywords, members)?,
            Value::Array(items) => self.items(spot, keywords, items)?,
            _ => None,
        };
        match inside {
            Some(found) => Ok(Some(found)),
            None => self.in_place(spot, keywords),
        }
    }

    /// Whether a value fits a part of the schema.
    fn fits(&mut self, spot: &Spot<'_>) -> Result<bool, Unknown> {
        if let Some(plain) = spot.schema.as_bool() {
            return Ok(plain);
        }
        self.spend_on(spot.value)?;
        let part = self
            .schema
            .part(&spot.pointer, spot.schema)
            .ok_or(Unknown)?;
        Ok(part.is_valid(spot.value))
    }

    /// The first of some parts that its value does not fit.
    fn first_unfit(
        &mut self,
        parts: impl Iterator<Item = Spot<'a>>,
    ) -> Result<Option<Found<'a>>, Unknown> {
        for part in parts {
            if !self.fits(&part)? {
                return Ok(Some(Found::Deeper(part)));
            }
        }
        Ok(None)
    }

    /// The first of many values that does not fit one part.
    fn first_value<K>(
        &mut self,
        part: &Spot<'a>,
        mut values: impl Iterator<Item = (K, &'a Value)>,
    ) -> Result<Option<(K, &'a Value)>, Unknown> {
        if let Some(plain) = part.schema.as_bool() {
            return Ok(values.next().filter(|_| !plain));
        }
        let validator = self.schema.part(&part.pointer, part.schema);
        let validator = validator.ok_or(Unknown)?;
        for (key, value) in values {
            self.spend_on(value)?;
            if !validator.is_valid(value) {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// Spends the work of checking a whole value.
    fn spend_on(&mut self, value: &Value) -> Result<(), Unknown> {
        self.checks_left = self.checks_left.checked_sub(1).ok_or(Unknown)?;
        match value {
            Value::Object(members) => members.values().try_for_each(|value| self.spend_on(value)),
            Value::Array(items) => items.iter().try_for_each(|value| self.spend_on(value)),
            Value::String(text) => {
                let more = text.len() >> 6;
                self.checks_left = self.checks_left.checked_sub(more).ok_or(Unknown)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Where a reference inside this schema leads. `None` if there is none, or it is written in another way than as a
    /// pointer from the root.
    fn referred(&self, spot: &Spot<'a>, keywords: &'a Map<String, Value>) -> Option<Spot<'a>> {
        let pointer = keywords.get("$ref")?.as_str()?.strip_prefix('#')?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return None;
        }
        let schema = resolve(&self.schema.root, pointer)?;
        Some(Spot {
            pointer: pointer.to_owned(),
            schema,
            ..spot.clone()
        })
    }

    /// What of the value itself is wrong.
    fn plain(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
    ) -> Result<Option<String>, Unknown> {
        let is_plain = |(name, _): &(&String, &Value)| PLAIN.contains(&name.as_str());
        if !keywords.iter().any(|member| is_plain(&member)) {
            return Ok(None);
        }
        let make = || {
            let plain = keywords.iter().filter(is_plain);
            Value::Object(plain.map(|(k, v)| (k.clone(), v.clone())).collect())
        };
        let own = (spot.pointer.as_str(), "plain");
        let part = self.schema.own_part(own, make).ok_or(Unknown)?;
        Ok(part.validate(spot.value).err().map(|error| {
            // No keyword among these has its value's text in the message, once that is masked.
            error.masked_with("the value").to_string()
        }))
    }
}

/// What a pointer, as a URI fragment writes it, leads to.
fn resolve<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    root.pointer(std::str::from_utf8(&bytes).ok()?)
}
