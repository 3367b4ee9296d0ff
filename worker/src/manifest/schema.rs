//! JSON in a manifest: schemas and annotations.

use serde_json::value::RawValue;
use taskferry_contract::{PART_DEPTH, check_readable};
use toml::Value;

use super::near::hint;
use super::table::TableReader;

/// Words of a tool that mean nothing at the root of a schema. In TOML, what
/// stands below `[tool.input_schema]` belongs to it.
const MISPLACED: [&str; 8] = [
    "asks",
    "command",
    "queue",
    "timeout",
    "attempts",
    "output",
    "output_schema",
    "input_schema",
];

const ANNOTATIONS: [&str; 5] = [
    "title",
    "readOnlyHint",
    "destructiveHint",
    "idempotentHint",
    "openWorldHint",
];

const CAPABILITIES: [&str; 5] = [
    "elicitation",
    "experimental",
    "extensions",
    "roots",
    "sampling",
];

/// A JSON object with what it was read from.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) raw: Box<RawValue>,
    pub(super) value: serde_json::Value,
}

impl Document {
    pub(super) fn parse(json: String) -> Result<Self, String> {
        check_readable(&json, PART_DEPTH)
            .map_err(|error| format!("cannot be read by every client: {error}"))?;
        let value: serde_json::Value =
            serde_json::from_str(&json).map_err(|error| format!("is not valid JSON: {error}"))?;
        if !value.is_object() {
            return Err("must be a JSON object".to_owned());
        }
        let raw = RawValue::from_string(json).map_err(|error| error.to_string())?;
        Ok(Self { raw, value })
    }
}

/// Reads a schema whose root has the type `object`.
pub(super) fn read_schema(reader: &mut TableReader<'_, '_>, key: &'static str) -> Option<Document> {
    if let Some(table) = reader.value(key).and_then(Value::as_table) {
        for word in MISPLACED
            .into_iter()
            .filter(|word| table.contains_key(*word))
        {
            reader.problem(
                &format!("{key}.{word}"),
                format!("`{word}` stands below [tool.{key}] and so belongs to the schema: move it above that line"),
            );
        }
    }
    let object = read_object(reader, key)?;
    if object.value.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        reader.problem(key, "must have type = \"object\" at its root");
        return None;
    }
    Some(object)
}

/// Reads the annotations of MCP. Names that MCP does not know pass, unless
/// they look like a slip.
pub(super) fn read_annotations(reader: &mut TableReader<'_, '_>) -> Option<Box<RawValue>> {
    let object = read_object(reader, "annotations")?;
    for (name, value) in object.value.as_object().into_iter().flatten() {
        let key = format!("annotations.{name}");
        if !ANNOTATIONS.contains(&name.as_str()) {
            let hint = hint(name, ANNOTATIONS);
            if !hint.is_empty() {
                reader.problem(&key, format!("unknown annotation{hint}"));
            }
        } else if name == "title" && !value.is_string() {
            reader.problem(&key, "must be a string");
        } else if name != "title" && !value.is_boolean() {
            reader.problem(&key, "must be true or false");
        }
    }
    Some(object.raw)
}

/// Reads the capabilities that a client must declare: each is an object.
/// Names that MCP does not know pass, unless they look like a slip.
pub(super) fn read_capabilities(reader: &mut TableReader<'_, '_>) -> Option<Box<RawValue>> {
    let object = read_object(reader, "required_capabilities")?;
    for (name, value) in object.value.as_object().into_iter().flatten() {
        let key = format!("required_capabilities.{name}");
        let hint = hint(name, CAPABILITIES);
        if !CAPABILITIES.contains(&name.as_str()) && !hint.is_empty() {
            reader.problem(&key, format!("unknown capability{hint}"));
        } else if !value.is_object() {
            reader.problem(&key, "must be a table, such as {}");
        }
    }
    Some(object.raw)
}

/// A table as JSON, or a string with a JSON object, which stays as it is written.
pub(super) fn object_json(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Table(_) => to_json(value),
        _ => Err("must be a table, or a string that holds a JSON object".to_owned()),
    }
}

/// A table, or a string with a JSON object, which stays as it is written.
fn read_object(reader: &mut TableReader<'_, '_>, key: &'static str) -> Option<Document> {
    let json = object_json(reader.value(key)?);
    match json.and_then(Document::parse) {
        Ok(object) => Some(object),
        Err(message) => {
            reader.problem(key, message);
            None
        }
    }
}

pub(super) fn to_json(value: &Value) -> Result<String, String> {
    match value {
        Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| {
                let key = serde_json::Value::from(key.as_str());
                to_json(value).map(|json| format!("{key}:{json}"))
            });
            let entries: Vec<String> = entries.collect::<Result<_, _>>()?;
            Ok(format!("{{{}}}", entries.join(",")))
        }
        Value::Array(array) => {
            let items: Vec<String> = array.iter().map(to_json).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        Value::String(text) => Ok(serde_json::Value::from(text.as_str()).to_string()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Float(number) if number.is_finite() => {
            Ok(serde_json::Value::from(*number).to_string())
        }
        Value::Float(number) => Err(format!("{number} is no JSON number")),
        Value::Datetime(date) => Err(format!(
            "{date} is a date, which JSON does not have: put it in quotes"
        )),
    }
}

/// The schema of the argument at a path, if it stands there without a reference.
pub(super) fn property<'a>(
    schema: &'a serde_json::Value,
    path: &[String],
) -> Option<&'a serde_json::Value> {
    path.iter()
        .try_fold(schema, |schema, name| schema.get("properties")?.get(name))
}

/// Says so if a schema that is closed by `additionalProperties: false` has no
/// property for a placeholder's path.
pub(super) fn missing_property(mut schema: &serde_json::Value, path: &[String]) -> Option<String> {
    for (depth, name) in path.iter().enumerate() {
        let properties = schema.get("properties").and_then(|value| value.as_object());
        let closed = schema.get("additionalProperties") == Some(&serde_json::Value::Bool(false));
        let property = properties.and_then(|properties| properties.get(name));
        if property.is_none() && closed && schema.get("patternProperties").is_none() {
            let known = properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str());
            let hint = hint(name, known);
            let placeholder = path.join(".");
            let owner = match path.get(..depth) {
                Some([]) | None => "the input schema".to_owned(),
                Some(outer) => format!("`{}` in the input schema", outer.join(".")),
            };
            return Some(format!(
                "`{{{placeholder}}}` can never have a value: {owner} has no property `{name}` and allows no others{hint}"
            ));
        }
        schema = property?;
    }
    None
}
