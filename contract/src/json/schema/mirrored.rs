//! Parameters whose values callers repeat in headers: `x-mcp-header` in a tool's input schema (2026-07-28, Streamable
//! HTTP, Custom Headers from Tool Parameters).

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The annotation.
const ANNOTATION: &str = "x-mcp-header";
/// What a parameter with the annotation may be.
const TYPES: [&str; 3] = ["string", "integer", "boolean"];
/// Keywords whose value is data, in which the annotation means nothing.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose value maps names to schemas.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// A parameter that a header repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The names of the properties that lead to it from the arguments' root.
    pub path: Vec<String>,
    /// The header.
    pub header: String,
}

impl Mirrored {
    /// The JSON of the parameter's value as the caller wrote it. `None` if it is absent or null.
    #[must_use]
    pub fn value<'a>(&self, arguments: &'a RawValue) -> Option<&'a str> {
        let mut names = self.path.iter();
        let found = names.try_fold(arguments, |value, name| {
            let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(name).copied()
        });
        found.map(RawValue::get).filter(|json| *json != "null")
    }
}

/// The mirrored parameters of an input schema; why it cannot be used if an annotation is not valid.
pub(crate) fn collect(schema: &Value) -> Result<Vec<Mirrored>, String> {
    let mut found = Vec::new();
    walk(schema, &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// Walks what is reached by chains of `properties` alone.
fn walk(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return Ok(());
    };
    if let Some(name) = keywords.get(ANNOTATION) {
        found.push(annotated(schema, name, path, found)?);
    }
    for (keyword, value) in keywords {
        match value.as_object().filter(|_| keyword == "properties") {
            Some(properties) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    walk(property, path, found)?;
                    path.pop();
                }
            }
            None => refuse_below(keyword, value)?,
        }
    }
    Ok(())
}

fn annotated(
    schema: &Value,
    name: &Value,
    path: &[String],
    earlier: &[Mirrored],
) -> Result<Mirrored, String> {
    let place = path.join(".");
    let fault = |reason: &str| Err(format!("{ANNOTATION} {name} of {place:?} {reason}"));
    let Some(text) = name.as_str().filter(|name| is_token(name)) else {
        return fault("is no header name");
    };
    let kind = schema.get("type").and_then(Value::as_str);
    if path.is_empty() || !kind.is_some_and(|kind| TYPES.contains(&kind)) {
        return fault("is not on a string, an integer or a boolean");
    }
    let header = format!("Mcp-Param-{text}");
    if earlier
        .iter()
        .any(|other| other.header.eq_ignore_ascii_case(&header))
    {
        return fault("is used twice");
    }
    Ok(Mirrored {
        path: path.to_vec(),
        header,
    })
}

/// Refuses an annotation in what other keywords hold.
fn refuse_below(keyword: &str, value: &Value) -> Result<(), String> {
    match value {
        _ if DATA.contains(&keyword) => Ok(()),
        Value::Array(items) => items.iter().try_for_each(|item| refuse_below("", item)),
        Value::Object(named) if NAMED.contains(&keyword) => named
            .values()
            .try_for_each(|schema| refuse_below("", schema)),
        Value::Object(keywords) if keywords.contains_key(ANNOTATION) => Err(format!(
            "{ANNOTATION} stands where more than properties lead to"
        )),
        Value::Object(keywords) => keywords
            .iter()
            .try_for_each(|(keyword, value)| refuse_below(keyword, value)),
        _ => Ok(()),
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_found_along_properties() {
        let schema = json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "outer": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
            "x-mcp-header": { "type": "string", "default": { "x-mcp-header": "data" } },
        } });
        let mut found = collect(&schema).unwrap();
        found.sort_by(|a, b| a.header.cmp(&b.header));
        let paths: Vec<String> = found.iter().map(|one| one.path.join("/")).collect();
        assert_eq!(paths, ["outer/n", "region"]);
        assert_eq!(found[1].header, "Mcp-Param-Region");
        let arguments = r#"{ "outer": { "n": 123456789012345678901 }, "region": null }"#;
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        assert_eq!(found[0].value(&arguments), Some("123456789012345678901"));
        assert_eq!(found[1].value(&arguments), None);
    }

    #[test]
    fn annotations_that_are_not_valid_refuse_the_schema() {
        let one = |property: Value| json!({ "properties": { "a": property } });
        for schema in [
            one(json!({ "type": "string", "x-mcp-header": "" })),
            one(json!({ "type": "string", "x-mcp-header": "A B" })),
            one(json!({ "type": "string", "x-mcp-header": "A\r\n" })),
            one(json!({ "type": "string", "x-mcp-header": 7 })),
            one(json!({ "type": "number", "x-mcp-header": "A" })),
            one(json!({ "x-mcp-header": "A" })),
            one(json!({ "type": "array", "items": { "type": "string", "x-mcp-header": "A" } })),
            json!({ "type": "object", "x-mcp-header": "A" }),
            json!({ "$defs": { "a": { "type": "string", "x-mcp-header": "A" } } }),
            json!({ "anyOf": [one(json!({ "type": "string", "x-mcp-header": "A" }))] }),
            json!({ "properties": {
                "a": { "type": "string", "x-mcp-header": "A" }, "b": { "type": "string", "x-mcp-header": "a" },
            } }),
        ] {
            assert!(collect(&schema).is_err(), "{schema}");
        }
    }
}
