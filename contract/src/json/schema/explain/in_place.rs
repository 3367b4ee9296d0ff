//! Keywords that hold other schemas against the same value.

use serde_json::{Map, Value};

use super::{Found, Spot, Step, Walk};
use crate::json::schema::place::fragment;

impl<'a> Walk<'a> {
    /// What keywords say that hold other schemas against the same value.
    pub(super) fn in_place(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
    ) -> Step<'a> {
        let all = branches(spot, keywords, "allOf");
        if let Some(found) = self.first_unfit(all.into_iter())? {
            return Ok(Some(found));
        }
        if let Some(found) = self.dependent(spot, keywords)? {
            return Ok(Some(found));
        }
        if let Some(condition) = keywords.get("if") {
            let holds = self.fits(&spot.part("if", condition))?;
            let word = if holds { "then" } else { "else" };
            let wanted = keywords.get(word).map(|schema| spot.part(word, schema));
            if let Some(found) = self.first_unfit(wanted.into_iter())? {
                return Ok(Some(found));
            }
        }
        self.alternatives(spot, keywords)
    }

    /// What `dependentSchemas`, or `dependencies` of old, demands because of a member that is there.
    fn dependent(&mut self, spot: &Spot<'a>, keywords: &'a Map<String, Value>) -> Step<'a> {
        for word in ["dependentSchemas", "dependencies"] {
            let schemas = keywords.get(word).and_then(Value::as_object);
            let demanded = schemas.into_iter().flatten().filter(|(name, schema)| {
                spot.value.get(name.as_str()).is_some() && !schema.is_array()
            });
            let demanded = demanded
                .map(|(name, schema)| spot.part(&format!("{word}/{}", fragment(name)), schema));
            if let Some(found) = self.first_unfit(demanded)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What `anyOf`, `oneOf` and `not` refuse. Nobody knows which alternative was meant, so their faults are not searched
    /// for, unless all but one are for other types.
    fn alternatives(&mut self, spot: &Spot<'a>, keywords: &'a Map<String, Value>) -> Step<'a> {
        for word in ["anyOf", "oneOf"] {
            let branches = branches(spot, keywords, word);
            if branches.is_empty() {
                continue;
            }
            let (mut fitting, mut of_type) = (0, Vec::new());
            for branch in &branches {
                fitting += usize::from(self.fits(branch)?);
                of_type.extend(self.takes_type(branch).then_some(branch));
            }
            let text = match (fitting, of_type.as_slice()) {
                (0, [meant]) => return Ok(Some(Found::Deeper((*meant).clone()))),
                (0, _) => format!(
                    "the value fits none of the {} alternatives of {word}",
                    branches.len()
                ),
                (1, _) => continue,
                _ if word == "oneOf" => {
                    "the value fits more than one of the alternatives of oneOf".to_owned()
                }
                _ => continue,
            };
            return Ok(Some(Found::Fault(text)));
        }
        if let Some(schema) = keywords.get("not")
            && self.fits(&spot.part("not", schema))?
        {
            let text = "the value is what the schema excludes by not".to_owned();
            return Ok(Some(Found::Fault(text)));
        }
        Ok(None)
    }

    /// Whether a subschema is for values of this type, as far as it says so itself or by one reference.
    fn takes_type(&self, spot: &Spot<'a>) -> bool {
        let target = spot
            .schema
            .as_object()
            .and_then(|keywords| self.referred(spot, keywords));
        let schema = target.map_or(spot.schema, |target| target.schema);
        let is = |kind: &Value| {
            kind.as_str().is_some_and(|kind| match spot.value {
                Value::Null => kind == "null",
                Value::Bool(_) => kind == "boolean",
                Value::Number(_) => kind == "number" || kind == "integer",
                Value::String(_) => kind == "string",
                Value::Array(_) => kind == "array",
                Value::Object(_) => kind == "object",
            })
        };
        match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().any(is),
            Some(kind) => is(kind),
            None => schema.as_bool() != Some(false),
        }
    }
}

/// The subschemas of a keyword that has a list of them.
fn branches<'a>(spot: &Spot<'a>, keywords: &'a Map<String, Value>, word: &str) -> Vec<Spot<'a>> {
    let list = keywords.get(word).and_then(Value::as_array);
    let numbered = list.into_iter().flatten().enumerate();
    numbered
        .map(|(i, schema)| spot.part(&format!("{word}/{i}"), schema))
        .collect()
}
